#include "../util/rng.h"
#include "../util/thread.h"
#include "net_impl.h"

#include <stdlib.h>

/* One tensor to fill. */
struct fill {
    const struct clfcn_param *param;
    float *data;
    uint64_t seed;
    int index;
};

/* Each block of a tensor has a stream of its own, so that blocks can be drawn in
 * parallel. */
enum { BLOCK = 65536 };

static void fill_block(void *arg, int block)
{
    const struct fill *f = arg;
    const struct clfcn_param *p = f->param;
    const size_t begin = (size_t)block * BLOCK;
    const size_t end = begin + BLOCK < p->count ? begin + BLOCK : p->count;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, f->seed, "init", (uint64_t)f->index, (uint64_t)block);
    for (size_t i = begin; i < end; ++i) {
        switch (p->init) {
        case CLFCN_INIT_ONE:
            f->data[i] = 1.0f;
            break;
        case CLFCN_INIT_NORMAL:
            f->data[i] = (float)(clfcn_rng_normal(&rng) * p->init_scale);
            break;
        case CLFCN_INIT_UNIFORM:
            f->data[i] = (float)((2.0 * clfcn_rng_double(&rng) - 1.0) * p->init_scale);
            break;
        default:
            f->data[i] = 0.0f;
        }
    }
}

static int init_param(struct clfcn_net *net, int index, uint64_t seed,
                      struct clfcn_err *err)
{
    const struct clfcn_param *p = net->tensors[index].param;
    struct fill f = { p, malloc(p->count * sizeof(float)), seed, index };
    if (!f.data) {
        return clfcn_err_nomem(err);
    }
    clfcn_parallel_for((int)((p->count + BLOCK - 1) / BLOCK), clfcn_cpu_count(),
                       fill_block, &f);
    const int rc = clfcn_net_tensor_write(net, index, f.data, err);
    free(f.data);
    return rc;
}

int clfcn_net_init(struct clfcn_net *net, uint64_t seed, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < net->parameter_tensor_count; ++i) {
        if (net->tensors[i].place == CLFCN_IN_VALUES) {
            rc = init_param(net, i, seed, err);
        }
    }
    for (int s = 0; rc == CLFCN_OK && s < net->params.state_count; ++s) {
        rc = clfcn_buffer_zero(net->dev, net->params.states[s], 0,
                               net->params.trained_bytes, err);
    }
    net->batches_tracked = 0;
    return rc;
}
