/* torch_pickle.h - what torch.save() pickles: a state_dict, whose tensors are views of
 * storages that lie outside the pickle. */
#ifndef CLFCN_NET_TORCH_PICKLE_H
#define CLFCN_NET_TORCH_PICKLE_H

#include "pickle.h"
#include "weights_file.h"

/* A run of elements. The front end finds it: in memory, at a byte of the file, or in an
 * archive's entry. */
struct clfcn_torch_storage {
    const unsigned char *key; /* its name in the file, borrowed from the pickle */
    size_t key_length;
    enum clfcn_dtype dtype;
    size_t item_bytes, bytes;  /* of an element and of all, as the pickle claims */
    bool found;                /* what is below is set, and bytes of them are there */
    const unsigned char *data; /* borrowed; NULL: see the other two */
    uint64_t begin, entry;
};

/* What pickles hold, read one after the other. Zero-initialised is empty. */
struct clfcn_torch_objects {
    struct clfcn_pickle pickle;
    struct clfcn_torch_storage *storages;
    struct clfcn_torch_view *views; /* tensors without names */
    int storage_count, view_count;
    size_t storage_room, view_room;
    int references; /* to storages: each is looked for among all */
};

enum { CLFCN_TORCH_MAX_TENSORS = 16384, CLFCN_TORCH_MAX_KEY = 64 };

/* Read the pickle at the start of data, allowing what state_dicts are made of and nothing
 * else; the rest as clfcn_pickle_read(). */
int clfcn_torch_unpickle(struct clfcn_torch_objects *o, const unsigned char *data,
                         size_t size, size_t *used, const struct clfcn_pickle_value **out,
                         struct clfcn_err *err);
void clfcn_torch_free(struct clfcn_torch_objects *o);

/* The storage of that key, or NULL. */
struct clfcn_torch_storage *clfcn_torch_find(struct clfcn_torch_objects *o,
                                             const struct clfcn_pickle_value *key);

/* Give f the tensors of a state_dict, or of one under "state_dict", "model" or
 * "model_state_dict". Borrows nothing from o but the storages' data. CLFCN_EDATA if there
 * are none, or one reaches past its storage. */
int clfcn_torch_collect(const struct clfcn_torch_objects *o,
                        const struct clfcn_pickle_value *root,
                        struct clfcn_weights_file *f, struct clfcn_err *err);

#endif
