/* test_tuner.c - the tuner chooses the fastest of the correct, and nothing that goes
 * wrong with a candidate ends it. The candidates are im2col, and what can be wrong with
 * it. */
#include "../../host/ops/tuner.h"
#include "../../host/util/sys.h"
#include "../kernel/rig.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct clfcn_conv_shape shapes[] = { { 5, 7, 3, 2, 9, 11, false },
                                                  { 8, 3, 1, 1, 6, 5, false },
                                                  { 3, 16, 5, 1, 8, 8, false } };
/* Sums so long that the variants of providers plan something of their own. */
static const struct clfcn_conv_shape deep = { 100, 3, 3, 1, 5, 6, false };
static const struct clfcn_conv_shape transposed = { 6, 5, 3, 2, 4, 7, true };
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    return true;
}

static bool fits_nothing(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         const struct clfcn_op_env *env)
{
    return false;
}

static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    return clfcn_conv_im2col.plan(cv, env, err);
}

static int plan_large(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                      struct clfcn_err *err)
{
    const int rc = plan(cv, env, err);
    cv->scratch_bytes += (size_t)1 << 40;
    return rc;
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    return clfcn_conv_im2col.prepare(cv, env, err);
}

/* winograd.cl knows no vectors of 5. */
static int prepare_broken(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                          struct clfcn_err *err)
{
    static const struct clfcn_kernel_desc broken = { .stem = "winograd",
                                                     .entry = "winograd_conv",
                                                     .params = { { "M", .dflt = 4 },
                                                                 { "VW", .dflt = 5 } } };
    static struct clfcn_kernel kernel;
    return clfcn_kernel_want(env->programs, &kernel, &broken, NULL, err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *how,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return clfcn_conv_im2col.run(cv, how, call, err);
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000 * 1000 }, NULL);
}

/* By far more than what else happens on the machine could take. */
static int run_slowly(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    sleep_ms(50);
    return run(cv, how, call, err);
}

static int run_failing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                       const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_ECL, -5, "no resources today");
}

static int run_nothing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                       const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return CLFCN_OK;
}

/* Correct in the first run, which is the one that is checked; then it fails. */
static int run_failing_later(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                             const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    static int runs;
    return runs++ % 2 == 0 ? run(cv, how, call, err) : run_failing(cv, how, call, err);
}

/* Slow but with one variant of the provider. */
static int run_slowly_unless_tiled_so(struct clfcn_conv *cv,
                                      const struct clfcn_op_run *how,
                                      const struct clfcn_conv_call *call,
                                      struct clfcn_err *err)
{
    const char *plus = strchr(cv->name, '+');
    if (strcmp(plus, "+native:part=320") != 0 && strcmp(plus, "+native:kt=32") != 0) {
        sleep_ms(50);
    }
    return run(cv, how, call, err);
}

/* As an algorithm chooses by itself. */
static int run_usual_slowly(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                            const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    if (!cv->variant) {
        sleep_ms(50);
    }
    return run(cv, how, call, err);
}

static int run_variants_slowly(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    sleep_ms(cv->variant ? 100 : 50);
    return run(cv, how, call, err);
}

/* Write value over the last element of every plane of what the pass makes: one corner. */
static int spoil(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                 const struct clfcn_conv_call *call, float value, bool all_planes,
                 struct clfcn_err *err)
{
    const struct clfcn_conv_shape *s = &cv->shape;
    const bool weight = cv->pass == CLFCN_PASS_WEIGHT;
    const cl_mem made = weight                           ? call->weight
                        : cv->pass == CLFCN_PASS_FORWARD ? call->y
                                                         : call->x;
    const size_t plane = weight ? (size_t)(s->kernel * s->kernel) : (size_t)(s->h * s->w);
    const size_t planes = weight                           ? (size_t)(s->in * s->out)
                          : cv->pass == CLFCN_PASS_FORWARD ? (size_t)(s->out * s->n)
                                                           : (size_t)(s->in * s->n);
    int rc = run(cv, how, call, err);
    for (size_t i = all_planes ? 0 : planes - 1; rc == CLFCN_OK && i < planes; ++i) {
        rc = clfcn_buffer_write(how->dev, made, ((i + 1) * plane - 1) * sizeof(value),
                                sizeof(value), &value, err);
    }
    return rc;
}

static int run_wrong_at_a_corner(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                                 const struct clfcn_conv_call *call,
                                 struct clfcn_err *err)
{
    return spoil(cv, how, call, 0.0f, true, err);
}

/* One element of all. */
static int run_leaving_nan(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                           const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return spoil(cv, how, call, NAN, false, err);
}

#define IMPL(title, fits_, plan_, prepare_, run_)                                     \
    {                                                                                 \
        .name = title, .uses_gemm = true, .size = 4096, .fits = fits_, .plan = plan_, \
        .prepare = prepare_, .run = run_                                              \
    }
static const struct clfcn_conv_impl
    good = IMPL("good", fits, plan, prepare, run),
    slow = IMPL("slow", fits, plan, prepare, run_slowly),
    broken = IMPL("broken", fits, plan, prepare_broken, run),
    large = IMPL("large", fits, plan_large, prepare, run),
    failing = IMPL("failing", fits, plan, prepare, run_failing),
    failing_later = IMPL("failing later", fits, plan, prepare, run_failing_later),
    idle = IMPL("idle", fits, plan, prepare, run_nothing),
    corner = IMPL("corner", fits, plan, prepare, run_wrong_at_a_corner),
    leaves_nan = IMPL("leaves NaN", fits, plan, prepare, run_leaving_nan),
    unfit = IMPL("unfit", fits_nothing, plan, prepare, run);

static const struct clfcn_tuner_trial *find(const struct clfcn_tuner_result *r,
                                            const char *name)
{
    for (int i = 0; i < r->count; ++i) {
        if (strncmp(r->trials[i].name, name, strlen(name)) == 0) {
            return &r->trials[i];
        }
    }
    return NULL;
}

/* Trials with a provider as it chooses by itself. */
static int count_own(const struct clfcn_tuner_result *r)
{
    int count = 0;
    for (int i = 0; i < r->count; ++i) {
        count += strchr(strchr(r->trials[i].name, '+'), ':') == NULL;
    }
    return count;
}

static void measure(struct rig *rig, const struct clfcn_tuner_config *how,
                    const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                    struct clfcn_tuner_result *out)
{
    struct clfcn_tuner_config config = *how;
    struct clfcn_tuner *tuner = NULL;
    struct clfcn_err err;
    config.dev = rig->dev;
    config.columns_limit = 1 << 20;
    config.workspace_limit = 1 << 30;
    rig_ok(clfcn_tuner_create(&config, &tuner, &err), &err);
    const double end = clfcn_clock() + 20;
    rig_ok(clfcn_tuner_measure(tuner, shape, pass, end, end, out, &err), &err);
    clfcn_tuner_destroy(&tuner);
}

static void measure_with(struct rig *rig, const struct clfcn_conv_impl *const *impls,
                         const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                         enum clfcn_gemm_kind gemm, struct clfcn_tuner_result *out)
{
    const struct clfcn_tuner_config config = { .impls = impls, .gemm = gemm };
    measure(rig, &config, shape, pass, out);
}

static void assert_lost(const struct clfcn_tuner_result *r, const char *name,
                        const char *why)
{
    const struct clfcn_tuner_trial *t = find(r, name);
    assert_non_null(t);
    assert_false(t->correct);
    if (!strstr(t->why, why)) {
        fail_msg("'%s' lost because of '%s', not '%s'", name, t->why, why);
    }
}

static void test_only_correct_ones_are_chosen(void **state)
{
    /* A right result lies in memory before the idle one runs. */
    static const struct clfcn_conv_impl *const impls[] = {
        &unfit,         &slow,   &idle,       &broken, &large, &failing,
        &failing_later, &corner, &leaves_nan, &good,   NULL,
    };
    struct clfcn_tuner_result r;
    for (int s = 0; s < SHAPES; ++s) {
        for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
            measure_with(*state, impls, &shapes[s], (enum clfcn_pass)p, CLFCN_GEMM_NATIVE,
                         &r);
            assert_int_equal(count_own(&r), 9);
            assert_null(find(&r, "unfit"));
            assert_lost(&r, "idle", "not finite");
            assert_lost(&r, "broken", "does not build");
            assert_lost(&r, "large", "workspace");
            assert_lost(&r, "failing+", "no resources today");
            assert_lost(&r, "failing later", "no resources today");
            assert_lost(&r, "corner", "relative error");
            assert_lost(&r, "leaves NaN", "not finite");
            assert_true(find(&r, "slow")->correct);
            assert_true(find(&r, "slow")->ms > find(&r, "good")->ms);
            assert_true(find(&r, "good")->error < 1e-5);
            assert_in_range(r.best, 0, r.count - 1);
            assert_memory_equal(r.trials[r.best].name, "good+native", 11);
        }
    }
}

static void test_nothing_is_chosen_where_all_are_wrong(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &idle, &corner, NULL };
    struct clfcn_tuner_result r;
    measure_with(*state, impls, &shapes[0], CLFCN_PASS_FORWARD, CLFCN_GEMM_NATIVE, &r);
    assert_int_equal(r.best, -1);
}

/* Small slices of columns, if the variant says so. */
static int plan_variant(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                        struct clfcn_err *err)
{
    struct clfcn_op_env small = *env;
    small.columns_limit = cv->variant ? (size_t)cv->variant->value : env->columns_limit;
    return plan(cv, &small, err);
}

/* Each one that plans something of its own, by its name. */
static void test_every_variant(void **state)
{
    static const struct clfcn_conv_variant variants[] = { { "slices=small", 4 << 10 },
                                                          { "slices=as-usual", 1 << 20 },
                                                          { 0 } };
    struct clfcn_conv_impl impl = good;
    const struct clfcn_conv_impl *const impls[] = { &impl, NULL };
    struct clfcn_tuner_result r;
    impl.plan = plan_variant;
    impl.variants = variants;
    measure_with(*state, impls, &shapes[0], CLFCN_PASS_FORWARD, CLFCN_GEMM_NATIVE, &r);
    assert_int_equal(count_own(&r), 2);
    assert_true(find(&r, "good+native")->correct);
    assert_true(find(&r, "good:slices=small+native")->correct);
}

/* But for what a slow moment of the machine kept from being tried. */
static void assert_all_correct(const struct clfcn_tuner_result *r)
{
    for (int i = 0; i < r->count; ++i) {
        if (!r->trials[i].correct && !strstr(r->trials[i].why, "far behind")) {
            fail_msg("%s: %s", r->trials[i].name, r->trials[i].why);
        }
    }
}

/* In its variants too, as far as they plan something of their own. */
static void test_every_provider(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &good, NULL };
    struct rig *rig = *state;
    struct clfcn_tuner_result r;
    measure_with(rig, impls, &deep, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO, &r);
    assert_all_correct(&r);
    assert_non_null(find(&r, "good+native"));
    assert_non_null(find(&r, "good+clblast"));
    if (rig_has_vectors(rig)) {
        assert_int_equal(r.count, 6);
        assert_non_null(find(&r, "good+native:part=320"));
        assert_non_null(find(&r, "good+native:part=1280"));
        assert_non_null(find(&r, "good+clblast:part=128"));
        assert_non_null(find(&r, "good+clblast:part=512"));
    } else {
        assert_non_null(find(&r, "good+native:side=8"));
        assert_non_null(find(&r, "good+native:kt=8"));
    }
    measure_with(rig, impls, &deep, CLFCN_PASS_FORWARD, CLFCN_GEMM_CLBLAST, &r);
    for (int i = 0; i < r.count; ++i) {
        assert_non_null(strstr(r.trials[i].name, "clblast"));
    }
}

/* Parameters would not help an algorithm that is so slow. */
static void test_no_variants_of_what_is_far_behind(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &good, &slow, NULL };
    struct rig *rig = *state;
    const char *const variant =
        rig_has_vectors(rig) ? "slow+native:part=320" : "slow+native:kt=8";
    struct clfcn_tuner_result r;
    measure_with(rig, impls, &deep, CLFCN_PASS_FORWARD, CLFCN_GEMM_NATIVE, &r);
    assert_true(find(&r, "slow+native")->correct);
    assert_lost(&r, variant, "far behind");
}

static void test_a_variant_of_a_provider_may_win(void **state)
{
    struct clfcn_conv_impl impl = good;
    const struct clfcn_conv_impl *const impls[] = { &impl, NULL };
    struct rig *rig = *state;
    struct clfcn_tuner_result r;
    impl.run = run_slowly_unless_tiled_so;
    measure_with(rig, impls, &deep, CLFCN_PASS_FORWARD, CLFCN_GEMM_NATIVE, &r);
    assert_in_range(r.best, 1, r.count - 1);
    assert_string_equal(r.trials[r.best].name, rig_has_vectors(rig)
                                                   ? "good+native:part=320"
                                                   : "good+native:kt=32");
}

/* Small slices; the weight gradient is a sum over them. */
static const struct clfcn_conv_variant sliced[] = { { "sliced", 4 << 10 }, { 0 } };

/* What is tried if the bits must stay as they are, where impl is the usual one. */
static void measure_same_bits(struct rig *rig, const struct clfcn_conv_impl *impl,
                              enum clfcn_pass pass, struct clfcn_tuner_result *out)
{
    const struct clfcn_conv_impl *const impls[] = { &unfit, impl, &good, NULL };
    const struct clfcn_tuner_config config = { .impls = impls,
                                               .gemm = CLFCN_GEMM_NATIVE,
                                               .same_bits = true };
    measure(rig, &config, &shapes[0], pass, out);
    for (int i = 0; i < out->count; ++i) {
        assert_int_equal(strncmp(out->trials[i].name, impl->name, strlen(impl->name)), 0);
    }
}

static void test_same_bits(void **state)
{
    struct clfcn_conv_impl impl = slow;
    struct clfcn_tuner_result r;
    impl.plan = plan_variant;
    impl.variants = sliced;
    impl.run = run_usual_slowly;
    measure_same_bits(*state, &impl, CLFCN_PASS_FORWARD, &r);
    assert_int_equal(r.best, 1);
    assert_string_equal(r.trials[1].name, "slow:sliced+native");
    measure_same_bits(*state, &impl, CLFCN_PASS_WEIGHT, &r);
    assert_int_equal(r.best, 0);
    assert_lost(&r, "slow:sliced", "other bits");
}

static void test_same_bits_but_slower(void **state)
{
    struct clfcn_conv_impl impl = slow;
    struct clfcn_tuner_result r;
    impl.plan = plan_variant;
    impl.variants = sliced;
    impl.run = run_variants_slowly;
    measure_same_bits(*state, &impl, CLFCN_PASS_FORWARD, &r);
    assert_int_equal(r.best, 0);
    assert_true(find(&r, "slow:sliced")->correct);
}

/* The variant brings a kernel along. */
static int prepare_more(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                        struct clfcn_err *err)
{
    static const struct clfcn_kernel_desc more = { .stem = "add",
                                                   .entry = "add_forward",
                                                   .params = { { "VW", .dflt = 2 } } };
    static struct clfcn_kernel kernel;
    const int rc = prepare(cv, env, err);
    return rc < 0 || !cv->variant
               ? rc
               : clfcn_kernel_want(env->programs, &kernel, &more, NULL, err);
}

static void test_same_bits_by_other_kernels(void **state)
{
    struct clfcn_conv_impl impl = slow;
    struct clfcn_tuner_result r;
    impl.plan = plan_variant;
    impl.variants = sliced;
    impl.prepare = prepare_more;
    impl.run = run_usual_slowly;
    measure_same_bits(*state, &impl, CLFCN_PASS_FORWARD, &r);
    assert_int_equal(r.best, 0);
    assert_lost(&r, "slow:sliced", "kernels of its own");
}

/* Then there is nothing to compare with. */
static void test_same_bits_as_what_is_wrong(void **state)
{
    struct clfcn_tuner_result r;
    measure_same_bits(*state, &corner, CLFCN_PASS_FORWARD, &r);
    assert_int_equal(r.best, -1);
    assert_int_equal(r.count, 1);
}

static void check_real_ones(struct rig *rig, const struct clfcn_conv_shape *shape,
                            enum clfcn_pass pass)
{
    struct clfcn_tuner_result r;
    measure_with(rig, clfcn_conv_impls, shape, pass, CLFCN_GEMM_NATIVE, &r);
    assert_in_range(r.best, 0, r.count - 1);
    assert_all_correct(&r);
}

/* Every algorithm there is, bias included where it finishes. */
static void test_the_real_ones_are_correct(void **state)
{
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        for (int s = 0; s < SHAPES; ++s) {
            check_real_ones(*state, &shapes[s], (enum clfcn_pass)p);
        }
        check_real_ones(*state, &transposed, (enum clfcn_pass)p);
    }
}

static void test_stops(void **state)
{
    struct rig *rig = *state;
    static const struct clfcn_conv_impl *const impls[] = { &good, NULL };
    const volatile bool stop = true;
    const struct clfcn_tuner_config config = { .dev = rig->dev,
                                               .impls = impls,
                                               .gemm = CLFCN_GEMM_NATIVE,
                                               .columns_limit = 1 << 20,
                                               .workspace_limit = 1 << 30,
                                               .stop = &stop };
    struct clfcn_tuner *tuner = NULL;
    struct clfcn_tuner_result r;
    struct clfcn_err err;
    rig_ok(clfcn_tuner_create(&config, &tuner, &err), &err);
    assert_int_equal(clfcn_tuner_measure(tuner, &shapes[0], CLFCN_PASS_FORWARD, DBL_MAX,
                                         DBL_MAX, &r, &err),
                     CLFCN_EINTR);
    clfcn_tuner_destroy(&tuner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_only_correct_ones_are_chosen),
        RIG_TEST(test_nothing_is_chosen_where_all_are_wrong),
        RIG_TEST(test_every_variant),
        RIG_TEST(test_every_provider),
        RIG_TEST(test_no_variants_of_what_is_far_behind),
        RIG_TEST(test_a_variant_of_a_provider_may_win),
        RIG_TEST(test_same_bits),
        RIG_TEST(test_same_bits_but_slower),
        RIG_TEST(test_same_bits_by_other_kernels),
        RIG_TEST(test_same_bits_as_what_is_wrong),
        RIG_TEST(test_the_real_ones_are_correct),
        RIG_TEST(test_stops),
    };
    return RIG_RUN(tests);
}
