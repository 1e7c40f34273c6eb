/* test_clip.c - gradients clipped to a norm. */
#include "../../host/ops/clip.h"
#include "rig.h"
#include <math.h>
#include <stdlib.h>

/* The tested result goes into the middle. */
enum { RESULTS = 4, AT = 1 };

struct fixture {
    struct rig *rig;
    struct clfcn_programs *programs;
    struct clfcn_clip clip;
    struct vec g, result, scratch;
};

static void open_fixture(struct fixture *f, struct rig *rig, size_t count)
{
    struct clfcn_err err;
    *f = (struct fixture){ .rig = rig };
    rig_ok(clfcn_programs_create(rig->dev, &f->programs, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = f->programs,
                                      .training = true };
    rig_ok(clfcn_clip_prepare(&f->clip, &env, &err), &err);
    rig_ok(clfcn_programs_build(f->programs, &err), &err);
    vec_open(rig, &f->g, "gradients", count);
    vec_open(rig, &f->result, "result", RESULTS);
    vec_open_whole(rig, &f->scratch, "scratch",
                   clfcn_clip_scratch(count) / sizeof(float));
}

static void close_fixture(struct fixture *f)
{
    vec_close(f->rig, &f->g);
    vec_close(f->rig, &f->result);
    vec_close(f->rig, &f->scratch);
    clfcn_programs_destroy(&f->programs);
}

static void run(struct fixture *f, double limit)
{
    struct clfcn_err err;
    const struct clfcn_op_run run = { .dev = f->rig->dev,
                                      .training = true,
                                      .scratch = f->scratch.mem };
    vec_constant(&f->result, 7.0);
    vec_upload(f->rig, &f->result);
    vec_upload(f->rig, &f->g);
    vec_poison(f->rig, &f->scratch);
    rig_ok(clfcn_clip_run(&f->clip, &run, f->g.mem, f->g.count, limit, f->result.mem, AT,
                          &err),
           &err);
    vec_download(f->rig, &f->g);
    vec_download(f->rig, &f->result);
    vec_check_guards(f->rig, &f->scratch);
    assert_true(f->result.host[AT - 1] == 7.0 && f->result.host[AT + 2] == 7.0);
}

static double norm_of(const struct vec *v)
{
    double sum = 0.0;
    for (size_t i = 0; i < v->count; ++i) {
        sum += v->host[i] * v->host[i];
    }
    return sqrt(sum);
}

static void check(struct rig *rig, size_t count, double size, double limit)
{
    struct fixture f;
    open_fixture(&f, rig, count);
    vec_normal(rig, &f.g, 0.0, size);
    double *want = vec_copy(&f.g);
    const double norm = norm_of(&f.g), factor = fmin(1.0, limit / (norm + 1e-6));
    for (size_t i = 0; i < count; ++i) {
        want[i] *= factor;
    }
    run(&f, limit);
    assert_close("norm", &f.result.host[AT], &norm, 1, TOLERANCE_SUM);
    assert_close("factor", &f.result.host[AT + 1], &factor, 1, TOLERANCE_SUM);
    assert_close("gradients", f.g.host, want, count,
                 factor < 1.0 ? TOLERANCE_SUM : TOLERANCE_EXACT);
    free(want);
    close_fixture(&f);
}

static void test_long_ones_are_clipped(void **state)
{
    const struct rig *rig = *state;
    static const size_t counts[] = { 16, 48, 4112, 65536 + 16, 5000000 / 16 * 16 };
    const int last = rig->small ? 3 : CLFCN_ARRAY_LEN(counts);
    for (int i = 0; i < last; ++i) {
        check(*state, counts[i], 1.0, 0.5);
        check(*state, counts[i], 1e-4, 1e-5);
    }
}

/* To the bit. */
static void test_short_ones_are_left_alone(void **state)
{
    check(*state, 4112, 1e-3, 1.0);
    check(*state, 48, 0.0, 1.0);
}

static void test_nan_shows(void **state)
{
    struct fixture f;
    open_fixture(&f, *state, 48);
    vec_normal(f.rig, &f.g, 0.0, 1.0);
    f.g.host[17] = NAN;
    run(&f, 0.5);
    assert_true(isnan(f.result.host[AT]));
    assert_true(isnan(f.g.host[17]));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_long_ones_are_clipped),
        RIG_TEST(test_short_ones_are_left_alone),
        RIG_TEST(test_nan_shows),
    };
    return RIG_RUN(tests);
}
