/* tensorboard.h - a run as an event file that TensorBoard reads: `loss` and `lr` of each
 * step; `train_loss`, `val_loss`, `pixel_acc`, `mean_acc`, `mean_iou`, `fw_iou`,
 * `images_per_s`, `iou/CLASS` and the pictures `samples/NAME` of each epoch, at its last
 * step. */
#ifndef CLFCN_REPORT_TENSORBOARD_H
#define CLFCN_REPORT_TENSORBOARD_H

#include "../util/err.h"
#include <jansson.h>

/* An event file that grows with a run. */
struct clfcn_tensorboard;

/* Create dir and in it a new file, events.out.tfevents.TIME.HOST.N.
 *
 * @param run  The run's folder, whose samples/ is looked into after each epoch. Copied.
 * @param out  Receives the file, or NULL on error. Close with clfcn_tensorboard_close().
 * @return CLFCN_OK; CLFCN_EIO if that cannot be written; CLFCN_ENOMEM; CLFCN_EINVAL if
 *         this build writes no such files. */
int clfcn_tensorboard_open(const char *dir, const char *run,
                           struct clfcn_tensorboard **out, struct clfcn_err *err);

/* Append what an event of the run's log says: "start" tells the names of the classes, and
 * that what an earlier file has beyond its step no longer counts. Readers see it after
 * each epoch, and every few seconds. */
int clfcn_tensorboard_event(struct clfcn_tensorboard *tb, const json_t *event,
                            struct clfcn_err *err);

/* CLFCN_EIO if the last of it could not be written. A file without any event is removed.
 * *tb becomes NULL; NULL is fine. */
int clfcn_tensorboard_close(struct clfcn_tensorboard **tb, struct clfcn_err *err);

/* Write all of a run's log as one file in dir, with the times at which it happened.
 * Replaces a file that was made of this run before. Otherwise as
 * clfcn_tensorboard_open(); CLFCN_EDATA if run is no run folder. */
int clfcn_tensorboard_write(const char *run, const char *dir, struct clfcn_err *err);

#endif
