/* tensorboard_none.c - in place of tensorboard.c where there is no protobuf-c. */
#include "tensorboard.h"

static int refuse(struct clfcn_err *err)
{
    return clfcn_err_set(
        err, CLFCN_EINVAL, 0,
        "this build writes no event files for TensorBoard: build it with "
        "protobuf-c (on Debian libprotobuf-c-dev and protobuf-c-compiler)");
}

int clfcn_tensorboard_open(const char *dir, const char *run,
                           struct clfcn_tensorboard **out, struct clfcn_err *err)
{
    *out = NULL;
    return refuse(err);
}

int clfcn_tensorboard_event(struct clfcn_tensorboard *tb, const json_t *event,
                            struct clfcn_err *err)
{
    return refuse(err);
}

int clfcn_tensorboard_close(struct clfcn_tensorboard **tb, struct clfcn_err *err)
{
    return CLFCN_OK;
}

int clfcn_tensorboard_write(const char *run, const char *dir, struct clfcn_err *err)
{
    return refuse(err);
}
