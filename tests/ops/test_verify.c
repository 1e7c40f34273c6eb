/* test_verify.c - what is planned is verified: a right pass passes, a wrong one does not.
 * The wrong ones are im2col, and what can be wrong with it. */
#include "../../host/ops/gemm_rate.h"
#include "../../host/ops/verify.h"
#include "../kernel/rig.h"
#include <math.h>

static const struct clfcn_conv_shape plain = { 5, 7, 3, 2, 9, 11, false },
                                     transposed = { 6, 5, 3, 2, 4, 7, true };

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
    struct clfcn_gemm *gemm = NULL;
    struct clfcn_conv *cv = NULL;
    struct vec columns = { 0 }, scratch = { 0 };
    struct clfcn_err err;
    rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
    rig_ok(clfcn_gemm_create(rig->dev, programs, CLFCN_GEMM_NATIVE, &gemm, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = programs,
                                      .gemm = gemm,
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
    const int rc = clfcn_verify_conv(cv, &run, error, &err);
    vec_close(rig, &columns);
    vec_close(rig, &scratch);
    clfcn_programs_destroy(&programs);
    clfcn_conv_destroy(&cv);
    clfcn_gemm_destroy(&gemm);
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
        RIG_TEST(test_products_are_timed_and_checked),
    };
    return RIG_RUN(tests);
}
