/* torch_pickle.c - the few Python classes and functions that a state_dict is made of. */
#include "torch_pickle.h"
#include "../util/array.h"

#include <stdlib.h>
#include <string.h>

/* Of GLOBALs and OBJECTs; a storage type's number is its place in storage_types. */
enum type { DICTIONARY, PARAMETER, TENSOR, STORAGE };

static const struct {
    const char *name; /* in module torch, or torch.cuda */
    enum clfcn_dtype dtype;
    size_t bytes;
} storage_types[] = {
    { "FloatStorage", CLFCN_F32, 4 },
    { "HalfStorage", CLFCN_F16, 2 },
    { "BFloat16Storage", CLFCN_BF16, 2 },
    { "DoubleStorage", CLFCN_F64, 8 },
    { "LongStorage", CLFCN_I64, 8 },
    { "IntStorage", CLFCN_DTYPE_OTHER, 4 },
    { "ShortStorage", CLFCN_DTYPE_OTHER, 2 },
    { "CharStorage", CLFCN_DTYPE_OTHER, 1 },
    { "ByteStorage", CLFCN_DTYPE_OTHER, 1 },
    { "BoolStorage", CLFCN_DTYPE_OTHER, 1 },
    { "ComplexFloatStorage", CLFCN_DTYPE_OTHER, 8 },
    { "ComplexDoubleStorage", CLFCN_DTYPE_OTHER, 16 },
};
enum { STORAGE_TYPES = sizeof(storage_types) / sizeof(storage_types[0]) };

static const struct {
    const char *module, *name;
    enum type type;
} functions[] = {
    { "collections", "OrderedDict", DICTIONARY },
    { "torch._utils", "_rebuild_tensor", TENSOR },
    { "torch._utils", "_rebuild_tensor_v2", TENSOR },
    { "torch._utils", "_rebuild_parameter", PARAMETER },
    { "torch.nn.parameter", "Parameter", PARAMETER }, /* before version 0.4 */
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

/* A tensor before it has a name. */
struct clfcn_torch_view {
    int storage;
    struct clfcn_weights_tensor tensor; /* name NULL; offset from the storage's start */
};

/* --- hooks --- */

static int find_global(void *user, const struct clfcn_pickle_value *module,
                       const struct clfcn_pickle_value *name,
                       struct clfcn_pickle_value *out, struct clfcn_err *err)
{
    char text[2][80];
    for (int i = 0; i < FUNCTIONS; ++i) {
        if (clfcn_pickle_is(module, functions[i].module) &&
            clfcn_pickle_is(name, functions[i].name)) {
            out->type = functions[i].type;
            return CLFCN_OK;
        }
    }
    const bool torch =
        clfcn_pickle_is(module, "torch") || clfcn_pickle_is(module, "torch.cuda");
    for (int i = 0; torch && i < STORAGE_TYPES; ++i) {
        if (clfcn_pickle_is(name, storage_types[i].name)) {
            out->type = STORAGE;
            out->number = i;
            return CLFCN_OK;
        }
    }
    return clfcn_err_set(err, CLFCN_EDATA, 0,
                         "holds the Python object '%s.%s', and clfcn runs no Python: in "
                         "PyTorch, save the weights alone, "
                         "torch.save(model.state_dict(), FILE)",
                         clfcn_pickle_show(module, text[0], sizeof(text[0])),
                         clfcn_pickle_show(name, text[1], sizeof(text[1])));
}

static int bad_tensor(struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0, "a tensor's description is damaged");
}

static bool is_object(const struct clfcn_pickle_value *v, enum type type)
{
    return v->kind == CLFCN_PICKLE_OBJECT && v->type == (int)type;
}

static bool is_size(const struct clfcn_pickle_value *v)
{
    return v->kind == CLFCN_PICKLE_INT && v->number >= 0;
}

static int too_many(struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0, "more than %d tensors",
                         CLFCN_TORCH_MAX_TENSORS);
}

struct clfcn_torch_storage *clfcn_torch_find(struct clfcn_torch_objects *o,
                                             const struct clfcn_pickle_value *key)
{
    for (int i = 0; key->kind == CLFCN_PICKLE_TEXT && i < o->storage_count; ++i) {
        struct clfcn_torch_storage *s = &o->storages[i];
        if (s->key_length == key->length && memcmp(s->key, key->text, key->length) == 0) {
            return s;
        }
    }
    return NULL;
}

/* ("storage", type, key, device, elements) and in streams a sixth item, which is None but
 * for storages within others. */
static int make_storage(void *user, const struct clfcn_pickle_value *id,
                        struct clfcn_pickle_value *out, struct clfcn_err *err)
{
    struct clfcn_torch_objects *o = user;
    struct clfcn_pickle_value *const *item = id->items;
    if (id->kind != CLFCN_PICKLE_TUPLE || id->count < 5 ||
        !clfcn_pickle_is(item[0], "storage") || item[1]->kind != CLFCN_PICKLE_GLOBAL ||
        item[1]->type != STORAGE || item[2]->kind != CLFCN_PICKLE_TEXT ||
        item[2]->length > CLFCN_TORCH_MAX_KEY || !is_size(item[4])) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a storage's description is damaged");
    }
    if (id->count > 5 && item[5]->kind != CLFCN_PICKLE_NONE) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "a storage within another, of PyTorch before 0.4: load and "
                             "save it with a newer version");
    }
    if (o->references++ == CLFCN_TORCH_MAX_TENSORS) {
        return too_many(err);
    }
    const size_t bytes = storage_types[item[1]->number].bytes;
    if (item[4]->number > (int64_t)(PTRDIFF_MAX / bytes)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a storage is too large for any file");
    }
    const struct clfcn_torch_storage claimed = {
        .key = item[2]->text,
        .key_length = item[2]->length,
        .dtype = storage_types[item[1]->number].dtype,
        .item_bytes = bytes,
        .bytes = (size_t)item[4]->number * bytes,
    };
    out->kind = CLFCN_PICKLE_OBJECT;
    out->type = STORAGE;
    const struct clfcn_torch_storage *known = clfcn_torch_find(o, item[2]);
    if (known) {
        out->number = known - o->storages;
        return known->dtype == claimed.dtype && known->bytes == claimed.bytes
                   ? CLFCN_OK
                   : clfcn_err_set(err, CLFCN_EDATA, 0, "two storages have one key");
    }
    struct clfcn_torch_storage *grown = clfcn_array_grow(
        o->storages, (size_t)o->storage_count + 1, &o->storage_room, sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    o->storages = grown;
    out->number = o->storage_count;
    grown[o->storage_count++] = claimed;
    return CLFCN_OK;
}

/* (storage, offset, sizes, strides, ...), all in elements. */
static int make_tensor(struct clfcn_torch_objects *o,
                       const struct clfcn_pickle_value *args,
                       struct clfcn_pickle_value *out, struct clfcn_err *err)
{
    struct clfcn_pickle_value *const *item = args->items;
    if (args->count < 4 || !is_object(item[0], STORAGE) || !is_size(item[1]) ||
        item[2]->kind != CLFCN_PICKLE_TUPLE || item[3]->kind != CLFCN_PICKLE_TUPLE ||
        item[2]->count != item[3]->count || item[2]->count > CLFCN_MAX_DIMS) {
        return bad_tensor(err);
    }
    const struct clfcn_torch_storage *s = &o->storages[item[0]->number];
    struct clfcn_torch_view view = { .storage = (int)item[0]->number };
    struct clfcn_weights_tensor *t = &view.tensor;
    t->dtype = s->dtype;
    t->ndim = (int)item[2]->count;
    for (int i = 0; i < t->ndim; ++i) {
        if (!is_size(item[2]->items[i]) || !is_size(item[3]->items[i])) {
            return bad_tensor(err);
        }
        t->dims[i] = item[2]->items[i]->number;
        t->strides[i] = item[3]->items[i]->number;
    }
    const char *wrong = clfcn_weights_lay_out(t, s->item_bytes, true);
    if (wrong) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a tensor %s", wrong);
    }
    if ((uint64_t)item[1]->number > s->bytes / s->item_bytes ||
        t->span > s->bytes - (size_t)item[1]->number * s->item_bytes) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a tensor reaches past its storage");
    }
    t->offset = (uint64_t)item[1]->number * s->item_bytes;
    if (o->view_count == CLFCN_TORCH_MAX_TENSORS) {
        return too_many(err);
    }
    struct clfcn_torch_view *grown = clfcn_array_grow(o->views, (size_t)o->view_count + 1,
                                                      &o->view_room, sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    o->views = grown;
    out->kind = CLFCN_PICKLE_OBJECT;
    out->type = TENSOR;
    out->number = o->view_count;
    grown[o->view_count++] = view;
    return CLFCN_OK;
}

/* OrderedDict(), or Python 2's OrderedDict([[key, value], ...]). */
static int make_dictionary(struct clfcn_pickle *p, const struct clfcn_pickle_value *args,
                           struct clfcn_pickle_value *out, struct clfcn_err *err)
{
    const struct clfcn_pickle_value *pairs = args->count == 1 ? args->items[0] : NULL;
    out->kind = CLFCN_PICKLE_DICT;
    if (args->count > 1 || (pairs && pairs->kind != CLFCN_PICKLE_LIST)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a dictionary is damaged");
    }
    int rc = CLFCN_OK;
    for (size_t i = 0; pairs && rc == CLFCN_OK && i < pairs->count; ++i) {
        const struct clfcn_pickle_value *pair = pairs->items[i];
        if ((pair->kind != CLFCN_PICKLE_LIST && pair->kind != CLFCN_PICKLE_TUPLE) ||
            pair->count != 2) {
            return clfcn_err_set(err, CLFCN_EDATA, 0, "a dictionary is damaged");
        }
        for (size_t j = 0; rc == CLFCN_OK && j < 2; ++j) {
            rc = clfcn_pickle_append(p, out, pair->items[j], err);
        }
    }
    return rc;
}

static int call(void *user, const struct clfcn_pickle_value *callee,
                const struct clfcn_pickle_value *args, struct clfcn_pickle_value *out,
                struct clfcn_err *err)
{
    struct clfcn_torch_objects *o = user;
    switch ((enum type)callee->type) {
    case DICTIONARY:
        return make_dictionary(&o->pickle, args, out, err);
    case TENSOR:
        return make_tensor(o, args, out, err);
    case PARAMETER: /* (tensor, requires_grad, ...) */
        if (args->count == 0 || !is_object(args->items[0], TENSOR)) {
            return bad_tensor(err);
        }
        *out = *args->items[0];
        return CLFCN_OK;
    default:
        return clfcn_err_set(err, CLFCN_EDATA, 0, "a storage is made by a call");
    }
}

int clfcn_torch_unpickle(struct clfcn_torch_objects *o, const unsigned char *data,
                         size_t size, size_t *used, const struct clfcn_pickle_value **out,
                         struct clfcn_err *err)
{
    const struct clfcn_pickle_hooks hooks = { o, find_global, call, make_storage };
    return clfcn_pickle_read(&o->pickle, data, size, &hooks, used, out, err);
}

void clfcn_torch_free(struct clfcn_torch_objects *o)
{
    clfcn_pickle_free(&o->pickle);
    free(o->storages);
    free(o->views);
    *o = (struct clfcn_torch_objects){ 0 };
}

/* --- the state_dict --- */

static int count_tensors(const struct clfcn_pickle_value *dict)
{
    int count = 0;
    for (size_t i = 1; dict->kind == CLFCN_PICKLE_DICT && i < dict->count; i += 2) {
        count += is_object(dict->items[i], TENSOR);
    }
    return count;
}

/* Other tensors, such as a best result, may lie beside the state_dict. */
static const struct clfcn_pickle_value *
find_state_dict(const struct clfcn_pickle_value *root)
{
    static const char *const keys[] = { "state_dict", "model", "model_state_dict", NULL };
    for (int i = 0; keys[i]; ++i) {
        const struct clfcn_pickle_value *inner = clfcn_pickle_get(root, keys[i]);
        if (inner && count_tensors(inner) > 0) {
            return inner;
        }
    }
    return count_tensors(root) > 0 ? root : NULL;
}

/* Tensor i of o under that name, as the next one of f. */
static int add_tensor(const struct clfcn_torch_objects *o, int64_t i,
                      const struct clfcn_pickle_value *name, struct clfcn_weights_file *f,
                      struct clfcn_err *err)
{
    const struct clfcn_torch_view *view = &o->views[i];
    const struct clfcn_torch_storage *s = &o->storages[view->storage];
    struct clfcn_weights_tensor *t = &f->tensors[f->count];
    char text[256];
    clfcn_pickle_show(name, text, sizeof(text));
    if (!clfcn_pickle_is(name, text) || !clfcn_weights_name_ok(text)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "a tensor has a name that no parameter has: '%.80s'", text);
    }
    if (!s->found) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "the numbers of tensor '%s' are missing", text);
    }
    *t = view->tensor;
    t->data = s->data ? s->data + t->offset : NULL;
    t->entry = s->entry;
    t->offset += s->begin;
    t->name = strdup(text);
    if (!t->name) {
        return clfcn_err_nomem(err);
    }
    ++f->count;
    return CLFCN_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct clfcn_weights_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int refuse_twins(const struct clfcn_weights_file *f, struct clfcn_err *err)
{
    const struct clfcn_weights_tensor **sorted =
        malloc((size_t)f->count * sizeof(*sorted));
    int rc = sorted ? CLFCN_OK : clfcn_err_nomem(err);
    for (int i = 0; rc == CLFCN_OK && i < f->count; ++i) {
        sorted[i] = &f->tensors[i];
    }
    if (rc == CLFCN_OK) {
        qsort(sorted, (size_t)f->count, sizeof(*sorted), by_name);
    }
    for (int i = 1; rc == CLFCN_OK && i < f->count; ++i) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
            rc = clfcn_err_set(err, CLFCN_EDATA, 0, "tensor '%s' is there twice",
                               sorted[i]->name);
        }
    }
    free(sorted);
    return rc;
}

int clfcn_torch_collect(const struct clfcn_torch_objects *o,
                        const struct clfcn_pickle_value *root,
                        struct clfcn_weights_file *f, struct clfcn_err *err)
{
    const struct clfcn_pickle_value *dict = find_state_dict(root);
    if (!dict) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "no tensors by name, neither outright nor under "
                             "'state_dict', 'model' or 'model_state_dict': in PyTorch, "
                             "torch.save(model.state_dict(), FILE)");
    }
    const int count = count_tensors(dict);
    if (count > CLFCN_TORCH_MAX_TENSORS) { /* one may be there under many names */
        return too_many(err);
    }
    f->tensors = calloc((size_t)count, sizeof(*f->tensors));
    int rc = f->tensors ? CLFCN_OK : clfcn_err_nomem(err);
    for (size_t i = 0; rc == CLFCN_OK && i + 1 < dict->count; i += 2) {
        if (is_object(dict->items[i + 1], TENSOR)) {
            rc = add_tensor(o, dict->items[i + 1]->number, dict->items[i], f, err);
        }
    }
    return rc < 0 ? rc : refuse_twins(f, err);
}
