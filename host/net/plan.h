/* plan.h - where everything lives that is not needed all the time: memory reused as soon
 * as its last reader has run. */
#ifndef CLFCN_NET_PLAN_H
#define CLFCN_NET_PLAN_H

#include "tape.h"

/* Something that needs memory from time first to time last, both included. */
struct clfcn_plan_item {
    cl_mem *place; /* whose memory it is during that time; borrowed */
    cl_mem mem;    /* a view, made by the network */
    size_t bytes;
    int first, last;
    /* Where in host memory it comes from when its life begins, and goes to if that
     * changes it: from byte at of *home on; home is NULL if it is made anew. */
    unsigned char *const *home;
    size_t at;
    bool changes;
    int slab;      /* result */
    size_t offset; /* result: bytes from the slab's start, aligned */
};

enum { CLFCN_MAX_SLABS = 64, CLFCN_MAX_ITEMS = 4096 };

/* Buffers to allocate: one unless a device's largest buffer is smaller than the plan. */
struct clfcn_plan {
    struct clfcn_plan_item items[CLFCN_MAX_ITEMS];
    int item_count;
    size_t slab_bytes[CLFCN_MAX_SLABS];
    int slab_count;
};

/* Add an item that lives at time only, so far. Borrowed from the plan, which must have
 * room for it: a tape's acts are few enough. */
struct clfcn_plan_item *clfcn_plan_add(struct clfcn_plan *plan, cl_mem *place,
                                       size_t bytes, int time);

/* Let an item that parts of a batch have in common live from the first to the last of
 * them. */
void clfcn_plan_keep(struct clfcn_plan_item *item, const struct clfcn_tape *tape);

/* Add the activations and own gradients of graph with their lifetimes, of which an
 * activation that is made again has two. */
void clfcn_plan_tape(struct clfcn_plan *plan, struct clfcn_graph *graph,
                     const struct clfcn_tape *tape);

/* Bytes that no layout of the items can do without, as so many live at once. */
size_t clfcn_plan_least(const struct clfcn_plan *plan);

/* Lay the items out, largest first, each at the lowest offset that is free during its
 * life (the greedy-by-size strategy of Pisarchyk and Lee, 2020). CLFCN_EDEVMEM if an item
 * alone is larger than max_slab. */
int clfcn_plan_layout(struct clfcn_plan *plan, size_t align, size_t max_slab,
                      struct clfcn_err *err);

#endif
