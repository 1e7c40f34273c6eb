/* test_loss.c - all losses and their gradients. */
#include "../../host/ops/loss.h"
#include "../../host/ops/ref.h"
#include "rig.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct loss_case {
    enum clfcn_loss kind;
    int classes, n, h, w;
    double spread;  /* deviation of the logits */
    double ignored; /* share of the pixels without label */
    double gamma;
    bool weighted;
};

/* Three losses, of which the tested one goes into the middle. */
enum { SLOTS = 3, SLOT = 1 };
enum { KINDS = CLFCN_LOSS_FOCAL + 1 };

struct fixture {
    struct rig *rig;
    struct clfcn_programs *programs;
    struct clfcn_loss_op op;
    struct clfcn_tensor tx, tdx;
    struct vec x, dx, loss, scratch;
    struct clfcn_loss_how how;
    float weights[CLFCN_MAX_CLASSES];
    uint8_t *labels;
    cl_mem device_labels;
    int64_t labelled;
};

static void draw_labels(struct fixture *f, const struct loss_case *c)
{
    const size_t row = clfcn_tensor_row(&f->tx);
    struct clfcn_err err;
    f->labels = malloc(row);
    assert_non_null(f->labels);
    for (size_t i = 0; i < row; ++i) {
        const bool on = clfcn_rng_double(&f->rig->rng) >= c->ignored;
        f->labels[i] = on ? (uint8_t)clfcn_rng_below(&f->rig->rng, (uint32_t)c->classes)
                          : (uint8_t)CLFCN_IGNORE;
        f->labelled += on;
    }
    rig_ok(clfcn_buffer_create(f->rig->dev, row, "labels", &f->device_labels, &err),
           &err);
    rig_ok(clfcn_buffer_write(f->rig->dev, f->device_labels, 0, row, f->labels, &err),
           &err);
}

static void open_fixture(struct fixture *f, struct rig *rig, const struct loss_case *c)
{
    struct clfcn_err err;
    *f = (struct fixture){ .rig = rig };
    f->tx = (struct clfcn_tensor){ .c = c->classes, .n = c->n, .h = c->h, .w = c->w };
    f->tdx = f->tx;
    rig_ok(clfcn_programs_create(rig->dev, &f->programs, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = f->programs,
                                      .training = true };
    f->how = (struct clfcn_loss_how){ .kind = c->kind, .gamma = c->gamma };
    for (int k = 0; c->weighted && k < c->classes; ++k) {
        f->weights[k] = k == 1 ? 0.0f : (float)(0.1 + 3.0 * clfcn_rng_double(&rig->rng));
        f->how.weights = f->weights;
    }
    rig_ok(clfcn_loss_prepare(&f->op, &f->how, &f->tx, &env, &err), &err);
    rig_ok(clfcn_loss_allocate(&f->op, rig->dev, &err), &err);
    rig_ok(clfcn_programs_build(f->programs, &err), &err);
    vec_open(rig, &f->x, "logits", clfcn_tensor_count(&f->tx));
    vec_open(rig, &f->dx, "gradient", clfcn_tensor_count(&f->tx));
    vec_open(rig, &f->loss, "loss", SLOTS);
    vec_open_whole(rig, &f->scratch, "scratch",
                   (f->op.scratch_bytes + sizeof(float) - 1) / sizeof(float));
    f->tx.mem = f->x.mem;
    f->tdx.mem = f->dx.mem;
    draw_labels(f, c);
}

static void close_fixture(struct fixture *f)
{
    vec_close(f->rig, &f->x);
    vec_close(f->rig, &f->dx);
    vec_close(f->rig, &f->loss);
    vec_close(f->rig, &f->scratch);
    clfcn_buffer_release(f->rig->dev, &f->device_labels);
    clfcn_loss_release(&f->op, f->rig->dev);
    free(f->labels);
    clfcn_programs_destroy(&f->programs);
}

static void run(struct fixture *f)
{
    struct clfcn_err err;
    const struct clfcn_op_run run = { .dev = f->rig->dev,
                                      .training = true,
                                      .scratch = f->scratch.mem };
    vec_constant(&f->loss, 7.0);
    vec_upload(f->rig, &f->loss);
    vec_upload(f->rig, &f->x);
    vec_poison(f->rig, &f->dx);
    const double terms = clfcn_loss_terms(&f->op, f->labels, f->labelled);
    rig_ok(clfcn_loss_run(&f->op, &run, &f->tx, f->device_labels, terms, &f->tdx,
                          f->loss.mem, SLOT, &err),
           &err);
    vec_download(f->rig, &f->loss);
    vec_download(f->rig, &f->dx);
    vec_check_guards(f->rig, &f->x);
    vec_check_guards(f->rig, &f->scratch);
}

static void compare(struct fixture *f, const struct loss_case *c)
{
    double *want = doubles(f->dx.count);
    const double loss = clfcn_ref_loss(&f->how, c->classes, clfcn_tensor_row(&f->tx),
                                       f->x.host, f->labels, want);
    assert_close("loss", &f->loss.host[SLOT], &loss, 1, TOLERANCE_SUM);
    assert_close("gradient", f->dx.host, want, f->dx.count, TOLERANCE_SUM);
    assert_true(f->loss.host[SLOT - 1] == 7.0 && f->loss.host[SLOT + 1] == 7.0);
    free(want);
}

static void check(struct rig *rig, const struct loss_case *c)
{
    struct fixture f;
    open_fixture(&f, rig, c);
    vec_normal(rig, &f.x, 0.0, c->spread);
    run(&f);
    compare(&f, c);
    close_fixture(&f);
}

static void check_kind(struct rig *rig, enum clfcn_loss kind, double gamma)
{
    struct loss_case cases[] = {
        { kind, 1, 1, 1, 1, 1.0, 0.0, 0, false },
        { kind, 2, 3, 5, 7, 1.0, 0.0, 0, false },
        { kind, 3, 1, 9, 13, 2.0, 0.3, 0, true },
        { kind, 1, 1, 4, 9, 1.0, 0.2, 0, true },
        { kind, 21, 2, 17, 19, 3.0, 0.1, 0, true },
        { kind, 2, 3, 65, 67, 1.0, 0.5, 0, false },
        { kind, 5, 4, 96, 64, 10.0, 0.9, 0, true },
    };
    const int count = rig->small ? 3 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        cases[i].gamma = gamma;
        check(rig, &cases[i]);
    }
}

static void test_bce(void **state)
{
    check_kind(*state, CLFCN_LOSS_BCE, 0.0);
}

static void test_ce(void **state)
{
    check_kind(*state, CLFCN_LOSS_CE, 0.0);
}

static void test_dice(void **state)
{
    check_kind(*state, CLFCN_LOSS_DICE, 0.0);
}

static void test_focal(void **state)
{
    check_kind(*state, CLFCN_LOSS_FOCAL, 2.0);
}

/* 0 is ce but for the weights; below 1 the power has no slope at 0. */
static void test_focal_exponents(void **state)
{
    static const double gammas[] = { 0.0, 0.5, 1.0, 5.0 };
    for (int i = 0; i < CLFCN_ARRAY_LEN(gammas); ++i) {
        check(*state, &(struct loss_case){ CLFCN_LOSS_FOCAL, 4, 1, 11, 13, 4.0, 0.2,
                                           gammas[i], true });
    }
}

/* The most classes there can be. */
static void test_many_classes(void **state)
{
    const struct rig *rig = *state;
    for (int kind = 0; !rig->small && kind < KINDS; ++kind) {
        check(*state, &(struct loss_case){ (enum clfcn_loss)kind, CLFCN_MAX_CLASSES, 1, 9,
                                           31, 2.0, 0.1, 2.0, true });
    }
}

/* The gradients of pixels that are wrong are 1, of those that are right next to 0;
 * nothing overflows. */
static void test_extreme_logits(void **state)
{
    for (int kind = 0; kind < KINDS; ++kind) {
        const struct loss_case c = {
            (enum clfcn_loss)kind, 4, 1, 5, 7, 1.0, 0.1, 2.0, true
        };
        struct fixture f;
        open_fixture(&f, *state, &c);
        for (size_t i = 0; i < f.x.count; ++i) {
            f.x.host[i] = clfcn_rng_below(&f.rig->rng, 2) ? 100.0 : -100.0;
        }
        run(&f);
        compare(&f, &c);
        close_fixture(&f);
    }
}

/* All that is left of the loss is what is missing from 1, which must not be lost in
 * rounding. */
static void test_nearly_right(void **state)
{
    for (int kind = CLFCN_LOSS_DICE; kind <= CLFCN_LOSS_FOCAL; ++kind) {
        const struct loss_case c = {
            (enum clfcn_loss)kind, 3, 1, 5, 7, 1.0, 0.1, 2.0, true
        };
        struct fixture f;
        open_fixture(&f, *state, &c);
        const size_t row = clfcn_tensor_row(&f.tx);
        for (size_t i = 0; i < f.x.count; ++i) {
            f.x.host[i] = f.labels[i % row] == i / row ? 5.0 : -5.0;
        }
        run(&f);
        compare(&f, &c);
        close_fixture(&f);
    }
}

static void test_nothing_labelled(void **state)
{
    for (int kind = 0; kind < KINDS; ++kind) {
        check(*state, &(struct loss_case){ (enum clfcn_loss)kind, 3, 2, 3, 5, 1.0, 1.1,
                                           2.0, true });
    }
}

/* Every label's class has the weight 0. */
static void test_weightless(void **state)
{
    const struct loss_case c = { CLFCN_LOSS_CE, 3, 1, 3, 5, 1.0, 0.0, 0.0, true };
    struct fixture f;
    open_fixture(&f, *state, &c);
    memset(f.labels, 1, clfcn_tensor_row(&f.tx));
    struct clfcn_err err;
    rig_ok(clfcn_buffer_write(f.rig->dev, f.device_labels, 0, clfcn_tensor_row(&f.tx),
                              f.labels, &err),
           &err);
    vec_normal(f.rig, &f.x, 0.0, 1.0);
    run(&f);
    compare(&f, &c);
    assert_true(f.loss.host[SLOT] == 0.0);
    close_fixture(&f);
}

/* A NaN among the logits makes the loss NaN: that is how divergence is noticed. */
static void test_nan_passes(void **state)
{
    for (int kind = 0; kind < KINDS; ++kind) {
        const struct loss_case c = {
            (enum clfcn_loss)kind, 3, 1, 3, 5, 1.0, 0.0, 2.0, false
        };
        struct fixture f;
        open_fixture(&f, *state, &c);
        vec_normal(f.rig, &f.x, 0.0, 1.0);
        f.x.host[7] = NAN;
        run(&f);
        assert_true(isnan(f.loss.host[SLOT]));
        close_fixture(&f);
    }
}

/* The same bits each time. */
static void test_repeats(void **state)
{
    for (int kind = 0; kind < KINDS; ++kind) {
        const struct loss_case c = {
            (enum clfcn_loss)kind, 3, 2, 19, 23, 1.0, 0.1, 2.0, true
        };
        struct fixture f;
        open_fixture(&f, *state, &c);
        vec_normal(f.rig, &f.x, 0.0, 1.0);
        run(&f);
        const double loss = f.loss.host[SLOT];
        double *first = vec_copy(&f.dx);
        run(&f);
        assert_true(loss == f.loss.host[SLOT]);
        assert_close("gradient", f.dx.host, first, f.dx.count, TOLERANCE_EXACT);
        free(first);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_bce),
        RIG_TEST(test_ce),
        RIG_TEST(test_dice),
        RIG_TEST(test_focal),
        RIG_TEST(test_focal_exponents),
        RIG_TEST(test_many_classes),
        RIG_TEST(test_extreme_logits),
        RIG_TEST(test_nearly_right),
        RIG_TEST(test_nothing_labelled),
        RIG_TEST(test_weightless),
        RIG_TEST(test_nan_passes),
        RIG_TEST(test_repeats),
    };
    return RIG_RUN(tests);
}
