/* torch_save.c - a state_dict as torch.save() writes it since PyTorch 1.6: a zip archive
 * of a pickle, archive/data.pkl, and of the tensors' elements, archive/data/0 and so on.
 * By libzip, if the build has it. */
#include "state_dict.h"

#ifdef CLFCN_HAVE_ZIP

#include "narrow.h"
#include "pickle_write.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* Entries begin at multiples of this, filled up by an extra field, so that readers may
 * map the elements. */
enum { ALIGN = 64, LOCAL_HEADER_BYTES = 30, FIELD_HEADER_BYTES = 4 };

/* What is about to be written. */
struct archive {
    zip_t *zip;
    zip_source_t
        *target;  /* kept beyond zip: holds the archive's bytes once it is closed */
    uint64_t end; /* of the entries so far */
    struct clfcn_strbuf pickle;
    void *data[CLFCN_STATE_DICT_MAX]; /* of tensors: the entries borrow them */
};

/* --- the pickle --- */

static const char *storage_name(enum clfcn_dtype dtype)
{
    return dtype == CLFCN_I64    ? "LongStorage"
           : dtype == CLFCN_F16  ? "HalfStorage"
           : dtype == CLFCN_BF16 ? "BFloat16Storage"
                                 : "FloatStorage";
}

/* OrderedDict() */
static void put_dictionary(struct clfcn_strbuf *out)
{
    clfcn_pickle_put_global(out, "collections", "OrderedDict");
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_EMPTY_TUPLE);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_REDUCE);
}

/* _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks); the storage
 * is ("storage", type, key, device, elements). */
static void put_tensor(struct clfcn_strbuf *out, const struct clfcn_net_tensor *t,
                       enum clfcn_dtype dtype, size_t elements, const char *key)
{
    int64_t strides[4], row = 1;
    for (int i = t->ndim - 1; i >= 0; --i) {
        strides[i] = row;
        row *= t->dims[i];
    }
    clfcn_pickle_put_global(out, "torch._utils", "_rebuild_tensor_v2");
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_MARK);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_MARK);
    clfcn_pickle_put_text(out, "storage");
    clfcn_pickle_put_global(out, "torch", storage_name(dtype));
    clfcn_pickle_put_text(out, key);
    clfcn_pickle_put_text(out, "cpu");
    clfcn_pickle_put_int(out, (int64_t)elements);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_TUPLE);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_PERSISTENT);
    clfcn_pickle_put_int(out, 0);
    clfcn_pickle_put_ints(out, t->dims, t->ndim);
    clfcn_pickle_put_ints(out, strides, t->ndim);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_FALSE);
    put_dictionary(out);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_TUPLE);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_REDUCE);
}

static void put_state_dict(struct clfcn_strbuf *out, const struct clfcn_state_dict *sd,
                           enum clfcn_dtype dtype)
{
    clfcn_pickle_put_header(out);
    put_dictionary(out);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_MARK);
    for (int i = 0; i < sd->count; ++i) {
        const struct clfcn_net_tensor *t = &sd->tensors[i];
        char key[16];
        if (clfcn_state_dict_has(sd, i)) {
            snprintf(key, sizeof(key), "%d", i);
            clfcn_pickle_put_text(out, t->name);
            put_tensor(out, t, t->dtype == CLFCN_F32 ? dtype : t->dtype,
                       clfcn_state_dict_elements(sd, i), key);
        }
    }
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_SETITEMS);
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_STOP);
}

/* --- the archive --- */

/* libzip does not record each allocation that fails. */
static int zip_failed(zip_error_t *error, struct clfcn_err *err)
{
    return zip_error_code_zip(error) == ZIP_ER_MEMORY || errno == ENOMEM
               ? clfcn_err_nomem(err)
               : clfcn_err_set(err, CLFCN_EIO, 0, "libzip: %s",
                               zip_error_strerror(error));
}

static int open_archive(struct archive *a, struct clfcn_err *err)
{
    zip_error_t error;
    zip_error_init(&error);
    a->target = zip_source_buffer_create(NULL, 0, 0, &error);
    if (a->target) {
        zip_source_keep(a->target);
        a->zip = zip_open_from_source(a->target, ZIP_TRUNCATE, &error);
        if (!a->zip) {
            zip_source_free(a->target);
        }
    }
    const int rc = a->zip ? CLFCN_OK : zip_failed(&error, err);
    zip_error_fini(&error);
    return rc;
}

/* Give an entry the field "FB", which PyTorch uses too, so that its data is aligned; the
 * day is zip's first, for equal weights make equal files. */
static bool describe(struct archive *a, zip_uint64_t entry, const char *name,
                     size_t bytes)
{
    static const zip_uint8_t fill[ALIGN] = { 0 };
    enum { FIELD = 0x4246, FIRST_DAY = 1 << 5 | 1 };
    const uint64_t data = a->end + LOCAL_HEADER_BYTES + strlen(name) + FIELD_HEADER_BYTES;
    const zip_uint16_t gap = (zip_uint16_t)((ALIGN - data % ALIGN) % ALIGN);
    a->end = data + gap + bytes;
    return zip_set_file_compression(a->zip, entry, ZIP_CM_STORE, 0) == 0 &&
           zip_file_set_dostime(a->zip, entry, 0, FIRST_DAY, 0) == 0 &&
           zip_file_extra_field_set(a->zip, entry, FIELD, ZIP_EXTRA_FIELD_NEW, fill, gap,
                                    ZIP_FL_LOCAL) == 0;
}

/* data is borrowed until the archive is closed. */
static int add_entry(struct archive *a, const char *name, const void *data, size_t bytes,
                     struct clfcn_err *err)
{
    zip_source_t *source = zip_source_buffer(a->zip, data, bytes, 0);
    const zip_int64_t entry = source ? zip_file_add(a->zip, name, source, 0) : -1;
    if (entry < 0) {
        zip_source_free(source);
    }
    return entry >= 0 && describe(a, (zip_uint64_t)entry, name, bytes)
               ? CLFCN_OK
               : zip_failed(zip_get_error(a->zip), err);
}

static int add_tensor(struct archive *a, const struct clfcn_state_dict *sd, int i,
                      enum clfcn_dtype dtype, struct clfcn_err *err)
{
    size_t bytes = sd->tensors[i].bytes;
    char name[32];
    a->data[i] = malloc(bytes);
    int rc =
        a->data[i] ? clfcn_state_dict_read(sd, i, a->data[i], err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK && sd->tensors[i].dtype == CLFCN_F32) {
        bytes = clfcn_narrow(a->data[i], clfcn_state_dict_elements(sd, i), dtype);
    }
    snprintf(name, sizeof(name), "archive/data/%d", i);
    return rc < 0 ? rc : add_entry(a, name, a->data[i], bytes, err);
}

static int fill_archive(struct archive *a, const struct clfcn_state_dict *sd,
                        enum clfcn_dtype dtype, struct clfcn_err *err)
{
    put_state_dict(&a->pickle, sd, dtype);
    int rc = a->pickle.failed
                 ? clfcn_err_nomem(err)
                 : add_entry(a, "archive/data.pkl", a->pickle.str, a->pickle.len, err);
    if (rc == CLFCN_OK) {
        rc = add_entry(a, "archive/byteorder", "little", strlen("little"), err);
    }
    for (int i = 0; rc == CLFCN_OK && i < sd->count; ++i) {
        rc = clfcn_state_dict_has(sd, i) ? add_tensor(a, sd, i, dtype, err) : CLFCN_OK;
    }
    return rc < 0 ? rc : add_entry(a, "archive/version", "3\n", strlen("3\n"), err);
}

/* Assemble the archive's bytes; the entries' data are not needed any more. */
static int close_archive(struct archive *a, struct clfcn_err *err)
{
    if (zip_close(a->zip) != 0) {
        return zip_failed(zip_get_error(a->zip), err);
    }
    a->zip = NULL;
    for (int i = 0; i < CLFCN_STATE_DICT_MAX; ++i) {
        free(a->data[i]);
        a->data[i] = NULL;
    }
    return CLFCN_OK;
}

static int write_archive(struct archive *a, const char *path, struct clfcn_err *err)
{
    static const size_t CHUNK = 1 << 16;
    struct clfcn_atomic_file file = { 0 };
    zip_int64_t got = 0;
    unsigned char *chunk = malloc(CHUNK);
    int rc = chunk ? clfcn_atomic_open(&file, path, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK && zip_source_open(a->target) != 0) {
        rc = zip_failed(zip_source_error(a->target), err);
    }
    while (rc == CLFCN_OK && (got = zip_source_read(a->target, chunk, CHUNK)) > 0) {
        rc = clfcn_atomic_write(&file, chunk, (size_t)got, err);
    }
    if (rc == CLFCN_OK && got < 0) {
        rc = zip_failed(zip_source_error(a->target), err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_commit(&file, err);
    }
    clfcn_atomic_abort(&file);
    free(chunk);
    return rc;
}

int clfcn_state_dict_save_torch(const struct clfcn_state_dict *sd, enum clfcn_dtype dtype,
                                const char *path, struct clfcn_err *err)
{
    struct archive a = { 0 };
    errno = 0;
    int rc = open_archive(&a, err);
    if (rc == CLFCN_OK) {
        rc = fill_archive(&a, sd, dtype, err);
    }
    if (rc == CLFCN_OK) {
        rc = close_archive(&a, err);
    }
    if (rc == CLFCN_OK) {
        rc = write_archive(&a, path, err);
    }
    if (a.zip) {
        zip_discard(a.zip);
    }
    zip_source_free(a.target);
    for (int i = 0; i < CLFCN_STATE_DICT_MAX; ++i) {
        free(a.data[i]);
    }
    clfcn_strbuf_free(&a.pickle);
    return rc;
}

#else

int clfcn_state_dict_save_torch(const struct clfcn_state_dict *sd, enum clfcn_dtype dtype,
                                const char *path, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "--format torch: this build writes no zip archives: install "
                         "libzip (Debian: libzip-dev) and build clfcn anew, or export "
                         "--format safetensors, which PyTorch reads with the package "
                         "safetensors");
}

#endif
