/* ref.h - plain fp64 definitions of every layer on the CPU: what the kernels are held
 * against.
 *
 * Tensors are [C][N][H][W]; every output is written completely, none is read. Written for
 * plainness, not speed. */
#ifndef CLFCN_OPS_REF_H
#define CLFCN_OPS_REF_H

#include "loss.h"

/* Shape of a convolution; out sides follow from the other numbers. */
struct clfcn_ref_conv {
    int n, in_c, in_h, in_w, out_c;
    int kernel, stride, pad;
    int out_pad; /* transposed convolution only */
};
int clfcn_ref_conv_out(const struct clfcn_ref_conv *s, int side);   /* convolution */
int clfcn_ref_deconv_out(const struct clfcn_ref_conv *s, int side); /* transposed */

/* c[m][n] = op(a) op(b) + beta c, row major, as in gemm.h. */
void clfcn_ref_gemm(bool trans_a, bool trans_b, int m, int n, int k, const double *a,
                    const double *b, double beta, double *c);

/* y without activation; w [out_c][in_c][k][k], b [out_c] */
void clfcn_ref_conv2d(const struct clfcn_ref_conv *s, const double *x, const double *w,
                      const double *b, double *y);
void clfcn_ref_conv2d_backward(const struct clfcn_ref_conv *s, const double *x,
                               const double *w, const double *dy, double *dx, double *dw,
                               double *db);
/* w [in_c][out_c][k][k] */
void clfcn_ref_deconv2d(const struct clfcn_ref_conv *s, const double *x, const double *w,
                        const double *b, double *y);
void clfcn_ref_deconv2d_backward(const struct clfcn_ref_conv *s, const double *x,
                                 const double *w, const double *dy, double *dx,
                                 double *dw, double *db);
void clfcn_ref_relu(size_t count, const double *x, double *y);
/* dx = dy where y > 0, else 0 */
void clfcn_ref_relu_backward(size_t count, const double *y, const double *dy, double *dx);
/* 2x2, stride 2; ties go to the first in row order, as in PyTorch. planes = C*N. */
void clfcn_ref_maxpool(int planes, int h, int w, const double *x, double *y);
void clfcn_ref_maxpool_backward(int planes, int h, int w, const double *x,
                                const double *dy, double *dx);
/* Training mode: x [c][row]; running statistics are updated in place (momentum 0.1, eps
 * 1e-5). */
void clfcn_ref_batchnorm(int c, size_t row, const double *x, const double *gamma,
                         const double *beta, double *running_mean, double *running_var,
                         double *y);
void clfcn_ref_batchnorm_eval(int c, size_t row, const double *x, const double *gamma,
                              const double *beta, const double *running_mean,
                              const double *running_var, double *y);
void clfcn_ref_batchnorm_backward(int c, size_t row, const double *x, const double *gamma,
                                  const double *dy, double *dx, double *dgamma,
                                  double *dbeta);
/* The loss over labelled pixels and its gradient; 0 where nothing is labelled. Of bce the
 * mean over pixels and classes; of ce the mean over pixels, weighted by their labels'
 * classes; of dice the weighted mean over classes; of focal the mean over pixels, to
 * which each gives its label's weight times as much. */
double clfcn_ref_loss(const struct clfcn_loss_how *how, int classes, size_t row,
                      const double *logits, const uint8_t *labels, double *dlogits);
/* One update in place; s0, s1 as in optim.h. */
void clfcn_ref_optim(enum clfcn_optimizer kind, size_t count, double lr, double momentum,
                     double weight_decay, double beta1, double beta2, double eps,
                     int64_t update, double *p, const double *g, double *s0, double *s1);

#endif
