/* profile.c - --profile FILE: the trace's life in a command. */
#include "profile.h"
#include "../device/prof.h"
#include "../util/log.h"
#include "../util/trace.h"

/* Some 2500 training steps of vgg16; 40 MB on the host. */
enum { EVENT_LIMIT = 500000 };

int cli_profile_check(struct cli_env *env, struct clfcn_err *err)
{
    struct clfcn_atomic_file file;
    if (!env->profile.path) {
        return CLFCN_OK;
    }
    int rc = clfcn_atomic_open(&file, env->profile.path, err);
    clfcn_atomic_abort(&file);
    if (rc < 0) {
        clfcn_err_note(err, "--profile");
        rc = CLFCN_EINVAL;
        err->code = rc;
    }
    env->profile.writable = rc == CLFCN_OK;
    return rc;
}

int cli_profile_start(struct cli_env *env, struct clfcn_dev *dev, struct clfcn_err *err)
{
    if (!env->profile.path) {
        return CLFCN_OK;
    }
    clfcn_trace_start(EVENT_LIMIT);
    const int rc = clfcn_prof_start(dev, err);
    if (rc < 0) {
        clfcn_err_note(err, "--profile");
    }
    return rc;
}

static int write_file(const char *path, struct clfcn_err *err)
{
    struct clfcn_atomic_file file;
    int rc = clfcn_atomic_open(&file, path, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_trace_write(&file, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_commit(&file, err);
    }
    clfcn_atomic_abort(&file);
    return rc;
}

int cli_profile_finish(struct cli_env *env, int rc, struct clfcn_err *err)
{
    struct clfcn_err own = { 0 };
    if (!env->profile.writable) {
        return rc;
    }
    clfcn_trace_stop();
    const int written = write_file(env->profile.path, &own);
    const int64_t left_out = clfcn_trace_left_out();
    clfcn_trace_clear();
    if (written < 0) {
        clfcn_err_note(&own, "--profile");
        if (rc < 0) {
            cli_screen_print(&env->screen, stderr, "clfcn: %s: %s\n", env->command->name,
                             own.msg);
            return rc;
        }
        *err = own;
        return written;
    }
    if (left_out > 0) {
        clfcn_warn("%s holds the first %d events; %lld more found no room: profile fewer "
                   "steps",
                   env->profile.path, EVENT_LIMIT, (long long)left_out);
    }
    if (!env->quiet && !env->json) {
        cli_screen_print(&env->screen, stderr,
                         "profile: %s, to be opened in https://ui.perfetto.dev\n",
                         env->profile.path);
    }
    return rc;
}
