/* torch_stream.c - what torch.save() wrote before version 1.6, and still does on demand:
 * pickles of a magic number, a version, the machine's properties, the object and its
 * storages' keys; then, in the order of the keys, each storage after its length. */
#include "torch_pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char magic[10] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                         0x20, 0x6a, 0xa8, 0x50, 0x19 };
enum { PROTOCOL = 1001 };

/* The largest pickle, and the small ones around it. */
enum { MAX_HEAD = CLFCN_PICKLE_MAX_BYTES + (64 << 10) };

struct stream {
    struct clfcn_torch_objects objects;
    const struct clfcn_weights_file *f;
    unsigned char *head; /* the first bytes, in which all pickles must be */
    size_t head_bytes;
    uint64_t at;
};

static int next_pickle(struct stream *s, const struct clfcn_pickle_value **out,
                       struct clfcn_err *err)
{
    size_t used = 0;
    const int rc = clfcn_torch_unpickle(&s->objects, s->head + s->at,
                                        s->head_bytes - (size_t)s->at, &used, out, err);
    if (rc < 0 && s->at > 0) {
        clfcn_err_note(err, "from byte %" PRIu64 " on", s->at);
    }
    s->at += used;
    return rc;
}

static int read_preamble(struct stream *s, struct clfcn_err *err)
{
    const struct clfcn_pickle_value *v;
    int rc = next_pickle(s, &v, err);
    if (rc < 0) {
        return rc;
    }
    if (v->kind != CLFCN_PICKLE_BIG || v->length != sizeof(magic) ||
        memcmp(v->text, magic, sizeof(magic)) != 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "a Python pickle, but none of torch.save()");
    }
    rc = next_pickle(s, &v, err);
    if (rc == CLFCN_OK && (v->kind != CLFCN_PICKLE_INT || v->number != PROTOCOL)) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                           "an unknown version of torch.save()'s format");
    }
    if (rc == CLFCN_OK) {
        rc = next_pickle(s, &v, err);
    }
    if (rc < 0) {
        return rc;
    }
    const struct clfcn_pickle_value *little = clfcn_pickle_get(v, "little_endian");
    return little && little->kind == CLFCN_PICKLE_BOOL && little->number
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EDATA, 0,
                               "saved on a big-endian machine, which is not supported");
}

static int read_storage(struct stream *s, const struct clfcn_pickle_value *key,
                        struct clfcn_err *err)
{
    struct clfcn_torch_storage *storage = clfcn_torch_find(&s->objects, key);
    uint64_t count;
    if (!storage || storage->found) {
        return clfcn_err_set(
            err, CLFCN_EDATA, 0,
            "byte %" PRIu64 ": a storage that nothing refers to, or twice", s->at);
    }
    const uint64_t left = s->f->size - s->at;
    if (left < sizeof(count) || left - sizeof(count) < storage->bytes) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "truncated: %" PRIu64
                             " bytes, a storage of %zu begins at byte %" PRIu64,
                             s->f->size, storage->bytes, s->at);
    }
    const int rc = clfcn_weights_read(s->f, s->at, &count, sizeof(count), err);
    if (rc < 0) {
        return rc;
    }
    if (count != storage->bytes / storage->item_bytes) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "byte %" PRIu64 ": a storage of %" PRIu64
                             " elements where %zu are expected",
                             s->at, count, storage->bytes / storage->item_bytes);
    }
    storage->begin = s->at + sizeof(count);
    storage->data = s->f->bytes ? s->f->bytes + storage->begin : NULL;
    storage->found = true;
    s->at += sizeof(count) + storage->bytes;
    return CLFCN_OK;
}

int clfcn_torch_stream_read(struct clfcn_weights_file *f, struct clfcn_err *err)
{
    struct stream s = { .f = f,
                        .head_bytes = f->size < MAX_HEAD ? (size_t)f->size : MAX_HEAD };
    const struct clfcn_pickle_value *root, *keys;
    s.head = malloc(s.head_bytes);
    int rc = s.head ? clfcn_weights_read(f, 0, s.head, s.head_bytes, err)
                    : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = read_preamble(&s, err);
    }
    if (rc == CLFCN_OK) {
        rc = next_pickle(&s, &root, err);
    }
    if (rc == CLFCN_OK) {
        rc = next_pickle(&s, &keys, err);
    }
    if (rc == CLFCN_OK && keys->kind != CLFCN_PICKLE_LIST) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "the list of storages is damaged");
    }
    for (size_t i = 0; rc == CLFCN_OK && i < keys->count; ++i) {
        rc = read_storage(&s, keys->items[i], err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_torch_collect(&s.objects, root, f, err);
    }
    clfcn_torch_free(&s.objects);
    free(s.head);
    return rc;
}
