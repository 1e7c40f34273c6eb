/* weights_match.h - which of a file's tensors is which of a network's. Names count
 * without what PyTorch's wrappers put before them ("module."), and torchvision's
 * `features.*` are the backbone's. A file without decoder is asked for the backbone
 * alone; the classifier for ImageNet that comes with one is left out. */
#ifndef CLFCN_NET_WEIGHTS_MATCH_H
#define CLFCN_NET_WEIGHTS_MATCH_H

#include "net.h"

/* The file's tensor that is a network's of that name, fit or not, or NULL. */
const struct clfcn_weights_tensor *
clfcn_weights_match_one(const struct clfcn_weights_file *f, const char *name);

/* Zero-initialised is empty. */
struct clfcn_weights_match {
    const struct clfcn_weights_tensor **found; /* of each wanted; NULL: none that fits */
    int found_count;
    char **problems; /* "'bn1.bias' is missing" */
    int problem_count;
    size_t problem_room;
};

/* Look for the count tensors of want in f. Integers are taken if they are there. Free
 * with clfcn_weights_match_free() in every case. */
int clfcn_weights_match(const struct clfcn_weights_file *f,
                        const struct clfcn_net_tensor *want, int count,
                        struct clfcn_weights_match *out, struct clfcn_err *err);
void clfcn_weights_match_free(struct clfcn_weights_match *m);

/* Whether that will do: CLFCN_EDATA, naming what does not match, if anything does not,
 * or, with partial, which warns of it, if nothing does. file and net ("a fcns on vgg16")
 * stand for those in messages, way_out says what the user can do. */
int clfcn_weights_match_check(const struct clfcn_weights_match *m, const char *file,
                              const char *net, const char *way_out, bool partial,
                              struct clfcn_err *err);

#endif
