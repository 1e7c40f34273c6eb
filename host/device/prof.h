/* prof.h - how long each command of a device took, told by the device itself.
 *
 * Off unless started; then the queues keep times, every command leaves an event, and
 * collecting turns what has finished into records, for the trace (util/trace.h) and for a
 * function of the caller's. Only the thread that enqueues may call any of this. */
#ifndef CLFCN_DEVICE_PROF_H
#define CLFCN_DEVICE_PROF_H

#include "dev.h"

/* One command. */
struct clfcn_prof_record {
    const char *what; /* a kernel's entry, "upload images": borrowed for good */
    bool kernel;      /* else a transfer or fill */
    bool compute;     /* of the compute queue, else of the transfer queue */
    char layer[32];   /* what clfcn_prof_label() had said when it was enqueued */
    const char *pass;
    double begin, end; /* seconds of clfcn_clock() */
};
typedef void (*clfcn_prof_fn)(void *user, const struct clfcn_prof_record *record);

/* Put queues that keep times in the place of dev's; waits for what is on them. Does
 * nothing if it is on already. As clfcn_prof_by_host() where the device tells no times.
 * CLFCN_ECL if it has no such queues. */
int clfcn_prof_start(struct clfcn_dev *dev, struct clfcn_err *err);
/* Collect the rest and return to plain queues. */
int clfcn_prof_stop(struct clfcn_dev *dev, struct clfcn_err *err);
/* Collect the rest; the queues stay as they are. Does nothing if it is off. */
void clfcn_prof_finish(struct clfcn_dev *dev);
/* From now on measure by the host's clock, command after command, each waited for before
 * the next: for drivers whose own times are wrong. */
void clfcn_prof_by_host(struct clfcn_dev *dev);
bool clfcn_prof_is_on(const struct clfcn_dev *dev);

/* Send records to fn as well, in the order of enqueueing; NULL: no more. */
void clfcn_prof_listen(struct clfcn_dev *dev, clfcn_prof_fn fn, void *user);

/* What the commands that follow are for. layer is copied, pass borrowed for good; "" and
 * NULL: nothing in particular. */
void clfcn_prof_label(struct clfcn_dev *dev, const char *layer, const char *pass);
/* Another pass of the same layer. */
void clfcn_prof_set_pass(struct clfcn_dev *dev, const char *pass);

/* Where the enqueueing call that follows is to leave its event; NULL, which those calls
 * take for no wish, while profiling is off or memory is exhausted. */
cl_event *clfcn_prof_event(struct clfcn_dev *dev, const char *what);
/* The same for a call that enqueues several commands and tells of the last only: the
 * record begins where all earlier commands end. */
cl_event *clfcn_prof_call(struct clfcn_dev *dev, const char *what);
/* Profile a command whose event the caller has use for; event is retained. */
void clfcn_prof_keep(struct clfcn_dev *dev, cl_event event, const char *what);

/* Turn the commands that have finished into records, up to the first that has not. To be
 * called now and then, for
 * events take memory until then. */
void clfcn_prof_collect(struct clfcn_dev *dev);
/* Wait for all commands and turn them into records. */
void clfcn_prof_drain(struct clfcn_dev *dev);

#endif
