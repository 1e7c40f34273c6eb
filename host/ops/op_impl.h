/* op_impl.h - what the op_*.c files share: construction, launch geometry,
 * arithmetic. */
#ifndef CLFCN_OPS_OP_IMPL_H
#define CLFCN_OPS_OP_IMPL_H

#include "../device/buffer.h"
#include "defaults.h"
#include "gemm.h"
#include "op.h"

enum {
    CLFCN_CHUNK = 8192,            /* elements of a row that one work-group reduces */
    CLFCN_MAX_ROW = (1 << 30) - 1, /* kernels index the pixels of a row by int */
};

/* How work is shared out; all arguments positive. */
static inline int clfcn_parts_of(int n, int size)
{
    return (n + size - 1) / size;
}

static inline int clfcn_round_up(int n, int to)
{
    return clfcn_parts_of(n, to) * to;
}

static inline int clfcn_smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Allocate size bytes, zeroed, that begin with a struct clfcn_op. */
int clfcn_op_alloc(size_t size, const struct clfcn_op_impl *impl, struct clfcn_op **out,
                   struct clfcn_err *err);
struct clfcn_param *clfcn_op_add_param(struct clfcn_op *op, const char *suffix,
                                       bool learned, enum clfcn_init init,
                                       double init_scale, int ndim, const int64_t *dims);
/* Every op's first check of its input's shape. */
int clfcn_op_check_row(const struct clfcn_tensor *t, struct clfcn_err *err);

/* Say for the profile which pass the kernels that follow belong to: an op with weights
 * does so before each of the two in its backward pass. */
void clfcn_prof_pass(struct clfcn_dev *dev, enum clfcn_pass pass);

/* Chunks that a row is cut into. */
int clfcn_op_chunks(size_t row);

/* One item per vector_width elements of a row, rows in the second dimension. */
int clfcn_launch_rows(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                      int vector_width, size_t row, int channels,
                      const struct clfcn_arg *args, int arg_count, struct clfcn_err *err);
/* One work-group of group items per chunk of a row, rows in the second dimension. */
int clfcn_launch_chunks(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                        int group, size_t row, int channels, const struct clfcn_arg *args,
                        int arg_count, struct clfcn_err *err);
/* count items in one dimension. */
int clfcn_launch_each(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                      size_t count, const struct clfcn_arg *args, int arg_count,
                      struct clfcn_err *err);

/* The bias and ReLU that follow a matrix product, and their gradients. */
struct clfcn_bias_relu {
    struct clfcn_kernel forward, backward, finish;
    struct clfcn_defaults defaults;
};

/* mask: the op's own backward pass must apply the ReLU mask to dy. */
int clfcn_bias_relu_prepare(struct clfcn_bias_relu *br, bool relu, bool mask,
                            const struct clfcn_op_env *env, struct clfcn_err *err);
/* y = relu(y + bias), in place. */
int clfcn_bias_relu_forward(const struct clfcn_bias_relu *br, struct clfcn_dev *dev,
                            const struct clfcn_tensor *y, cl_mem bias,
                            struct clfcn_err *err);
/* dy *= (y > 0) if mask was set, in place; dbias (if not NULL) = row sums of dy. */
int clfcn_bias_relu_backward(const struct clfcn_bias_relu *br,
                             const struct clfcn_op_run *run, const struct clfcn_tensor *y,
                             const struct clfcn_tensor *dy, cl_mem dbias,
                             struct clfcn_err *err);
/* Scratch bytes of the backward pass. */
size_t clfcn_bias_relu_scratch(const struct clfcn_tensor *y);

/* Columns for matrix products: whole output rows, as many as fit. */
struct clfcn_im2col {
    struct clfcn_kernel kernel;
    bool by_rows;
    int kernel_size, stride;
};

int clfcn_im2col_prepare(struct clfcn_im2col *im, int kernel_size, int stride,
                         const struct clfcn_op_env *env, struct clfcn_err *err);
/* How many output pixels (x's sides over stride, rounded up) to take at a time so that
 * their columns stay within limit bytes: whole rows of pixels, at least one, at most all.
 */
int clfcn_im2col_slice(const struct clfcn_tensor *x, int kernel_size, int stride,
                       size_t limit);
/* Write the columns of output pixels first .. first+count-1 of x to columns, from float
 * offset on. */
int clfcn_im2col_run(const struct clfcn_im2col *im, struct clfcn_dev *dev,
                     const struct clfcn_tensor *x, cl_mem columns, size_t offset,
                     int first, int count, struct clfcn_err *err);

/* Turn weights [out][in][k][k] round (cl/rotate.cl): rotated is [in][out][k][k]. */
int clfcn_rotate_prepare(struct clfcn_kernel *kernel, int kernel_size,
                         const struct clfcn_op_env *env, struct clfcn_err *err);
int clfcn_rotate_run(const struct clfcn_kernel *kernel, struct clfcn_dev *dev,
                     cl_mem weight, int out_channels, int in_channels, cl_mem rotated,
                     struct clfcn_err *err);

#endif
