#include "op_impl.h"

#include "../device/prof.h"
#include "conv.h"
#include <stdio.h>
#include <stdlib.h>

size_t clfcn_tensor_row(const struct clfcn_tensor *t)
{
    return (size_t)t->n * (size_t)t->h * (size_t)t->w;
}

size_t clfcn_tensor_count(const struct clfcn_tensor *t)
{
    return (size_t)t->c * clfcn_tensor_row(t);
}

int clfcn_op_alloc(size_t size, const struct clfcn_op_impl *impl, struct clfcn_op **out,
                   struct clfcn_err *err)
{
    struct clfcn_op *op = calloc(1, size);
    if (!op) {
        return clfcn_err_nomem(err);
    }
    op->impl = impl;
    *out = op;
    return CLFCN_OK;
}

void clfcn_op_set_name(struct clfcn_op *op, const char *name, const char *prefix)
{
    snprintf(op->name, sizeof(op->name), "%s", name);
    snprintf(op->prefix, sizeof(op->prefix), "%s", prefix ? prefix : "");
}

void clfcn_op_destroy(struct clfcn_op **op)
{
    if (*op) {
        if ((*op)->impl->finish) {
            (*op)->impl->finish(*op);
        }
        free(*op);
        *op = NULL;
    }
}

struct clfcn_param *clfcn_op_add_param(struct clfcn_op *op, const char *suffix,
                                       bool learned, enum clfcn_init init,
                                       double init_scale, int ndim, const int64_t *dims)
{
    struct clfcn_param *p = &op->params[op->param_count++];
    *p = (struct clfcn_param){ .suffix = suffix,
                               .ndim = ndim,
                               .count = 1,
                               .learned = learned,
                               .init = init,
                               .init_scale = init_scale };
    for (int i = 0; i < ndim; ++i) {
        p->dims[i] = dims[i];
        p->count *= (size_t)dims[i];
    }
    return p;
}

int clfcn_op_check_row(const struct clfcn_tensor *t, struct clfcn_err *err)
{
    if (t->c < 1 || t->n < 1 || t->h < 1 || t->w < 1) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "a tensor of %dx%dx%dx%d is empty",
                             t->c, t->n, t->h, t->w);
    }
    if (clfcn_tensor_row(t) > CLFCN_MAX_ROW) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "%d images of %dx%d are more pixels than a kernel can count: lower "
            "--batch or --size",
            t->n, t->w, t->h);
    }
    return CLFCN_OK;
}

void clfcn_prof_pass(struct clfcn_dev *dev, enum clfcn_pass pass)
{
    clfcn_prof_set_pass(dev, clfcn_pass_name(pass));
}

int clfcn_op_chunks(size_t row)
{
    return (int)((row + CLFCN_CHUNK - 1) / CLFCN_CHUNK);
}

int clfcn_launch_rows(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                      int vector_width, size_t row, int channels,
                      const struct clfcn_arg *args, int arg_count, struct clfcn_err *err)
{
    const size_t vw = (size_t)vector_width;
    const size_t global[] = { (row + vw - 1) / vw, (size_t)channels };
    const size_t local[] = { dev->info.max_work_group < 64 ? 1 : 64, 1 };
    return clfcn_launch(dev, kernel, 2, global, local, args, arg_count, err);
}

int clfcn_launch_chunks(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                        int group, size_t row, int channels, const struct clfcn_arg *args,
                        int arg_count, struct clfcn_err *err)
{
    const size_t global[] = { (size_t)clfcn_op_chunks(row) * (size_t)group,
                              (size_t)channels };
    const size_t local[] = { (size_t)group, 1 };
    return clfcn_launch(dev, kernel, 2, global, local, args, arg_count, err);
}

int clfcn_launch_each(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                      size_t count, const struct clfcn_arg *args, int arg_count,
                      struct clfcn_err *err)
{
    const size_t local[] = { dev->info.max_work_group < 64 ? 1 : 64 };
    return clfcn_launch(dev, kernel, 1, &count, local, args, arg_count, err);
}
