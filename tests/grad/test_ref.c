/* test_ref.c - the references themselves: their gradients against finite differences in
 * double, and against what has been computed by hand. Needs no device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../host/ops/ref.h"
#include "../../host/util/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { MAX_INPUTS = 3 };

/* A function of up to three inputs, summed to a scalar with fixed weights dy: its
 * gradient is what a backward pass computes from dy. */
struct function {
    void *arg;
    size_t outputs, inputs[MAX_INPUTS]; /* elements; 0: not used */
    void (*forward)(void *arg, double *const in[MAX_INPUTS], double *y);
    void (*backward)(void *arg, double *const in[MAX_INPUTS], const double *dy,
                     double *const din[MAX_INPUTS]);
};

static double *doubles(size_t count)
{
    double *v = calloc(count > 0 ? count : 1, sizeof(*v));
    assert_non_null(v);
    return v;
}

static double *random_doubles(struct clfcn_rng *rng, size_t count)
{
    double *v = doubles(count);
    for (size_t i = 0; i < count; ++i) {
        v[i] = clfcn_rng_normal(rng);
    }
    return v;
}

static double weighted_sum(const struct function *f, double *const in[MAX_INPUTS],
                           const double *dy, double *y)
{
    double sum = 0.0;
    f->forward(f->arg, in, y);
    for (size_t i = 0; i < f->outputs; ++i) {
        sum += y[i] * dy[i];
    }
    return sum;
}

/* The central difference for one element. */
static double difference(const struct function *f, double *const in[MAX_INPUTS],
                         const double *dy, double *y, double *element)
{
    const double step = 1e-5, kept = *element;
    *element = kept + step;
    const double above = weighted_sum(f, in, dy, y);
    *element = kept - step;
    const double below = weighted_sum(f, in, dy, y);
    *element = kept;
    return (above - below) / (2.0 * step);
}

static void check_gradient(const struct function *f)
{
    struct clfcn_rng rng;
    double *in[MAX_INPUTS], *din[MAX_INPUTS];
    clfcn_rng_init(&rng, 2, "gradient", 0, 0);
    for (int k = 0; k < MAX_INPUTS; ++k) {
        in[k] = random_doubles(&rng, f->inputs[k]);
        din[k] = doubles(f->inputs[k]);
        for (size_t i = 0; i < f->inputs[k]; ++i) {
            din[k][i] = NAN;
        }
    }
    double *dy = random_doubles(&rng, f->outputs), *y = doubles(f->outputs);
    f->backward(f->arg, in, dy, din);
    for (int k = 0; k < MAX_INPUTS; ++k) {
        for (size_t i = 0; i < f->inputs[k]; ++i) {
            const double want = difference(f, in, dy, y, &in[k][i]);
            if (!(fabs(din[k][i] - want) <= 1e-7 * (1.0 + fabs(want)))) {
                fail_msg("gradient of input %d, element %zu: %.12g, by differences %.12g",
                         k, i, din[k][i], want);
            }
        }
    }
    for (int k = 0; k < MAX_INPUTS; ++k) {
        free(in[k]);
        free(din[k]);
    }
    free(dy);
    free(y);
}

static void conv_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    clfcn_ref_conv2d(arg, in[0], in[1], in[2], y);
}

static void conv_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                          double *const din[MAX_INPUTS])
{
    clfcn_ref_conv2d_backward(arg, in[0], in[1], dy, din[0], din[1], din[2]);
}

static void deconv_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    clfcn_ref_deconv2d(arg, in[0], in[1], in[2], y);
}

static void deconv_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                            double *const din[MAX_INPUTS])
{
    clfcn_ref_deconv2d_backward(arg, in[0], in[1], dy, din[0], din[1], din[2]);
}

static size_t input_count(const struct clfcn_ref_conv *s)
{
    return (size_t)s->in_c * s->n * s->in_h * s->in_w;
}

static size_t weight_count(const struct clfcn_ref_conv *s)
{
    return (size_t)s->in_c * s->out_c * s->kernel * s->kernel;
}

static size_t conv_count(const struct clfcn_ref_conv *s)
{
    return (size_t)s->out_c * s->n * clfcn_ref_conv_out(s, s->in_h) *
           clfcn_ref_conv_out(s, s->in_w);
}

static size_t deconv_count(const struct clfcn_ref_conv *s)
{
    return (size_t)s->out_c * s->n * clfcn_ref_deconv_out(s, s->in_h) *
           clfcn_ref_deconv_out(s, s->in_w);
}

static void test_conv_gradient(void **state)
{
    struct clfcn_ref_conv shapes[] = {
        { 2, 2, 3, 5, 3, 3, 1, 1, 0 },
        { 1, 3, 2, 2, 2, 1, 1, 0, 0 },
        { 1, 1, 1, 1, 1, 3, 1, 1, 0 },
        { 2, 2, 6, 5, 2, 3, 2, 1, 0 },
    };
    for (size_t i = 0; i < COUNT(shapes); ++i) {
        struct clfcn_ref_conv *s = &shapes[i];
        check_gradient(&(struct function){
            .arg = s,
            .outputs = conv_count(s),
            .inputs = { input_count(s), weight_count(s), (size_t)s->out_c },
            .forward = conv_forward,
            .backward = conv_backward,
        });
    }
}

static void test_deconv_gradient(void **state)
{
    struct clfcn_ref_conv shapes[] = {
        { 2, 2, 3, 2, 3, 3, 2, 1, 1 },
        { 1, 1, 1, 1, 1, 3, 2, 1, 1 },
        { 1, 2, 2, 3, 2, 3, 1, 1, 0 },
    };
    for (size_t i = 0; i < COUNT(shapes); ++i) {
        struct clfcn_ref_conv *s = &shapes[i];
        check_gradient(&(struct function){
            .arg = s,
            .outputs = deconv_count(s),
            .inputs = { input_count(s), weight_count(s), (size_t)s->out_c },
            .forward = deconv_forward,
            .backward = deconv_backward,
        });
    }
}

/* A transposed convolution is by definition the input gradient of the convolution that
 * goes the other way, with the same weights. */
static void test_deconv_is_conv_gradient(void **state)
{
    const struct clfcn_ref_conv up = { 2, 3, 3, 5, 4, 3, 2, 1, 1 };
    const struct clfcn_ref_conv down = {
        .n = up.n,
        .in_c = up.out_c,
        .out_c = up.in_c,
        .kernel = 3,
        .stride = 2,
        .pad = 1,
        .in_h = clfcn_ref_deconv_out(&up, up.in_h),
        .in_w = clfcn_ref_deconv_out(&up, up.in_w),
    };
    assert_int_equal(down.in_h, 6);
    assert_int_equal(down.in_w, 10);
    assert_int_equal(clfcn_ref_conv_out(&down, down.in_h), up.in_h);
    assert_int_equal(clfcn_ref_conv_out(&down, down.in_w), up.in_w);

    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 3, "transposed", 0, 0);
    double *x = random_doubles(&rng, input_count(&up)),
           *w = random_doubles(&rng, weight_count(&up));
    double *b = doubles((size_t)up.out_c), *y = doubles(deconv_count(&up));
    double *wide = doubles(deconv_count(&up)), *dx = doubles(deconv_count(&up));
    double *dw = doubles(weight_count(&up)), *db = doubles((size_t)up.in_c);
    clfcn_ref_deconv2d(&up, x, w, b, y);
    clfcn_ref_conv2d_backward(&down, wide, w, x, dx, dw, db);
    for (size_t i = 0; i < deconv_count(&up); ++i) {
        assert_true(fabs(y[i] - dx[i]) <= 1e-12);
    }
    double *const all[] = { x, w, b, y, wide, dx, dw, db };
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]);
    }
}

struct rows {
    int c;
    size_t row;
};

static void norm_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    const struct rows *r = arg;
    double mean[8] = { 0 }, var[8] = { 0 };
    clfcn_ref_batchnorm(r->c, r->row, in[0], in[1], in[2], mean, var, y);
}

static void norm_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                          double *const din[MAX_INPUTS])
{
    const struct rows *r = arg;
    clfcn_ref_batchnorm_backward(r->c, r->row, in[0], in[1], dy, din[0], din[1], din[2]);
}

static void test_batchnorm_gradient(void **state)
{
    struct rows shapes[] = { { 3, 10 }, { 1, 5 }, { 2, 3 } };
    for (size_t i = 0; i < COUNT(shapes); ++i) {
        const size_t c = (size_t)shapes[i].c, count = c * shapes[i].row;
        check_gradient(&(struct function){
            .arg = &shapes[i],
            .outputs = count,
            .inputs = { count, c, c },
            .forward = norm_forward,
            .backward = norm_backward,
        });
    }
}

struct planes {
    int planes, h, w;
};

static void pool_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    const struct planes *p = arg;
    clfcn_ref_maxpool(p->planes, p->h, p->w, in[0], y);
}

static void pool_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                          double *const din[MAX_INPUTS])
{
    const struct planes *p = arg;
    clfcn_ref_maxpool_backward(p->planes, p->h, p->w, in[0], dy, din[0]);
}

/* Random values lie apart by far more than the step of the differences, so no window
 * changes its largest one. */
static void test_pool_gradient(void **state)
{
    struct planes shapes[] = { { 3, 4, 6 }, { 2, 5, 7 }, { 1, 2, 2 } };
    for (size_t i = 0; i < COUNT(shapes); ++i) {
        const struct planes *p = &shapes[i];
        check_gradient(&(struct function){
            .arg = &shapes[i],
            .outputs = (size_t)p->planes * (p->h / 2) * (p->w / 2),
            .inputs = { (size_t)p->planes * p->h * p->w },
            .forward = pool_forward,
            .backward = pool_backward,
        });
    }
}

static void relu_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    clfcn_ref_relu(*(const size_t *)arg, in[0], y);
}

static void relu_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                          double *const din[MAX_INPUTS])
{
    const size_t count = *(const size_t *)arg;
    double *y = doubles(count);
    clfcn_ref_relu(count, in[0], y);
    clfcn_ref_relu_backward(count, y, dy, din[0]);
    free(y);
}

static void test_relu_gradient(void **state)
{
    size_t count = 50;
    check_gradient(&(struct function){ .arg = &count,
                                       .outputs = count,
                                       .inputs = { count },
                                       .forward = relu_forward,
                                       .backward = relu_backward });
}

struct losses {
    struct clfcn_loss_how how;
    int classes;
    size_t row;
    const uint8_t *labels;
};

static void loss_forward(void *arg, double *const in[MAX_INPUTS], double *y)
{
    const struct losses *l = arg;
    double *unused = doubles((size_t)l->classes * l->row);
    *y = clfcn_ref_loss(&l->how, l->classes, l->row, in[0], l->labels, unused);
    free(unused);
}

static void loss_backward(void *arg, double *const in[MAX_INPUTS], const double *dy,
                          double *const din[MAX_INPUTS])
{
    const struct losses *l = arg;
    clfcn_ref_loss(&l->how, l->classes, l->row, in[0], l->labels, din[0]);
    for (size_t i = 0; i < (size_t)l->classes * l->row; ++i) {
        din[0][i] *= *dy;
    }
}

static void test_loss_gradients(void **state)
{
    static const uint8_t labels[] = { 0, 2, CLFCN_IGNORE, 1, 1, 0, CLFCN_IGNORE, 2 };
    static const uint8_t zeros[] = { 0, 0, CLFCN_IGNORE };
    static const float weights[] = { 0.25f, 2.0f, 0.0f };
    for (int i = 0; i < 8; ++i) {
        const enum clfcn_loss kind = (enum clfcn_loss)(i / 2);
        const float *w = i % 2 ? weights : NULL;
        struct losses cases[] = {
            { { kind, w, 2.0 }, 3, COUNT(labels), labels },
            { { kind, w, 0.7 }, 3, COUNT(labels), labels },
            { { kind, w, 2.0 }, 1, COUNT(zeros), zeros },
        };
        for (size_t k = 0; k < COUNT(cases); ++k) {
            check_gradient(&(struct function){
                .arg = &cases[k],
                .outputs = 1,
                .inputs = { (size_t)cases[k].classes * cases[k].row },
                .forward = loss_forward,
                .backward = loss_backward,
            });
        }
    }
}

static void assert_values(const double *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        if (!(fabs(got[i] - want[i]) <= 1e-12 * (1.0 + fabs(want[i])))) {
            fail_msg("element %zu is %.15g, should be %.15g", i, got[i], want[i]);
        }
    }
}

static void test_gemm_by_hand(void **state)
{
    const double a[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 1, 0, -1, 2, 1, 1 };
    const double at[] = { 1, 4, 2, 5, 3, 6 }, bt[] = { 1, -1, 1, 0, 2, 1 };
    const double want[] = { 2, 7, 5, 16 }, added[] = { 12, 27, 35, 56 };
    double c[] = { NAN, NAN, NAN, NAN };
    clfcn_ref_gemm(false, false, 2, 2, 3, a, b, 0.0, c);
    assert_values(c, want, 4);
    clfcn_ref_gemm(true, true, 2, 2, 3, at, bt, 0.0, c);
    assert_values(c, want, 4);
    memcpy(c, (const double[]){ 10, 20, 30, 40 }, sizeof(c));
    clfcn_ref_gemm(true, false, 2, 2, 3, at, b, 1.0, c);
    assert_values(c, added, 4);
}

/* Cross-correlation, not convolution in the sense of mathematics: the kernel is not
 * flipped. */
static void test_conv_by_hand(void **state)
{
    const struct clfcn_ref_conv s = { 1, 1, 2, 3, 1, 3, 1, 1, 0 };
    const double x[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 100 };
    const double w[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    const double want[] = { 194, 254, 206, 158, 191, 158 };
    double y[6];
    clfcn_ref_conv2d(&s, x, w, b, y);
    assert_values(y, want, 6);
}

/* Each input spreads w over a 3x3 window that starts one pixel up and left of twice its
 * place. */
static void test_deconv_by_hand(void **state)
{
    const struct clfcn_ref_conv s = { 1, 1, 1, 2, 1, 3, 2, 1, 1 };
    const double x[] = { 1, 10 }, w[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, b[] = { 0 };
    const double want[] = { 5, 6 + 40, 50, 60, 8, 9 + 70, 80, 90 };
    double y[8];
    clfcn_ref_deconv2d(&s, x, w, b, y);
    assert_values(y, want, 8);
}

static void test_pool_by_hand(void **state)
{
    const double x[] = { 1, 1, 0, -5, 9, 1, 1, 2, 2, 9, 7, 7, 7, 7, 7 };
    const double want[] = { 1, 2 }, dy[] = { 3, 4 };
    const double want_dx[] = { 3, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
    double y[2], dx[15];
    clfcn_ref_maxpool(1, 3, 5, x, y);
    assert_values(y, want, 2);
    clfcn_ref_maxpool_backward(1, 3, 5, x, dy, dx);
    assert_values(dx, want_dx, 15);
}

/* Values 1 2 3 4: mean 2.5, variance 1.25 biased and 5/3 unbiased. */
static void test_batchnorm_by_hand(void **state)
{
    const double x[] = { 1, 2, 3, 4 }, gamma[] = { 2 }, beta[] = { 10 };
    const double inverse = 1.0 / sqrt(1.25 + 1e-5);
    const double want[] = { 10 - 3 * inverse, 10 - inverse, 10 + inverse,
                            10 + 3 * inverse };
    double mean[] = { 1 }, var[] = { 1 }, y[4];
    clfcn_ref_batchnorm(1, 4, x, gamma, beta, mean, var, y);
    assert_values(y, want, 4);
    assert_values(mean, (const double[]){ 0.9 + 0.25 }, 1);
    assert_values(var, (const double[]){ 0.9 + 0.1 * 5.0 / 3.0 }, 1);

    const double still[] = { 3.0 - 2.0 / sqrt(4.00001) };
    clfcn_ref_batchnorm_eval(1, 1, (const double[]){ 1 }, (const double[]){ 1 },
                             (const double[]){ 3 }, (const double[]){ 3 },
                             (const double[]){ 4 }, y);
    assert_values(y, still, 1);
}

static void test_losses_by_hand(void **state)
{
    const double zeros[] = { 0, 0, 0, 0 }, far[] = { 1000, -1000 };
    const uint8_t labels[] = { 0, 1 }, none[] = { CLFCN_IGNORE, CLFCN_IGNORE };
    const struct clfcn_loss_how bce = { .kind = CLFCN_LOSS_BCE },
                                ce = { .kind = CLFCN_LOSS_CE };
    double d[4];
    double loss = clfcn_ref_loss(&bce, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ log(2) }, 1);
    assert_values(d, (const double[]){ -0.125, 0.125, 0.125, -0.125 }, 4);
    loss = clfcn_ref_loss(&ce, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ log(2) }, 1);
    assert_values(d, (const double[]){ -0.25, 0.25, 0.25, -0.25 }, 4);
    loss = clfcn_ref_loss(&ce, 2, 2, zeros, none, d);
    assert_values(&loss, zeros, 1);
    assert_values(d, zeros, 4);
    loss = clfcn_ref_loss(&ce, 2, 1, far, &labels[1], d);
    assert_values(&loss, (const double[]){ 2000 }, 1);
    loss = clfcn_ref_loss(&bce, 2, 1, far, &labels[1], d);
    assert_values(&loss, (const double[]){ 1000 }, 1);
}

/* Two classes, logits all 0: every probability is 1/2. */
static void test_more_losses_by_hand(void **state)
{
    static const float weights[] = { 1.0f, 3.0f };
    const double zeros[] = { 0, 0, 0, 0 };
    const uint8_t labels[] = { 0, 1 }, same[] = { 0, 0 };
    const uint8_t none[] = { CLFCN_IGNORE, CLFCN_IGNORE };
    struct clfcn_loss_how how = { .kind = CLFCN_LOSS_FOCAL, .gamma = 2 };
    double d[4];
    /* (1/2)^2 log 2, with weights (1 + 3) / 2 times that */
    double loss = clfcn_ref_loss(&how, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ 0.25 * log(2) }, 1);
    how.weights = weights;
    loss = clfcn_ref_loss(&how, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ 0.5 * log(2) }, 1);
    /* ce divides by the weights, bce by pixels and classes */
    how.kind = CLFCN_LOSS_CE;
    loss = clfcn_ref_loss(&how, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ log(2) }, 1);
    assert_values(d, (const double[]){ -0.125, 0.375, 0.125, -0.375 }, 4);
    how.kind = CLFCN_LOSS_BCE;
    loss = clfcn_ref_loss(&how, 2, 2, zeros, labels, d);
    assert_values(&loss, (const double[]){ 2 * log(2) }, 1);
    /* Overlaps 1 and 0, sizes 3 and 1, and one pixel more on both sides. */
    how.kind = CLFCN_LOSS_DICE;
    loss = clfcn_ref_loss(&how, 2, 2, zeros, same, d);
    assert_values(&loss, (const double[]){ (1 * 0.25 + 3 * 0.5) / 4 }, 1);
    loss = clfcn_ref_loss(&how, 2, 2, zeros, none, d);
    assert_values(&loss, zeros, 1);
    assert_values(d, zeros, 4);
}

/* Two updates of one parameter, in the numbers of PyTorch's documentation. */
static void test_optimisers_by_hand(void **state)
{
    const double g[] = { 0.5 };
    double p[] = { 1.0 }, s0[] = { 0.0 }, s1[] = { 0.0 };
    clfcn_ref_optim(CLFCN_SGD, 1, 0.1, 0.9, 0.2, 0, 0, 0, 1, p, g, s0, NULL);
    assert_values(p, (const double[]){ 1.0 - 0.1 * 0.7 }, 1);
    clfcn_ref_optim(CLFCN_SGD, 1, 0.1, 0.9, 0.2, 0, 0, 0, 2, p, g, s0, NULL);
    assert_values(s0, (const double[]){ 0.9 * 0.7 + 0.5 + 0.2 * 0.93 }, 1);

    /* Adam's first step is lr * g / (|g| + eps), whatever the size of g. */
    p[0] = 1.0;
    s0[0] = 0.0;
    clfcn_ref_optim(CLFCN_ADAM, 1, 0.1, 0, 0, 0.9, 0.999, 0.5, 1, p, g, s0, s1);
    assert_values(p, (const double[]){ 1.0 - 0.1 * 0.5 }, 1);
    p[0] = 1.0;
    s0[0] = s1[0] = 0.0;
    clfcn_ref_optim(CLFCN_ADAMW, 1, 0.1, 0, 0.2, 0.9, 0.999, 0.5, 1, p, g, s0, s1);
    assert_values(p, (const double[]){ 0.98 - 0.1 * 0.5 }, 1);
    assert_values(s1, (const double[]){ 0.001 * 0.25 }, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_by_hand),
        cmocka_unit_test(test_conv_by_hand),
        cmocka_unit_test(test_deconv_by_hand),
        cmocka_unit_test(test_pool_by_hand),
        cmocka_unit_test(test_batchnorm_by_hand),
        cmocka_unit_test(test_losses_by_hand),
        cmocka_unit_test(test_more_losses_by_hand),
        cmocka_unit_test(test_optimisers_by_hand),
        cmocka_unit_test(test_conv_gradient),
        cmocka_unit_test(test_deconv_gradient),
        cmocka_unit_test(test_deconv_is_conv_gradient),
        cmocka_unit_test(test_relu_gradient),
        cmocka_unit_test(test_pool_gradient),
        cmocka_unit_test(test_batchnorm_gradient),
        cmocka_unit_test(test_loss_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
