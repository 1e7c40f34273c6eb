/* The unpickler and what makes tensors of its values; storages are there as claimed, full
 * of zeros. */
#include "../../host/net/torch_pickle.h"
#include "fuzz.h"
#include <stdlib.h>

enum { MAX_STORAGE = 1 << 16 };

void fuzz_one(const uint8_t *data, size_t size)
{
    struct clfcn_torch_objects o = { 0 };
    struct clfcn_weights_file f = { 0 };
    const struct clfcn_pickle_value *root = NULL;
    struct clfcn_err err;
    size_t used = 0;
    int rc = clfcn_torch_unpickle(&o, data, size, &used, &root, &err);
    fuzz_check_message(rc, &err);
    FUZZ_ASSERT(used <= size && (rc < 0) == (root == NULL));
    for (int i = 0; rc == CLFCN_OK && i < o.storage_count; ++i) {
        struct clfcn_torch_storage *s = &o.storages[i];
        s->found = s->bytes <= MAX_STORAGE;
        s->data = s->found ? calloc(1, s->bytes + (s->bytes == 0)) : NULL;
        s->found = s->data != NULL;
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_torch_collect(&o, root, &f, &err);
        fuzz_check_message(rc, &err);
        fuzz_read_tensors(&f);
    }
    for (int i = 0; i < o.storage_count; ++i) {
        free((void *)o.storages[i].data);
    }
    clfcn_weights_close(&f);
    clfcn_torch_free(&o);
}
