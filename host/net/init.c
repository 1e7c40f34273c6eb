#include "../util/rng.h"
#include "../util/thread.h"
#include "../util/trace.h"
#include "net_impl.h"

#include <stdlib.h>

/* Each block of a tensor has a stream of its own, so that blocks can be drawn in
 * parallel. */
enum { BLOCK = 65536 };

struct block {
    int tensor;    /* its entry in net->tensors */
    size_t number; /* within the tensor */
};

struct fill {
    const struct clfcn_net *net;
    unsigned char *learned, *statistics; /* the parameters */
    struct block *blocks;
    uint64_t seed;
};

static void fill_block(void *arg, int i)
{
    const struct fill *f = arg;
    const struct block *block = &f->blocks[i];
    const struct clfcn_tensor_entry *entry = &f->net->tensors[block->tensor];
    const struct clfcn_param *p = entry->param;
    const size_t begin = block->number * BLOCK;
    const size_t count = p->count - begin < BLOCK ? p->count - begin : BLOCK;
    const size_t learned_end = f->net->params.learned_end;
    unsigned char *at = entry->offset < learned_end
                            ? f->learned + entry->offset
                            : f->statistics + (entry->offset - learned_end);
    float *data = (float *)(void *)at + begin;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, f->seed, "init", (uint64_t)block->tensor,
                   (uint64_t)block->number);
    if (p->init == CLFCN_INIT_NORMAL) {
        clfcn_rng_fill_normal(&rng, p->init_scale, data, count);
        return;
    }
    for (size_t j = 0; j < count; ++j) {
        switch (p->init) {
        case CLFCN_INIT_ONE:
            data[j] = 1.0f;
            break;
        case CLFCN_INIT_UNIFORM:
            data[j] = (float)((2.0 * clfcn_rng_double(&rng) - 1.0) * p->init_scale);
            break;
        default:
            data[j] = 0.0f;
        }
    }
}

/* All blocks of all parameters, in a new array; NULL without memory. */
static struct block *list_blocks(const struct clfcn_net *net, int *count)
{
    size_t n = 0;
    for (int t = 0; t < net->parameter_tensor_count; ++t) {
        if (net->tensors[t].place == CLFCN_IN_VALUES) {
            n += (net->tensors[t].param->count + BLOCK - 1) / BLOCK;
        }
    }
    struct block *blocks = malloc((n + 1) * sizeof(*blocks));
    *count = 0;
    for (int t = 0; blocks && t < net->parameter_tensor_count; ++t) {
        if (net->tensors[t].place == CLFCN_IN_VALUES) {
            for (size_t b = 0; b * BLOCK < net->tensors[t].param->count; ++b) {
                blocks[(*count)++] = (struct block){ t, b };
            }
        }
    }
    return blocks;
}

int clfcn_net_init(struct clfcn_net *net, uint64_t seed, struct clfcn_err *err)
{
    const double begin = clfcn_trace_begin();
    struct fill fill = { .net = net, .seed = seed };
    void *mapped = NULL;
    net->derived = false;
    int count, rc = CLFCN_OK;
    fill.blocks = list_blocks(net, &count);
    if (!fill.blocks) {
        return clfcn_err_nomem(err);
    }
    rc = clfcn_params_zero_states(net, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_params_map(net, &fill.learned, &fill.statistics, &mapped, err);
    }
    if (rc == CLFCN_OK) {
        clfcn_parallel_for(count, clfcn_cpu_count(), fill_block, &fill);
        rc = clfcn_buffer_unmap(net->dev, net->params.values, mapped, err);
        if (rc < 0) {
            clfcn_err_note(err, "buffer 'weights'");
        }
    }
    free(fill.blocks);
    net->batches_tracked = 0;
    clfcn_trace_end("draw weights", begin);
    return rc;
}
