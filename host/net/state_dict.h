/* state_dict.h - a file's weights as those of an FCN: found under the names that PyTorch
 * gives them, listed in the order of its state_dict. Needs no device. */
#ifndef CLFCN_NET_STATE_DICT_H
#define CLFCN_NET_STATE_DICT_H

#include "graph.h"
#include "weights_match.h"

/* All that a graph can have, and a num_batches_tracked of each op. */
enum { CLFCN_STATE_DICT_MAX = CLFCN_MAX_OPS * (CLFCN_OP_MAX_PARAMS + 1) };

struct clfcn_state_dict {
    const struct clfcn_weights_file *file; /* borrowed, */
    const char *name;                      /* as is what stands for it in messages */
    enum clfcn_backbone backbone;
    int classes; /* 0: no whole network, as the file has no classifier */
    /* Parameters and buffers, those of a layer together. */
    struct clfcn_net_tensor tensors[CLFCN_STATE_DICT_MAX];
    char names[CLFCN_STATE_DICT_MAX][80];
    int count;
    struct clfcn_weights_match match; /* found[i] is tensors[i]'s source */
};

/* Look in f for an FCN on that backbone with so many classes (0: for the backbone), or,
 * with clfcn_state_dict_guess(), on the backbone that fits best, with the classes that
 * its classifier has. What does not match is not an error before
 * clfcn_state_dict_check(). Free with clfcn_state_dict_destroy(). */
int clfcn_state_dict_create(const struct clfcn_weights_file *f, const char *name,
                            enum clfcn_backbone backbone, int classes,
                            struct clfcn_state_dict **out, struct clfcn_err *err);
int clfcn_state_dict_guess(const struct clfcn_weights_file *f, const char *name,
                           struct clfcn_state_dict **out, struct clfcn_err *err);
/* Free *sd and set it to NULL. Takes a pointer to NULL. */
void clfcn_state_dict_destroy(struct clfcn_state_dict **sd);

/* Whether that will do, as clfcn_weights_match_check() says. */
int clfcn_state_dict_check(const struct clfcn_state_dict *sd, const char *way_out,
                           bool partial, struct clfcn_err *err);

/* Whether tensor i is there: all are but what a file lacks that is only a backbone, or
 * was taken in part. */
bool clfcn_state_dict_has(const struct clfcn_state_dict *sd, int i);
/* How many are. */
int clfcn_state_dict_tensors(const struct clfcn_state_dict *sd);
/* Elements of tensor i. */
size_t clfcn_state_dict_elements(const struct clfcn_state_dict *sd, int i);
/* Read tensor i, which is there: as float, or int64_t for num_batches_tracked. */
int clfcn_state_dict_read(const struct clfcn_state_dict *sd, int i, void *data,
                          struct clfcn_err *err);

/* Write what is there as safetensors, floats in the format dtype. */
int clfcn_state_dict_save(const struct clfcn_state_dict *sd, enum clfcn_dtype dtype,
                          const char *path, struct clfcn_err *err);
/* Likewise as torch.save() would: a zip archive that torch.load() takes. CLFCN_EINVAL if
 * this build has no libzip. (torch_save.c) */
int clfcn_state_dict_save_torch(const struct clfcn_state_dict *sd, enum clfcn_dtype dtype,
                                const char *path, struct clfcn_err *err);

#endif
