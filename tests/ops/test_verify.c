/* test_verify.c - what is planned is verified: a right pass passes, a wrong one does not.
 * The wrong ones are im2col, and what can be wrong with it. */
#include "../../host/ops/channel.h"
#include "../../host/ops/gemm_rate.h"
#include "../../host/ops/verify.h"
#include "../kernel/rig_op.h"
#include <math.h>

static const struct clfcn_conv_shape plain = { 5, 7, 3, 2, 9, 11, false },
                                     transposed = { 6, 5, 3, 2, 4, 7, true };
static const struct clfcn_verify_how once = { .data = CLFCN_TRIAL_NORMAL, .runs = 1 };

/* Writes nothing: what lies there must not pass for a result. */
static int run_nothing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                       const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return CLFCN_OK;
}

static int run_failing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                       const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_ECL, -5, "no resources today");
}

/* Right but for the first element, a corner, which is one too large. */
static int run_wrong_at_a_corner(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                                 const struct clfcn_conv_call *call,
                                 struct clfcn_err *err)
{
    const cl_mem made = cv->pass == CLFCN_PASS_WEIGHT    ? call->weight
                        : cv->pass == CLFCN_PASS_FORWARD ? call->y
                                                         : call->x;
    const struct clfcn_conv_shape *s = &cv->shape;
    const size_t planes = cv->pass == CLFCN_PASS_WEIGHT    ? (size_t)(s->in * s->out)
                          : cv->pass == CLFCN_PASS_FORWARD ? (size_t)(s->out * s->n)
                                                           : (size_t)(s->in * s->n);
    const size_t plane = cv->pass == CLFCN_PASS_WEIGHT ? (size_t)(s->kernel * s->kernel)
                                                       : (size_t)(s->h * s->w);
    const float wrong = 100.0f;
    int rc = clfcn_conv_im2col.run(cv, how, call, err);
    for (size_t i = 0; rc == CLFCN_OK && i < planes; ++i) {
        rc = clfcn_buffer_write(how->dev, made, i * plane * sizeof(wrong), sizeof(wrong),
                                &wrong, err);
    }
    return rc;
}

typedef int (*run_fn)(struct clfcn_conv *cv, const struct clfcn_op_run *run,
                      const struct clfcn_conv_call *call, struct clfcn_err *err);

/* Plan by the default algorithm, or by im2col with another run, and verify. */
static int verify(struct rig *rig, const struct clfcn_conv_shape *shape,
                  enum clfcn_pass pass, run_fn other_run, double *error)
{
    struct clfcn_conv_impl impl = clfcn_conv_im2col;
    struct clfcn_programs *programs = NULL;
    const struct clfcn_gemm *gemm = NULL;
    struct clfcn_conv *cv = NULL;
    struct vec columns = { 0 }, scratch = { 0 };
    struct clfcn_finding found;
    struct clfcn_err err;
    rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
    struct clfcn_gemms gemms = { .dev = rig->dev,
                                 .programs = programs,
                                 .kind = CLFCN_GEMM_NATIVE };
    rig_ok(clfcn_gemms_default(&gemms, &gemm, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = programs,
                                      .gemms = &gemms,
                                      .gemm_kind = CLFCN_GEMM_NATIVE,
                                      .columns_limit = 1 << 20,
                                      .workspace_limit = 1 << 30,
                                      .training = true };
    if (other_run) {
        impl.run = other_run;
        rig_ok(clfcn_conv_create_by(&impl, NULL, gemm, shape, pass, &env, &cv, &err),
               &err);
    } else {
        rig_ok(clfcn_conv_create(shape, pass, &env, &cv, &err), &err);
    }
    rig_ok(cv->impl->prepare(cv, &env, &err), &err);
    rig_ok(clfcn_programs_build(programs, &err), &err);
    vec_open_whole(rig, &columns, "columns", (cv->columns_bytes + 3) / 4);
    vec_open_whole(rig, &scratch, "scratch", (cv->scratch_bytes + 3) / 4);
    const struct clfcn_op_run run = {
        .dev = rig->dev, .training = true, .columns = columns.mem, .scratch = scratch.mem
    };
    const int rc = clfcn_verify_conv(cv, &run, &once, &found, &err);
    *error = found.error;
    vec_close(rig, &columns);
    vec_close(rig, &scratch);
    clfcn_programs_destroy(&programs);
    clfcn_conv_destroy(&cv);
    clfcn_gemms_destroy(&gemms);
    return rc;
}

static void test_right_passes_are_within_the_bound(void **state)
{
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        double error = NAN;
        assert_int_equal(verify(*state, &plain, (enum clfcn_pass)p, NULL, &error), 0);
        assert_true(error > 0 && error <= CLFCN_SAMPLES_BOUND);
        assert_int_equal(verify(*state, &transposed, (enum clfcn_pass)p, NULL, &error),
                         0);
        assert_true(error > 0 && error <= CLFCN_SAMPLES_BOUND);
    }
}

static void test_wrong_passes_are_not(void **state)
{
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        double error = 0;
        assert_int_equal(
            verify(*state, &plain, (enum clfcn_pass)p, run_wrong_at_a_corner, &error), 0);
        assert_true(error > 10 * CLFCN_SAMPLES_BOUND);
        assert_int_equal(verify(*state, &plain, (enum clfcn_pass)p, run_nothing, &error),
                         0);
        assert_true(isnan(error));
    }
}

static void test_failing_passes_say_so(void **state)
{
    double error = 0;
    assert_int_equal(verify(*state, &plain, CLFCN_PASS_FORWARD, run_failing, &error),
                     CLFCN_ECL);
    assert_true(isnan(error));
}

/* Writes nothing; and what is not asked for. */
static int idle(struct clfcn_op *op, const struct clfcn_op_run *run,
                struct clfcn_err *err)
{
    return CLFCN_OK;
}

static int copy_dy(struct clfcn_op *op, const struct clfcn_op_run *run,
                   struct clfcn_err *err)
{
    const cl_int code =
        clEnqueueCopyBuffer(run->dev->compute, op->dy->mem, op->dx->mem, 0, 0,
                            clfcn_tensor_count(op->dy) * sizeof(float), 0, NULL, NULL);
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "copying");
}

static double error_of_op(struct rig_op *t, bool backward)
{
    const struct clfcn_op_run run = { .dev = t->rig->dev,
                                      .training = true,
                                      .columns = t->columns.mem,
                                      .scratch = t->scratch.mem };
    const struct clfcn_op before = *t->op;
    struct clfcn_err err;
    struct clfcn_finding found;
    rig_ok(clfcn_verify_op(t->op, &run, backward, &once, &found, &err), &err);
    assert_memory_equal(&before, t->op, sizeof(before)); /* its own tensors are back */
    assert_true(found.correct == (found.error <= CLFCN_SAMPLES_BOUND));
    return found.error;
}

typedef int (*create_fn)(struct clfcn_op **out, struct clfcn_err *err);

static void check_op(struct rig *rig, create_fn create, const struct rig_use *use)
{
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(create(&op, &err), &err);
    rig_op_open(&t, rig, op, 5, 3, 6, 10, use);
    assert_true(clfcn_channel_knows(op));
    assert_true(error_of_op(&t, false) <= CLFCN_SAMPLES_BOUND);
    assert_true(error_of_op(&t, true) <= CLFCN_SAMPLES_BOUND);
    struct clfcn_op_impl broken = *op->impl;
    broken.forward = idle;
    broken.backward = idle;
    const struct clfcn_op_impl *const own = op->impl;
    op->impl = &broken;
    assert_true(isnan(error_of_op(&t, false)));
    assert_true(isnan(error_of_op(&t, true)));
    broken = *own;
    if (own->masks_dx && use->mask_dx && t.ty.h == t.tx.h) {
        broken.backward = copy_dy; /* forgets the mask */
        assert_true(error_of_op(&t, true) > 10 * CLFCN_SAMPLES_BOUND);
    }
    op->impl = own;
    rig_op_close(&t);
}

static int split(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_split_create(1, out, err);
}

static int join(struct clfcn_op **out, struct clfcn_err *err)
{
    return clfcn_join_create(6, out, err);
}

static const struct clfcn_op_impl *norm_impl;

/* The third channel's variance is not what it has come to. */
static int spoil_statistics(struct clfcn_op *op, const struct clfcn_op_run *run,
                            struct clfcn_err *err)
{
    static const float value = 20.0f;
    const int rc = norm_impl->forward(op, run, err);
    return rc < 0 ? rc
                  : clfcn_buffer_write(run->dev, op->params[3].value, 2 * sizeof(value),
                                       sizeof(value), &value, err);
}

static void test_running_statistics_are_verified(void **state)
{
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_batchnorm_create(&op, &err), &err);
    rig_op_open(&t, *state, op, 5, 3, 6, 10, &(struct rig_use){ 0 });
    norm_impl = op->impl;
    struct clfcn_op_impl broken = *norm_impl;
    broken.forward = spoil_statistics;
    op->impl = &broken;
    assert_true(error_of_op(&t, false) > 10 * CLFCN_SAMPLES_BOUND);
    op->impl = norm_impl;
    rig_op_close(&t);
}

static void test_other_layers_are_verified(void **state)
{
    const struct rig_use plain_use = { 0 }, masked = { .mask_dx = true },
                         sum = { .with_x2 = true, .mask_dx = true };
    check_op(*state, clfcn_maxpool_create, &plain_use);
    check_op(*state, clfcn_maxpool_create, &masked);
    check_op(*state, clfcn_batchnorm_create, &masked);
    check_op(*state, clfcn_batchnorm_create, &sum);
    check_op(*state, clfcn_add_create, &sum);
    check_op(*state, split, &plain_use);
    check_op(*state, join, &plain_use);
}

static void test_products_are_timed_and_checked(void **state)
{
    struct rig *rig = *state;
    struct clfcn_gemm_rate r = { .m = 33, .n = 70, .k = 45 };
    struct clfcn_err err;
    rig_ok(clfcn_gemm_measure(rig->dev, CLFCN_GEMM_NATIVE, &r, &err), &err);
    assert_string_equal(r.provider, "native");
    assert_true(r.gflops > 0);
    assert_true(r.correct);
    assert_true(r.error <= CLFCN_SAMPLES_BOUND);
    assert_int_equal(r.n, 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_right_passes_are_within_the_bound),
        RIG_TEST(test_wrong_passes_are_not),
        RIG_TEST(test_failing_passes_say_so),
        RIG_TEST(test_other_layers_are_verified),
        RIG_TEST(test_running_statistics_are_verified),
        RIG_TEST(test_products_are_timed_and_checked),
    };
    return RIG_RUN(tests);
}
