/* measure.c - metrics of a network on pictures of a set, for programs with a training
 * loop of their own. */
#include "evaluate.h"

int clfcn_measure(struct clfcn_net *net, const struct clfcn_dataset *set,
                  const int *items, int count, struct clfcn_metrics *out,
                  struct clfcn_err *err)
{
    const struct clfcn_net_desc *net_desc = clfcn_net_get_desc(net);
    const struct clfcn_loader_desc desc = {
        .set = set,
        .items = items,
        .item_count = count,
        .width = net_desc->width,
        .height = net_desc->height,
        .batch = net_desc->batch,
    };
    const struct clfcn_eval_options options = { .image = NULL };
    struct clfcn_loader *loader = NULL;
    struct clfcn_eval_result result;
    if (clfcn_dataset_classes(set) != net_desc->classes) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "the network has %d classes, the data set %d",
                             net_desc->classes, clfcn_dataset_classes(set));
    }
    int rc = clfcn_loader_create(&desc, &loader, err);
    for (int s = 0; rc == CLFCN_OK && s < CLFCN_NET_SLOTS; ++s) {
        rc = clfcn_net_wait(net, s, NULL, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_evaluate(NULL, net, set, loader, &options, &result, err);
    }
    if (rc == CLFCN_OK) {
        *out = result.metrics;
        clfcn_confusion_finish(&result.confusion);
    }
    clfcn_loader_destroy(&loader);
    return rc;
}
