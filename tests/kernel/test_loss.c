/* test_loss.c - both losses and their gradients. */
#include "../../host/ops/loss.h"
#include "../../host/ops/ref.h"
#include "rig.h"
#include <math.h>
#include <stdlib.h>

struct loss_case {
    enum clfcn_loss kind;
    int classes, n, h, w;
    double spread;  /* deviation of the logits */
    double ignored; /* share of the pixels without label */
};

/* Three losses, of which the tested one goes into the middle. */
enum { SLOTS = 3, SLOT = 1 };

struct fixture {
    struct rig *rig;
    struct clfcn_programs *programs;
    struct clfcn_loss_op op;
    struct clfcn_tensor tx, tdx;
    struct vec x, dx, loss, scratch;
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
    rig_ok(clfcn_loss_prepare(&f->op, c->kind, &f->tx, &env, &err), &err);
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
    rig_ok(clfcn_loss_run(&f->op, &run, &f->tx, f->device_labels, f->labelled, &f->tdx,
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
    const double loss = clfcn_ref_loss(c->kind, c->classes, clfcn_tensor_row(&f->tx),
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

static void check_kind(struct rig *rig, enum clfcn_loss kind)
{
    const struct loss_case cases[] = {
        { kind, 1, 1, 1, 1, 1.0, 0.0 },    { kind, 2, 3, 5, 7, 1.0, 0.0 },
        { kind, 3, 1, 9, 13, 2.0, 0.3 },   { kind, 1, 1, 4, 9, 1.0, 0.2 },
        { kind, 21, 2, 17, 19, 3.0, 0.1 }, { kind, 2, 3, 65, 67, 1.0, 0.5 },
        { kind, 5, 4, 96, 64, 10.0, 0.9 },
    };
    const int count = rig->small ? 3 : CLFCN_ARRAY_LEN(cases);
    for (int i = 0; i < count; ++i) {
        check(rig, &cases[i]);
    }
}

static void test_bce(void **state)
{
    check_kind(*state, CLFCN_LOSS_BCE);
}

static void test_ce(void **state)
{
    check_kind(*state, CLFCN_LOSS_CE);
}

/* The gradients of pixels that are wrong are 1, of those that are right next to 0;
 * nothing overflows. */
static void test_extreme_logits(void **state)
{
    for (int kind = CLFCN_LOSS_BCE; kind <= CLFCN_LOSS_CE; ++kind) {
        const struct loss_case c = { (enum clfcn_loss)kind, 4, 1, 5, 7, 1.0, 0.1 };
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

static void test_nothing_labelled(void **state)
{
    for (int kind = CLFCN_LOSS_BCE; kind <= CLFCN_LOSS_CE; ++kind) {
        check(*state, &(struct loss_case){ (enum clfcn_loss)kind, 3, 2, 3, 5, 1.0, 1.1 });
    }
}

/* A NaN among the logits makes the loss NaN: that is how divergence is noticed. */
static void test_nan_passes(void **state)
{
    for (int kind = CLFCN_LOSS_BCE; kind <= CLFCN_LOSS_CE; ++kind) {
        const struct loss_case c = { (enum clfcn_loss)kind, 3, 1, 3, 5, 1.0, 0.0 };
        struct fixture f;
        open_fixture(&f, *state, &c);
        vec_normal(f.rig, &f.x, 0.0, 1.0);
        f.x.host[7] = NAN;
        run(&f);
        assert_true(isnan(f.loss.host[SLOT]));
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_bce),
        RIG_TEST(test_ce),
        RIG_TEST(test_extreme_logits),
        RIG_TEST(test_nothing_labelled),
        RIG_TEST(test_nan_passes),
    };
    return RIG_RUN(tests);
}
