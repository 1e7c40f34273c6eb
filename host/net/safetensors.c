/* safetensors.c - reading with every claim of the header checked, and writing. */
#include "safetensors.h"
#include "../util/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Enough for 40,000 tensors. Parsed, JSON takes up to 80 times as much memory: the 100 MB
 * that the reference implementation allows would take 8 GB. */
#define MAX_HEADER_BYTES (UINT64_C(4) << 20)
#define METADATA_KEY "__metadata__"

static const struct {
    const char *name;
    enum clfcn_dtype dtype;
    size_t bytes; /* of an element */
} dtypes[] = {
    { "F32", CLFCN_F32, 4 },
    { "F16", CLFCN_F16, 2 },
    { "BF16", CLFCN_BF16, 2 },
    { "F64", CLFCN_F64, 8 },
    { "I64", CLFCN_I64, 8 },
    { "BOOL", CLFCN_DTYPE_OTHER, 1 },
    { "U8", CLFCN_DTYPE_OTHER, 1 },
    { "I8", CLFCN_DTYPE_OTHER, 1 },
    { "U16", CLFCN_DTYPE_OTHER, 2 },
    { "I16", CLFCN_DTYPE_OTHER, 2 },
    { "U32", CLFCN_DTYPE_OTHER, 4 },
    { "I32", CLFCN_DTYPE_OTHER, 4 },
    { "U64", CLFCN_DTYPE_OTHER, 8 },
    { "F8_E4M3", CLFCN_DTYPE_OTHER, 1 },
    { "F8_E5M2", CLFCN_DTYPE_OTHER, 1 },
};
enum { DTYPE_COUNT = sizeof(dtypes) / sizeof(dtypes[0]) };

/* --- reading --- */

/* While the header is being read: the tensor and its place within the data. */
struct entry {
    struct clfcn_weights_tensor tensor;
    uint64_t begin, end;
};

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return x->end < y->end ? -1 : x->end > y->end;
}

static int bad_tensor(const char *name, const char *what, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0, "damaged header: tensor '%.80s' %s", name,
                         what);
}

static int parse_shape(const json_t *shape, size_t item_bytes,
                       struct clfcn_weights_tensor *t, struct clfcn_err *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > CLFCN_MAX_DIMS) {
        return bad_tensor(t->name, "needs a shape of at most 8 dimensions", err);
    }
    t->ndim = (int)json_array_size(shape);
    for (int i = 0; i < t->ndim; ++i) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        t->dims[i] = json_is_integer(dim) ? json_integer_value(dim) : -1;
    }
    const char *wrong = clfcn_weights_lay_out(t, item_bytes, false);
    return wrong ? bad_tensor(t->name, wrong, err) : CLFCN_OK;
}

static int parse_tensor(const char *name, const json_t *json, struct entry *e,
                        struct clfcn_err *err)
{
    struct clfcn_weights_tensor *t = &e->tensor;
    if (!clfcn_weights_name_ok(name)) {
        return bad_tensor(name, "has a name that no parameter has", err);
    }
    t->name = strdup(name);
    if (t->name == NULL) {
        return clfcn_err_nomem(err);
    }
    const char *dtype = json_string_value(json_object_get(json, "dtype"));
    int k = 0;
    while (k < DTYPE_COUNT && (dtype == NULL || strcmp(dtype, dtypes[k].name) != 0)) {
        ++k;
    }
    if (k == DTYPE_COUNT) {
        return bad_tensor(name, "has no known dtype", err);
    }
    t->dtype = dtypes[k].dtype;
    int rc = parse_shape(json_object_get(json, "shape"), dtypes[k].bytes, t, err);
    if (rc < 0) {
        return rc;
    }
    const json_t *offsets = json_object_get(json, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin)) {
        return bad_tensor(name, "needs data_offsets [begin, end]", err);
    }
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    if (e->end - e->begin != t->bytes) {
        return bad_tensor(name, "has data_offsets that do not fit its shape and dtype",
                          err);
    }
    return CLFCN_OK;
}

/* __metadata__ is a map from string to string; keep the value of "clfcn". */
static int parse_metadata(json_t *json, char **metadata, struct clfcn_err *err)
{
    if (!json_is_object(json)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "damaged header: %s is no object",
                             METADATA_KEY);
    }
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        if (!json_is_string(value)) {
            return clfcn_err_set(err, CLFCN_EDATA, 0,
                                 "damaged header: %s.%.80s is no string", METADATA_KEY,
                                 key);
        }
        if (strcmp(key, "clfcn") == 0) {
            *metadata = strdup(json_string_value(value));
            if (*metadata == NULL) {
                return clfcn_err_nomem(err);
            }
        }
    }
    return CLFCN_OK;
}

/* Sort by place and refuse overlaps and data past the end of the file. */
static int check_places(struct entry *entries, int count, uint64_t header_bytes,
                        uint64_t file_bytes, struct clfcn_err *err)
{
    uint64_t promised = 0;
    for (int i = 0; i < count; ++i) {
        promised = entries[i].end > promised ? entries[i].end : promised;
    }
    if (promised > file_bytes - header_bytes) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "truncated checkpoint: %" PRIu64
                             " bytes, its header promises %" PRIu64,
                             file_bytes, header_bytes + promised);
    }
    qsort(entries, (size_t)count, sizeof(*entries), by_place);
    uint64_t used = 0;
    for (int i = 0; i < count; ++i) {
        if (entries[i].begin < used && entries[i].end > entries[i].begin) {
            return bad_tensor(entries[i].tensor.name, "overlaps another", err);
        }
        used = entries[i].end > used ? entries[i].end : used;
    }
    return CLFCN_OK;
}

/* Fill f->tensors and f->metadata from the parsed header. */
static int read_header(struct clfcn_weights_file *f, json_t *header,
                       uint64_t header_bytes, struct clfcn_err *err)
{
    const size_t members = json_object_size(header);
    struct entry *entries = calloc(members + 1, sizeof(*entries));
    f->tensors = calloc(members + 1, sizeof(*f->tensors));
    int count = 0, rc = CLFCN_OK;
    if (entries == NULL || f->tensors == NULL) {
        rc = clfcn_err_nomem(err);
        goto out;
    }
    const char *key;
    json_t *value;
    json_object_foreach(header, key, value)
    {
        if (strcmp(key, METADATA_KEY) == 0) {
            rc = parse_metadata(value, &f->metadata, err);
        } else {
            rc = parse_tensor(key, value, &entries[count++], err);
        }
        if (rc < 0) {
            goto out;
        }
    }
    rc = check_places(entries, count, header_bytes, f->size, err);
out:
    for (int i = 0; i < count; ++i) {
        f->tensors[i] = entries[i].tensor; /* owns the name, also when rc < 0 */
        f->tensors[i].offset = header_bytes + entries[i].begin;
        f->tensors[i].data = rc < 0 || !f->bytes ? NULL : f->bytes + f->tensors[i].offset;
        f->count = i + 1;
    }
    free(entries);
    return rc;
}

/* Parse the JSON header; *header_bytes is what stands before the data. */
static int load_header(const struct clfcn_weights_file *f, json_t **header,
                       uint64_t *header_bytes, struct clfcn_err *err)
{
    if (f->size < 8) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "truncated checkpoint: %" PRIu64
                             " bytes, its header promises at least 8",
                             f->size);
    }
    uint64_t length = 0;
    int rc = clfcn_weights_read(f, 0, &length, 8, err);
    if (rc < 0) {
        return rc;
    }
    if (length > MAX_HEADER_BYTES) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "not a safetensors file, nor one of torch.save() (a header of "
            "%" PRIu64 " bytes is impossible)",
            length);
    }
    *header_bytes = 8 + length;
    if (*header_bytes > f->size) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "truncated checkpoint: %" PRIu64
                             " bytes, its header promises at least "
                             "%" PRIu64,
                             f->size, *header_bytes);
    }
    json_error_t error;
    char *text = malloc((size_t)length + 1);
    rc =
        text ? clfcn_weights_read(f, 8, text, (size_t)length, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        *header = clfcn_json_read(text, (size_t)length, JSON_REJECT_DUPLICATES, &error,
                                  &rc, err);
        rc = rc == CLFCN_EDATA ? CLFCN_OK : rc;
    }
    free(text);
    if (rc < 0) {
        return rc;
    }
    if (*header == NULL) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "not a safetensors file or damaged header: %s (byte %d)",
                             error.text, error.position + 8);
    }
    if (!json_is_object(*header)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "not a safetensors file: its header is no JSON object");
    }
    return CLFCN_OK;
}

int clfcn_safetensors_read(struct clfcn_weights_file *f, struct clfcn_err *err)
{
    json_t *header = NULL;
    uint64_t header_bytes = 0;
    int rc = load_header(f, &header, &header_bytes, err);
    if (rc == CLFCN_OK) {
        rc = read_header(f, header, header_bytes, err);
    }
    json_decref(header);
    return rc;
}

/* --- writing --- */

struct clfcn_st_writer {
    json_t *header; /* in order of declaration, __metadata__ first */
    struct clfcn_atomic_file file;
    uint64_t declared, written; /* bytes of data */
};

int clfcn_st_writer_create(struct clfcn_st_writer **out, struct clfcn_err *err)
{
    *out = NULL;
    struct clfcn_st_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return clfcn_err_nomem(err);
    }
    w->header = json_pack("{s:{s:s}}", METADATA_KEY, "format", "pt");
    if (w->header == NULL) {
        free(w);
        return clfcn_err_nomem(err);
    }
    *out = w;
    return CLFCN_OK;
}

void clfcn_st_writer_destroy(struct clfcn_st_writer **w)
{
    if (w == NULL || *w == NULL) {
        return;
    }
    clfcn_atomic_abort(&(*w)->file);
    json_decref((*w)->header);
    free(*w);
    *w = NULL;
}

int clfcn_st_writer_declare(struct clfcn_st_writer *w, const char *name,
                            enum clfcn_dtype dtype, int ndim, const int64_t *dims,
                            struct clfcn_err *err)
{
    int k = 0;
    while (k < DTYPE_COUNT && dtypes[k].dtype != dtype) {
        ++k;
    }
    if (dtype == CLFCN_DTYPE_OTHER || k == DTYPE_COUNT || ndim < 0 ||
        ndim > CLFCN_MAX_DIMS || w->file.path != NULL ||
        json_object_get(w->header, name) != NULL) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "tensor '%.80s' cannot be declared: twice, too late, or of a wrong "
            "type or shape",
            name);
    }
    /* Readers map the file and take views of each type, so an element must be aligned. */
    if (w->declared % dtypes[k].bytes != 0) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "tensor '%.80s' would not be aligned: declare wider types first", name);
    }
    uint64_t bytes = dtypes[k].bytes;
    json_t *shape = json_array();
    bool whole = shape != NULL;
    for (int i = 0; i < ndim; ++i) {
        bytes *= (uint64_t)dims[i];
        whole = whole && json_array_append_new(shape, json_integer(dims[i])) == 0;
    }
    json_t *tensor = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[k].name, "shape",
                               shape, "data_offsets", (json_int_t)w->declared,
                               (json_int_t)w->declared + (json_int_t)bytes);
    if (!whole || json_object_set(w->header, name, tensor) < 0) {
        json_decref(tensor);
        return clfcn_err_nomem(err);
    }
    json_decref(tensor);
    w->declared += bytes;
    return CLFCN_OK;
}

int clfcn_st_writer_begin(struct clfcn_st_writer *w, const char *path,
                          const char *metadata, struct clfcn_err *err)
{
    json_t *map = json_object_get(w->header, METADATA_KEY);
    if (metadata != NULL &&
        json_object_set_new(map, "clfcn", json_string(metadata)) < 0) {
        return clfcn_err_nomem(err);
    }
    char *text = json_dumps(w->header, JSON_COMPACT);
    if (text == NULL) {
        return clfcn_err_nomem(err);
    }
    static const char spaces[8] = "        ";
    const size_t length = strlen(text), padding = (8 - length % 8) % 8;
    const uint64_t header_bytes = length + padding;
    int rc = clfcn_atomic_open(&w->file, path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&w->file, &header_bytes, sizeof(header_bytes), err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&w->file, text, length, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&w->file, spaces, padding, err);
    }
    free(text);
    return rc;
}

int clfcn_st_writer_data(struct clfcn_st_writer *w, const void *data, size_t bytes,
                         struct clfcn_err *err)
{
    if (bytes > w->declared - w->written) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "more tensor data than declared (%" PRIu64 " bytes)",
                             w->declared);
    }
    int rc = clfcn_atomic_write(&w->file, data, bytes, err);
    if (rc == CLFCN_OK) {
        w->written += bytes;
    }
    return rc;
}

int clfcn_st_writer_commit(struct clfcn_st_writer *w, struct clfcn_err *err)
{
    if (w->written != w->declared) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "tensor data of %" PRIu64 " bytes where %" PRIu64
                             " were declared",
                             w->written, w->declared);
    }
    return clfcn_atomic_commit(&w->file, err);
}
