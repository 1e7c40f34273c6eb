#include "supervise.h"

#include "../util/child.h"
#include "../util/fork.h"
#include "../util/log.h"

/* What a child says at its end. */
struct verdict {
    int rc;
    bool device; /* it may go better with a fresh process */
    struct clfcn_err err;
};

static void say(int rc, const struct clfcn_err *err)
{
    struct verdict v = { .rc = rc, .device = rc == CLFCN_ECL || rc == CLFCN_EWRONG };
    if (rc < 0) {
        v.err = *err;
    }
    clfcn_fork_say(&v, sizeof(v));
}

void cli_supervise_hung(struct cli_env *env, const char *message, const char *advice)
{
    struct clfcn_err err;
    clfcn_err_set(&err, CLFCN_ECL, 0, "%s", message);
    if (clfcn_fork_is_child()) {
        say(CLFCN_ECL, &err);
    } else {
        clfcn_err_add(&err, "; %s", advice);
        cli_print_error(env, &err);
    }
    clfcn_exit_now(1); /* what exit() runs may wait for the device */
}

/* What a child came to that did not say. */
static void judge(const struct clfcn_fork_end *end, struct verdict *v)
{
    if (end->signal != 0) {
        char name[64];
        clfcn_signal_name(end->signal, name, sizeof(name));
        v->rc = clfcn_err_set(&v->err, CLFCN_ECL, 0, "the process was ended by %s", name);
        v->device = clfcn_signal_is_crash(end->signal);
    } else if (end->status == 130) { /* a second Ctrl-C */
        v->rc = clfcn_err_set(&v->err, CLFCN_EINTR, 0, "interrupted, nothing was saved");
        v->device = false;
    } else {
        v->rc = clfcn_err_set(&v->err, CLFCN_ECL, 0, "the process ended with status %d",
                              end->status);
        v->device = true;
    }
}

int cli_supervise(struct cli_env *env, int restarts, cli_work_fn work, void *user,
                  struct clfcn_err *err)
{
    struct verdict v = { .device = true };
    if (restarts == 0) {
        return work(user, NULL, err);
    }
    for (int i = 0; i <= restarts && v.device; ++i) {
        struct clfcn_fork child;
        struct clfcn_fork_end end;
        if (i > 0) {
            clfcn_warn("%s: goes on from the last checkpoint in a new process (%d of %d)",
                       v.err.msg, i, restarts);
        }
        int rc = clfcn_fork_start(&child, err);
        if (rc < 0) {
            return rc;
        }
        if (rc == 0) {
            rc = work(user, i > 0 ? v.err.msg : NULL, err);
            say(rc, err);
            env->told = true;
            return rc;
        }
        /* One that has said that all is well may crash in its driver's end: never mind.
         */
        if (!clfcn_fork_wait(&child, &v, sizeof(v), &end)) {
            judge(&end, &v);
        }
        v.device = v.device && !clfcn_fork_is_asked();
    }
    if (v.rc < 0) {
        *err = v.err;
    }
    return v.rc;
}
