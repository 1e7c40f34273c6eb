/* torch_zip.c - what torch.save() writes since version 1.6: a zip archive NAME/data.pkl,
 * whose storages are NAME/data/KEY. By libzip, if the build has it. */
#include "torch_pickle.h"

#ifdef CLFCN_HAVE_ZIP

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MAX_NAME = 512 };

/* Of an entry: compressed, a small one may hold more than the machine. */
#define MAX_BYTES (UINT64_C(1) << 30)

struct clfcn_torch_zip {
    zip_t *archive;
    unsigned char *pickle;
    /* The entry read last, which the next tensor may be in too: its first bytes. */
    uint64_t entry;
    unsigned char *bytes;
};

static zip_source_t *open_source(const struct clfcn_weights_file *f, zip_error_t *error)
{
    if (f->bytes) {
        return zip_source_buffer_create(f->bytes, f->size, 0, error);
    }
    FILE *stream = clfcn_reader_stream(&f->reader);
    zip_source_t *source = stream ? zip_source_filep_create(stream, 0, 0, error) : NULL;
    if (!stream) {
        zip_error_set(error, errno == ENOMEM ? ZIP_ER_MEMORY : ZIP_ER_OPEN, errno);
    } else if (!source) {
        fclose(stream);
    }
    return source;
}

/* What libzip found; entry NULL: it is about the whole archive. It does not record each
 * allocation that fails. */
static int damaged(const char *entry, zip_error_t *error, struct clfcn_err *err)
{
    if (zip_error_code_zip(error) == ZIP_ER_MEMORY || errno == ENOMEM) {
        return clfcn_err_nomem(err);
    }
    return clfcn_err_set(err, CLFCN_EDATA, 0, "damaged zip archive: %.200s%s%s",
                         entry ? entry : "", entry ? ": " : "",
                         zip_error_strerror(error));
}

static const char *entry_name(zip_t *archive, uint64_t entry)
{
    const char *name = zip_get_name(archive, entry, ZIP_FL_ENC_RAW);
    return name ? name : "an entry";
}

static int open_archive(struct clfcn_weights_file *f, struct clfcn_torch_zip *zip,
                        struct clfcn_err *err)
{
    zip_error_t error;
    errno = 0;
    zip_error_init(&error);
    zip_source_t *source = open_source(f, &error);
    if (source) {
        zip->archive = zip_open_from_source(source, ZIP_RDONLY, &error);
        if (!zip->archive) {
            zip_source_free(source);
        }
    }
    const int rc = zip->archive ? CLFCN_OK : damaged(NULL, &error, err);
    zip_error_fini(&error);
    return rc;
}

/* Read the first n bytes of an entry, whatever its header promises, to be freed by the
 * caller. Its checksum is checked if that is all of it. */
static int read_entry(zip_t *archive, uint64_t entry, size_t n, unsigned char **out,
                      struct clfcn_err *err)
{
    unsigned char past;
    zip_int64_t got = 0;
    *out = malloc(n + 1);
    if (!*out) {
        return clfcn_err_nomem(err);
    }
    errno = 0;
    zip_file_t *file = zip_fopen_index(archive, entry, 0);
    if (!file) {
        return damaged(entry_name(archive, entry), zip_get_error(archive), err);
    }
    size_t at = 0;
    while (at < n && (got = zip_fread(file, *out + at, n - at)) > 0) {
        at += (size_t)got;
    }
    if (at == n) {
        got = zip_fread(file, &past, 1);
    }
    int rc = CLFCN_OK;
    if (got < 0) {
        rc = damaged(entry_name(archive, entry), zip_file_get_error(file), err);
    } else if (at < n) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "damaged zip archive: %.200s: it is shorter than its header "
                           "says",
                           entry_name(archive, entry));
    }
    zip_fclose(file);
    return rc;
}

static uint64_t entry_bytes(zip_t *archive, uint64_t entry)
{
    zip_stat_t st;
    return zip_stat_index(archive, entry, 0, &st) == 0 && (st.valid & ZIP_STAT_SIZE) != 0
               ? st.size
               : 0;
}

/* The entry NAME/data.pkl; *folder receives the length of "NAME/". */
static int find_pickle(zip_t *archive, uint64_t *entry, int *folder,
                       struct clfcn_err *err)
{
    const zip_int64_t count = zip_get_num_entries(archive, 0);
    for (zip_int64_t i = 0; i < count; ++i) {
        const char *name = zip_get_name(archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (slash && slash - name < MAX_NAME && strcmp(slash, "/data.pkl") == 0) {
            *entry = (uint64_t)i;
            *folder = (int)(slash - name) + 1;
            return CLFCN_OK;
        }
    }
    return clfcn_err_set(err, CLFCN_EDATA, 0,
                         "a zip archive, but none of torch.save(): it has no data.pkl");
}

/* The entry folder + name, or -1. folder is the first length characters of a name. */
static zip_int64_t locate(zip_t *archive, const char *folder, int length,
                          const char *name)
{
    char path[MAX_NAME + CLFCN_TORCH_MAX_KEY + 8];
    snprintf(path, sizeof(path), "%.*s%s", length, folder, name);
    return zip_name_locate(archive, path, ZIP_FL_ENC_RAW);
}

static int check_byte_order(zip_t *archive, const char *folder, int length,
                            struct clfcn_err *err)
{
    const zip_int64_t entry = locate(archive, folder, length, "byteorder");
    unsigned char *text = NULL;
    if (entry < 0) {
        return CLFCN_OK; /* older versions wrote none, on little-endian machines */
    }
    int rc = read_entry(archive, (uint64_t)entry, strlen("little"), &text, err);
    if (rc == CLFCN_OK && memcmp(text, "little", strlen("little")) != 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "saved on a big-endian machine, which is not supported");
    }
    free(text);
    return rc;
}

static int find_storages(zip_t *archive, const char *folder, int length,
                         struct clfcn_torch_objects *o, struct clfcn_err *err)
{
    for (int i = 0; i < o->storage_count; ++i) {
        struct clfcn_torch_storage *s = &o->storages[i];
        char name[CLFCN_TORCH_MAX_KEY + 8];
        snprintf(name, sizeof(name), "data/%.*s", (int)s->key_length,
                 (const char *)s->key);
        const zip_int64_t entry = locate(archive, folder, length, name);
        const uint64_t bytes = entry < 0 ? 0 : entry_bytes(archive, (uint64_t)entry);
        if (entry < 0 || bytes < s->bytes) {
            return clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "damaged zip archive: %s has %" PRIu64 " bytes of %zu",
                                 name, bytes, s->bytes);
        }
        s->entry = (uint64_t)entry;
        s->found = true;
    }
    return CLFCN_OK;
}

static int read_objects(struct clfcn_weights_file *f, struct clfcn_torch_objects *o,
                        struct clfcn_err *err)
{
    struct clfcn_torch_zip *zip = f->zip;
    const struct clfcn_pickle_value *root = NULL;
    uint64_t entry = 0;
    int length = 0;
    int rc = find_pickle(zip->archive, &entry, &length, err);
    if (rc < 0) {
        return rc;
    }
    const char *folder = zip_get_name(zip->archive, entry, ZIP_FL_ENC_RAW);
    const uint64_t bytes = entry_bytes(zip->archive, entry);
    if (bytes > CLFCN_PICKLE_MAX_BYTES) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "a pickle of %" PRIu64 " bytes is too large: at most 16 MiB",
                             bytes);
    }
    rc = check_byte_order(zip->archive, folder, length, err);
    if (rc == CLFCN_OK) {
        rc = read_entry(zip->archive, entry, (size_t)bytes, &zip->pickle, err);
    }
    size_t used;
    if (rc == CLFCN_OK) {
        rc = clfcn_torch_unpickle(o, zip->pickle, (size_t)bytes, &used, &root, err);
    }
    if (rc == CLFCN_OK) {
        rc = find_storages(zip->archive, folder, length, o, err);
    }
    return rc < 0 ? rc : clfcn_torch_collect(o, root, f, err);
}

int clfcn_torch_zip_read(struct clfcn_weights_file *f, struct clfcn_err *err)
{
    struct clfcn_torch_objects objects = { 0 };
    f->zip = calloc(1, sizeof(*f->zip));
    if (!f->zip) {
        return clfcn_err_nomem(err);
    }
    int rc = open_archive(f, f->zip, err);
    if (rc == CLFCN_OK) {
        rc = read_objects(f, &objects, err);
    }
    clfcn_torch_free(&objects);
    free(f->zip->pickle);
    f->zip->pickle = NULL;
    return rc;
}

/* How much of its entry t and those tensors need that share it, as far as may be read. */
static uint64_t bytes_needed(const struct clfcn_weights_file *f,
                             const struct clfcn_weights_tensor *t)
{
    uint64_t most = 0;
    for (int i = 0; i < f->count; ++i) {
        const uint64_t end = f->tensors[i].offset + f->tensors[i].span;
        if (f->tensors[i].entry == t->entry && end > most && end <= MAX_BYTES) {
            most = end;
        }
    }
    return most;
}

int clfcn_torch_zip_fetch(const struct clfcn_weights_file *f,
                          const struct clfcn_weights_tensor *t,
                          const unsigned char **data, struct clfcn_err *err)
{
    struct clfcn_torch_zip *zip = f->zip;
    if (t->offset + t->span > MAX_BYTES) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "tensor '%s' lies past the first GiB of its storage: "
                             "save a copy of it",
                             t->name);
    }
    if (!zip->bytes || zip->entry != t->entry) {
        const uint64_t need = bytes_needed(f, t);
        free(zip->bytes);
        const int rc = read_entry(zip->archive, t->entry, (size_t)need, &zip->bytes, err);
        zip->entry = t->entry;
        if (rc < 0) {
            clfcn_err_note(err, "tensor '%s'", t->name);
            free(zip->bytes);
            zip->bytes = NULL;
            return rc;
        }
    }
    *data = zip->bytes + t->offset;
    return CLFCN_OK;
}

void clfcn_torch_zip_close(struct clfcn_torch_zip **zip)
{
    if (*zip) {
        zip_discard((*zip)->archive);
        free((*zip)->pickle);
        free((*zip)->bytes);
        free(*zip);
        *zip = NULL;
    }
}

#else

int clfcn_torch_zip_read(struct clfcn_weights_file *f, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0,
                         "this build reads no zip archives: build it with libzip, or in "
                         "PyTorch, torch.save(model.state_dict(), FILE, "
                         "_use_new_zipfile_serialization=False)");
}

int clfcn_torch_zip_fetch(const struct clfcn_weights_file *f,
                          const struct clfcn_weights_tensor *t,
                          const unsigned char **data, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "this build reads no zip archives");
}

void clfcn_torch_zip_close(struct clfcn_torch_zip **zip)
{
}

#endif
