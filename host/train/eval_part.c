/* eval_part.c - parts of an evaluation, put together without an error of their own. */
#include "eval_part.h"
#include "../util/err.h"

#include <stdlib.h>
#include <string.h>

int clfcn_eval_part_init(struct clfcn_eval_part *part, const struct clfcn_loss_how *how,
                         int classes, bool is_first, struct clfcn_err *err)
{
    memset(part, 0, sizeof(*part));
    part->is_first = is_first;
    part->width = clfcn_loss_sum_width(how, classes);
    part->counts = calloc((size_t)classes * (size_t)classes, sizeof(*part->counts));
    return part->counts != NULL ? clfcn_confusion_init(&part->confusion, classes, err)
                                : clfcn_err_nomem(err);
}

void clfcn_eval_part_finish(struct clfcn_eval_part *part)
{
    clfcn_confusion_finish(&part->confusion);
    free(part->later);
    free(part->counts);
    memset(part, 0, sizeof(*part));
}

static int keep_for_later(struct clfcn_eval_part *part, const struct clfcn_loss_sum *loss,
                          struct clfcn_err *err)
{
    const size_t width = (size_t)part->width;
    if (part->later_count == part->later_room) {
        const int room = part->later_room > 0 ? 2 * part->later_room : 64;
        double *later = realloc(part->later, (size_t)room * width * sizeof(*later));
        if (later == NULL) {
            return clfcn_err_nomem(err);
        }
        part->later = later;
        part->later_room = room;
    }
    clfcn_loss_sum_pack(loss, part->confusion.classes,
                        part->later + (size_t)part->later_count++ * width, part->width);
    return CLFCN_OK;
}

int clfcn_eval_part_add(struct clfcn_eval_part *part,
                        const struct clfcn_confusion *confusion,
                        const struct clfcn_loss_sum *loss, struct clfcn_err *err)
{
    clfcn_confusion_merge(&part->confusion, confusion);
    ++part->images;
    if (!part->is_first) {
        return keep_for_later(part, loss, err);
    }
    clfcn_loss_sum_merge(&part->loss, loss, part->confusion.classes);
    return CLFCN_OK;
}

void clfcn_eval_part_fold(const struct clfcn_eval_part *from, struct clfcn_loss_sum *into)
{
    const int classes = from->confusion.classes;
    struct clfcn_loss_sum one;
    for (int i = 0; i < from->later_count; ++i) {
        clfcn_loss_sum_unpack(&one, classes,
                              from->later + (size_t)i * (size_t)from->width, from->width);
        clfcn_loss_sum_merge(into, &one, classes);
    }
}

/* From rank to rank goes the sum so far, to which each adds its images. */
static int merge_losses(struct clfcn_eval_part *part, struct clfcn_comm *comm,
                        struct clfcn_err *err)
{
    const int classes = part->confusion.classes;
    double numbers[CLFCN_LOSS_NUMBERS_MAX];
    for (int rank = 0; rank < clfcn_comm_size(comm); ++rank) {
        memset(numbers, 0, sizeof(numbers)); /* to be summed with the one that has them */
        if (rank == clfcn_comm_rank(comm)) {
            clfcn_eval_part_fold(part, &part->loss);
            clfcn_loss_sum_pack(&part->loss, classes, numbers, part->width);
        }
        const int rc = clfcn_comm_sum(comm, numbers, (size_t)part->width, err);
        if (rc < 0) {
            return rc;
        }
        clfcn_loss_sum_unpack(&part->loss, classes, numbers, part->width);
    }
    part->later_count = 0;
    return CLFCN_OK;
}

int clfcn_eval_part_merge(struct clfcn_eval_part *part, struct clfcn_comm *comm,
                          struct clfcn_err *err)
{
    const size_t classes = (size_t)part->confusion.classes, cells = classes * classes;
    double images = part->images;
    int rc = merge_losses(part, comm, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_sum(comm, &images, 1, err);
    }
    for (size_t i = 0; i < cells; ++i) {
        part->counts[i] = (double)part->confusion.counts[i]; /* exact below 2^53 */
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_sum(comm, part->counts, cells, err);
    }
    if (rc < 0) {
        return rc;
    }
    part->images = (int)images;
    for (size_t i = 0; i < cells; ++i) {
        part->confusion.counts[i] = (uint64_t)part->counts[i];
    }
    return CLFCN_OK;
}
