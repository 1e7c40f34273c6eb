/* eval_part.h - what one rank's evaluation comes to, and the whole of all ranks.
 *
 * The whole has the bits that one process gets from the same values of each image: counts
 * are integers, and losses are added in the order of all images, one after the other. For
 * that each rank but the first keeps those of its images apart until the sum of the ranks
 * before it is there. */
#ifndef CLFCN_TRAIN_EVAL_PART_H
#define CLFCN_TRAIN_EVAL_PART_H

#include "../comm/comm.h"
#include "loss_sum.h"
#include "metrics.h"

struct clfcn_eval_part {
    struct clfcn_confusion confusion;
    struct clfcn_loss_sum loss; /* of the images that are not in later */
    int images;                 /* in confusion */
    bool is_first;              /* no other part's images come before */
    int width;                  /* numbers of one image's loss */
    double *later;              /* [later_count][width], in the order of the images */
    int later_count, later_room;
    double *counts; /* [classes][classes], for the exchange */
};

/* Finish with clfcn_eval_part_finish(), after an error too. */
int clfcn_eval_part_init(struct clfcn_eval_part *part, const struct clfcn_loss_how *how,
                         int classes, bool is_first, struct clfcn_err *err);
void clfcn_eval_part_finish(struct clfcn_eval_part *part);

/* Add the next image. */
int clfcn_eval_part_add(struct clfcn_eval_part *part,
                        const struct clfcn_confusion *confusion,
                        const struct clfcn_loss_sum *loss, struct clfcn_err *err);
/* Add the losses kept in from to the sum of all images before them. */
void clfcn_eval_part_fold(const struct clfcn_eval_part *from,
                          struct clfcn_loss_sum *into);

/* Replace the part by the whole of all ranks, whose images follow on each other in the
 * order of the ranks. The same bits in all. Collective. */
int clfcn_eval_part_merge(struct clfcn_eval_part *part, struct clfcn_comm *comm,
                          struct clfcn_err *err);

#endif
