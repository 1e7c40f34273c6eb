/* tensors.c - reading the tensors that a fuzz target has found. */
#include "../../host/net/weights_file.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNT = 1 << 16, MAX_BYTES = 1 << 24 };

void fuzz_read_tensors(const struct clfcn_weights_file *f)
{
    for (int i = 0; i < f->count; ++i) {
        const struct clfcn_weights_tensor *t = &f->tensors[i];
        FUZZ_ASSERT(t->ndim >= 0 && t->ndim <= CLFCN_MAX_DIMS);
        FUZZ_ASSERT((t->count == 0) == (t->span == 0));
        FUZZ_ASSERT(clfcn_weights_name_ok(t->name));
        FUZZ_ASSERT(clfcn_weights_find(f, t->name) == t);
        if (t->count > MAX_COUNT || t->offset + t->span > MAX_BYTES) {
            continue;
        }
        struct clfcn_err err;
        const bool held = fuzz_memory_hold(true);
        void *numbers = calloc(t->count + 1, sizeof(int64_t));
        fuzz_memory_hold(held);
        const int rc = t->dtype == CLFCN_I64 ? clfcn_weights_integers(f, t, numbers, &err)
                                             : clfcn_weights_floats(f, t, numbers, &err);
        fuzz_check_message(rc, &err);
        free(numbers);
    }
}
