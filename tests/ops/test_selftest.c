/* test_selftest.c - the self-test finds what is wrong, and names it; what it found is
 * kept, and obeyed. The wrong kernels are im2col, and what can be wrong with it. */
#include "../../host/ops/gemm.h"
#include "../../host/ops/selftest.h"
#include "../../host/ops/verify.h"
#include "../../host/util/file.h"
#include "../kernel/rig.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct clfcn_conv_shape plain = { 5, 7, 3, 2, 9, 11, false };

static int begin(void **state)
{
    static char cache[64];
    snprintf(cache, sizeof(cache), "/tmp/clfcn-test-XXXXXX");
    if (!mkdtemp(cache)) {
        return -1;
    }
    setenv("CLFCN_CACHE_DIR", cache, 1);
    return rig_begin_test(state);
}

static int end(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", getenv("CLFCN_CACHE_DIR"));
    return system(command) != 0 || rig_end_test(state) != 0 ? -1 : 0;
}

/* --- wrong kernels --- */

/* One of the awkward shapes is enough. */
static bool fits(const struct clfcn_conv_shape *shape, enum clfcn_pass pass,
                 const struct clfcn_op_env *env)
{
    return shape->in == plain.in && !shape->transposed;
}

static int plan(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                struct clfcn_err *err)
{
    return clfcn_conv_im2col.plan(cv, env, err);
}

static int prepare(struct clfcn_conv *cv, const struct clfcn_op_env *env,
                   struct clfcn_err *err)
{
    return clfcn_conv_im2col.prepare(cv, env, err);
}

static int run(struct clfcn_conv *cv, const struct clfcn_op_run *how,
               const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return clfcn_conv_im2col.run(cv, how, call, err);
}

static cl_mem made_by(const struct clfcn_conv *cv, const struct clfcn_conv_call *call,
                      size_t *count)
{
    *count = cv->pass == CLFCN_PASS_FORWARD ? clfcn_sample_count_y(&cv->shape)
             : cv->pass == CLFCN_PASS_INPUT ? clfcn_sample_count_x(&cv->shape)
                                            : clfcn_sample_count_weight(&cv->shape);
    return cv->pass == CLFCN_PASS_FORWARD ? call->y
           : cv->pass == CLFCN_PASS_INPUT ? call->x
                                          : call->weight;
}

/* Right, but then change + scale times what is there is put into element i of the result;
 * i counts from its end if it is < 0. */
static int run_and_change(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                          const struct clfcn_conv_call *call, long i, float scale,
                          float change, struct clfcn_err *err)
{
    size_t count;
    float value = 0.0f;
    const cl_mem made = made_by(cv, call, &count);
    const size_t at = (i < 0 ? count + (size_t)-i : (size_t)i) * sizeof(value);
    int rc = run(cv, how, call, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(how->dev, made, at, sizeof(value), &value, err);
    }
    value = scale * value + change;
    return rc < 0 ? rc
                  : clfcn_buffer_write(how->dev, made, at, sizeof(value), &value, err);
}

/* One pixel of a border, in one channel: the middle of the first row. */
static int run_wrong_at_a_border(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                                 const struct clfcn_conv_call *call,
                                 struct clfcn_err *err)
{
    return run_and_change(cv, how, call, 5, 1.25f, 0.5f, err);
}

/* What a race does to a sum: now and then another order, and with it another last bit. */
static int run_racing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    static int runs;
    return run_and_change(cv, how, call, 7, ++runs % 3 == 0 ? 1.0f + 3e-7f : 1.0f, 0.0f,
                          err);
}

static int run_past_the_end(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                            const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return run_and_change(cv, how, call, -1, 0.0f, 1.0f, err);
}

/* NaN wherever an input above 1000 is. */
static int run_overflowing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                           const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    const cl_mem in = cv->pass == CLFCN_PASS_INPUT ? call->y : call->x;
    float first[64];
    bool large = false;
    const int rc = clfcn_buffer_read(how->dev, in, 0, sizeof(first), first, err);
    for (int i = 0; rc == CLFCN_OK && i < 64; ++i) {
        large = large || first[i] > 1000.0f;
    }
    return rc < 0 || !large ? (rc < 0 ? rc : run(cv, how, call, err))
                            : run_and_change(cv, how, call, 0, NAN, 0.0f, err);
}

static int run_failing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                       const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_ECL, -5, "no resources today");
}

#define IMPL(title, run_)                                                           \
    {                                                                               \
        .name = title, .uses_gemm = true, .size = 4096, .fits = fits, .plan = plan, \
        .prepare = prepare, .run = run_                                             \
    }
static const struct clfcn_conv_impl good = IMPL("good", run),
                                    border = IMPL("border", run_wrong_at_a_border),
                                    racing = IMPL("racing", run_racing),
                                    overrun = IMPL("overrun", run_past_the_end),
                                    overflow = IMPL("overflow", run_overflowing),
                                    failing = IMPL("failing", run_failing);

static void assert_wrong(const struct clfcn_certificate *c, const char *subject,
                         const char *why, const char *at)
{
    for (int p = 0; p < CLFCN_PASS_COUNT; ++p) {
        const struct clfcn_finding *f =
            clfcn_certificate_fault(c, subject, clfcn_pass_name((enum clfcn_pass)p));
        if (!f) {
            fail_msg("%s passes for right, %s", subject,
                     clfcn_pass_name((enum clfcn_pass)p));
        } else if (!strstr(f->why, why) || !strstr(f->at, at)) {
            fail_msg("%s: '%s' (%s), not '%s' (%s)", subject, f->why, f->at, why, at);
        }
    }
}

static struct clfcn_selftest selftest_of(struct rig *rig,
                                         const struct clfcn_conv_impl *const *impls)
{
    return (struct clfcn_selftest){ .dev = rig->dev,
                                    .impls = impls,
                                    .gemm = CLFCN_GEMM_NATIVE,
                                    .columns_limit = 1 << 20,
                                    .workspace_limit = 1 << 30 };
}

static void test_wrong_kernels_are_found(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &good,    &border,   &racing,
                                                           &overrun, &overflow, &failing,
                                                           NULL };
    const struct clfcn_selftest t = selftest_of(*state, impls);
    struct clfcn_certificate c = { 0 };
    struct clfcn_err err;
    rig_ok(clfcn_selftest_run(&t, &c, &err), &err);
    for (int i = 0; i < c.count; ++i) {
        const struct clfcn_finding *f = &c.list[i];
        const bool ours =
            strstr(f->subject, "+native") && strncmp(f->subject, "good", 4) != 0;
        if (f->correct == ours) {
            fail_msg("%s, %s: %s (%s)", f->subject, f->pass,
                     ours ? "passes for right" : f->why, f->at);
        }
    }
    assert_wrong(&c, "border+native", "relative error", "");
    assert_wrong(&c, "racing+native", "other bits", "");
    assert_wrong(&c, "overrun+native", "past the end", "");
    assert_wrong(&c, "overflow+native", "not finite", "large");
    assert_wrong(&c, "failing+native", "no resources today", "");
    assert_non_null(clfcn_certificate_find(&c, "good+native", "forward"));
    assert_non_null(clfcn_certificate_find(&c, "batchnorm", "backward"));
    assert_non_null(clfcn_certificate_find(&c, "ce", "backward"));
    assert_non_null(clfcn_certificate_find(&c, "adamw", "update"));
    clfcn_certificate_free(&c);
}

/* A shape of one's own, sampled. */
static void test_own_shapes(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &good, &border, NULL };
    const struct clfcn_selftest t = selftest_of(*state, impls);
    const struct clfcn_conv_shape own = { 5, 3, 3, 1, 12, 9, false };
    struct clfcn_certificate c = { 0 };
    struct clfcn_err err;
    rig_ok(clfcn_selftest_shape(&t, &own, CLFCN_PASS_FORWARD, &c, &err), &err);
    assert_null(clfcn_certificate_fault(&c, "good+native", "forward"));
    assert_int_equal(clfcn_certificate_find(&c, "good+native", "forward")->tests, 1);
    assert_non_null(clfcn_certificate_fault(&c, "border+native", "forward"));
    clfcn_certificate_free(&c);
}

/* Right in training, but in inference what is to be added is forgotten. */
static int run_forgetful(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                         const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    struct clfcn_conv_call other = *call;
    struct clfcn_conv_norm norm;
    if (call->norm) {
        norm = *call->norm;
        norm.skip = NULL;
        other.norm = &norm;
    }
    return clfcn_conv_winograd2.run(cv, how, &other, err);
}

/* Likewise, but a pooled pixel is lost. */
static int run_losing(struct clfcn_conv *cv, const struct clfcn_op_run *how,
                      const struct clfcn_conv_call *call, struct clfcn_err *err)
{
    static const float zero;
    const int rc = clfcn_conv_winograd2.run(cv, how, call, err);
    return rc < 0 || !call->pool
               ? rc
               : clfcn_buffer_write(how->dev, call->y, 0, sizeof(zero), &zero, err);
}

static void assert_wrong_forward(const struct clfcn_certificate *c, const char *subject,
                                 const char *at)
{
    const struct clfcn_finding *f = clfcn_certificate_fault(c, subject, "forward");
    assert_null(clfcn_certificate_fault(c, subject, "input gradient"));
    if (!f || !strstr(f->at, at)) {
        fail_msg("%s: %s", subject, f ? f->at : "passes for right");
    }
}

/* What inference lets a convolution do besides is tested too. */
static void test_absorbed(void **state)
{
    struct clfcn_conv_impl forgetful = clfcn_conv_winograd2, losing = forgetful;
    const struct clfcn_conv_impl *impls[] = { &clfcn_conv_winograd2, &forgetful, &losing,
                                              NULL };
    const struct clfcn_selftest t = selftest_of(*state, impls);
    struct clfcn_certificate c = { 0 };
    struct clfcn_err err;
    if (!rig_has_vectors(*state)) {
        skip(); /* no algorithm for GPUs absorbs anything */
    }
    forgetful.name = "forgetful";
    forgetful.run = run_forgetful;
    losing.name = "losing";
    losing.run = run_losing;
    rig_ok(clfcn_selftest_run(&t, &c, &err), &err);
    assert_null(clfcn_certificate_fault(&c, "winograd2", "forward"));
    assert_wrong_forward(&c, "forgetful", "normed");
    assert_wrong_forward(&c, "losing", "pooled");
    clfcn_certificate_free(&c);
}

static void test_stops(void **state)
{
    static const struct clfcn_conv_impl *const impls[] = { &good, NULL };
    const volatile bool stop = true;
    struct clfcn_selftest t = selftest_of(*state, impls);
    struct clfcn_certificate c = { 0 };
    struct clfcn_err err;
    t.stop = &stop;
    assert_int_equal(clfcn_selftest_run(&t, &c, &err), CLFCN_EINTR);
    clfcn_certificate_free(&c);
}

/* --- certificates --- */

static void add(struct clfcn_certificate *c, const char *subject, const char *pass,
                double error)
{
    struct clfcn_finding f = { .tests = 1, .error = error, .bound = 1e-4, .ms = 0.5 };
    struct clfcn_err err;
    snprintf(f.subject, sizeof(f.subject), "%s", subject);
    snprintf(f.pass, sizeof(f.pass), "%s", pass);
    snprintf(f.at, sizeof(f.at), "error %g", error);
    clfcn_finding_judge(&f);
    rig_ok(clfcn_certificate_add(c, &f, &err), &err);
}

static void test_the_worst_counts(void **state)
{
    struct clfcn_certificate c = { 0 };
    add(&c, "a", "forward", 1e-6);
    add(&c, "a", "forward", 2e-6);
    add(&c, "a", "forward", 1e-7);
    const struct clfcn_finding *f = clfcn_certificate_find(&c, "a", "forward");
    assert_int_equal(f->tests, 3);
    assert_true(f->error == 2e-6 && f->correct && f->ms == 1.5);
    assert_null(clfcn_certificate_find(&c, "a", "backward"));
    add(&c, "a", "forward", 0.5);
    add(&c, "a", "forward", NAN);
    f = clfcn_certificate_fault(&c, "a", "forward");
    assert_string_equal(f->at, "error 0.5"); /* the first fault */
    assert_int_equal(f->tests, 5);
    clfcn_certificate_free(&c);
}

static void test_kept(void **state)
{
    struct rig *rig = *state;
    struct clfcn_certificate c = { 0 }, newer = { 0 }, read;
    struct clfcn_err err;
    clfcn_certificate_load(rig->dev, &read);
    assert_int_equal(read.count, 0);
    add(&c, "a", "forward", NAN);
    add(&c, "b", "backward", 3e-7);
    rig_ok(clfcn_certificate_save(&c, rig->dev, &err), &err);
    clfcn_certificate_load(rig->dev, &read);
    assert_int_equal(read.count, 2);
    const struct clfcn_finding *f = clfcn_certificate_fault(&read, "a", "forward");
    assert_true(isnan(f->error));
    assert_string_equal(f->why, c.list[0].why);
    assert_null(clfcn_certificate_fault(&read, "b", "backward"));
    /* A test done again takes the place of the one before. */
    add(&newer, "a", "forward", 1e-6);
    rig_ok(clfcn_certificate_update(&read, &newer, &err), &err);
    assert_null(clfcn_certificate_fault(&read, "a", "forward"));
    assert_int_equal(read.count, 2);
    clfcn_certificate_free(&read);
    /* Another driver: all is to be tested anew. */
    char *driver = rig->dev->info.driver;
    driver[0] ^= 1;
    clfcn_certificate_load(rig->dev, &read);
    assert_int_equal(read.count, 0);
    driver[0] ^= 1;
    clfcn_certificate_free(&c);
    clfcn_certificate_free(&newer);
}

static void test_a_damaged_one_is_none(void **state)
{
    struct rig *rig = *state;
    struct clfcn_certificate c = { 0 }, read;
    struct clfcn_err err;
    char *path, *text;
    size_t size;
    add(&c, "a", "forward", 0.5);
    rig_ok(clfcn_certificate_save(&c, rig->dev, &err), &err);
    rig_ok(clfcn_certificate_path(rig->dev, &path, &err), &err);
    rig_ok(clfcn_file_read(path, 0, &text, &size, &err), &err);
    *strstr(text, "\"a\"") = 'x'; /* no JSON any more */
    rig_ok(clfcn_file_write(path, text, size, &err), &err);
    clfcn_certificate_load(rig->dev, &read);
    assert_int_equal(read.count, 0);
    free(text);
    rig_ok(clfcn_certificate_save(&c, rig->dev, &err), &err);
    rig_ok(clfcn_file_read(path, 0, &text, &size, &err), &err);
    strstr(text, "\"a\"")[1] = 'b'; /* another kernel is blamed */
    rig_ok(clfcn_file_write(path, text, size, &err), &err);
    clfcn_certificate_load(rig->dev, &read);
    assert_int_equal(read.count, 0);
    free(text);
    free(path);
    clfcn_certificate_free(&c);
}

/* The name of what is planned for plain, then of what that is instead of. */
static int chosen(struct rig *rig, const struct clfcn_certificate *c,
                  enum clfcn_gemm_kind gemm, char name[CLFCN_CONV_NAME],
                  char instead_of[CLFCN_CONV_NAME], struct clfcn_err *err)
{
    struct clfcn_gemms gemms = { .dev = rig->dev, .kind = gemm };
    struct clfcn_conv *cv = NULL;
    rig_ok(clfcn_programs_create(rig->dev, &gemms.programs, err), err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = gemms.programs,
                                      .gemms = &gemms,
                                      .gemm_kind = gemm,
                                      .columns_limit = 1 << 20,
                                      .workspace_limit = 1 << 30,
                                      .training = true,
                                      .certificate = c };
    const int rc = clfcn_conv_create(&plain, CLFCN_PASS_FORWARD, &env, &cv, err);
    if (rc == CLFCN_OK) {
        snprintf(name, CLFCN_CONV_NAME, "%s", cv->name);
        snprintf(instead_of, CLFCN_CONV_NAME, "%s", cv->instead_of);
    }
    clfcn_programs_destroy(&gemms.programs);
    clfcn_conv_destroy(&cv);
    clfcn_gemms_destroy(&gemms);
    return rc;
}

/* Blame what is chosen, one after the other, until nothing is left. */
static void check_obeyed(struct rig *rig, enum clfcn_gemm_kind gemm, int least)
{
    struct clfcn_certificate c = { 0 };
    char name[CLFCN_CONV_NAME], instead_of[CLFCN_CONV_NAME], usual[CLFCN_CONV_NAME];
    struct clfcn_err err;
    int choices = 0;
    add(&c, "winograd4", "weight gradient", 0.5); /* another pass */
    rig_ok(chosen(rig, &c, gemm, usual, instead_of, &err), &err);
    assert_string_equal(instead_of, "");
    snprintf(name, sizeof(name), "%s", usual);
    int rc;
    do {
        assert_null(clfcn_certificate_find(&c, name, "forward"));
        add(&c, name, "forward", 0.5);
        rc = chosen(rig, &c, gemm, name, instead_of, &err);
        assert_true(rc < 0 || strcmp(instead_of, usual) == 0);
        ++choices;
    } while (rc == CLFCN_OK);
    assert_int_equal(rc, CLFCN_ENUMERIC);
    assert_non_null(strstr(err.msg, usual));
    assert_non_null(strstr(err.msg, "forward"));
    assert_true(choices >= least);
    clfcn_certificate_free(&c);
}

static void test_obeyed(void **state)
{
    check_obeyed(*state, CLFCN_GEMM_NATIVE, 2);
    check_obeyed(*state, CLFCN_GEMM_AUTO, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wrong_kernels_are_found),
        TEST(test_own_shapes),
        TEST(test_absorbed),
        TEST(test_stops),
        TEST(test_the_worst_counts),
        TEST(test_kept),
        TEST(test_a_damaged_one_is_none),
        TEST(test_obeyed),
    };
    return RIG_RUN(tests);
}
