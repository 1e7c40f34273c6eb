/* plan.h - where each activation and gradient lives: memory reused as soon as its last
 * reader has run. */
#ifndef CLFCN_NET_PLAN_H
#define CLFCN_NET_PLAN_H

#include "tape.h"

/* Something that needs memory from time first to time last, both included. */
struct clfcn_plan_item {
    struct clfcn_tensor *tensor; /* whose memory it is during that time */
    cl_mem mem;                  /* a view, made by the network */
    size_t bytes;
    int first, last;
    int slab;      /* result */
    size_t offset; /* result: bytes from the slab's start, aligned */
};

enum { CLFCN_MAX_SLABS = 64 };

/* Buffers to allocate: one unless a device's largest buffer is smaller than the plan. */
struct clfcn_plan {
    struct clfcn_plan_item items[3 * (CLFCN_MAX_OPS + 1)];
    int item_count;
    size_t slab_bytes[CLFCN_MAX_SLABS];
    int slab_count;
};

/* Lay the items out, largest first, each at the lowest offset that is free during its
 * life (the greedy-by-size strategy of Pisarchyk and Lee, 2020). CLFCN_EDEVMEM if an item
 * alone is larger than max_slab. */
int clfcn_plan_layout(struct clfcn_plan *plan, size_t align, size_t max_slab,
                      struct clfcn_err *err);

/* Collect the activations and own gradients of graph with their lifetimes, which an
 * activation that is made again has two of, then lay them out. */
int clfcn_plan_tape(struct clfcn_plan *plan, struct clfcn_graph *graph,
                    const struct clfcn_tape *tape, size_t align, size_t max_slab,
                    struct clfcn_err *err);

#endif
