/* test_peak.c - the kernels that measure a device, and whether what they measure can be.
 */
#include "../../host/ops/defaults.h"
#include "../../host/ops/peak.h"
#include "rig.h"
#include <math.h>
#include <stdlib.h>

/* A kernel with its programs. */
struct build {
    struct clfcn_programs *programs;
    struct clfcn_kernel kernel;
    int vector_width;
};

static void build_open(struct rig *rig, struct build *b,
                       const struct clfcn_kernel_desc *desc)
{
    struct clfcn_err err;
    b->vector_width = clfcn_defaults_for(&rig->dev->info).vector_width;
    const int values[CLFCN_MAX_PARAMS] = { b->vector_width };
    rig_ok(clfcn_programs_create(rig->dev, &b->programs, &err), &err);
    rig_ok(clfcn_kernel_want(b->programs, &b->kernel, desc, values, &err), &err);
    rig_ok(clfcn_programs_build(b->programs, &err), &err);
}

/* Every chain is computed, as often as was asked: a compiler that leaves some out shows.
 */
static void test_fma(void **state)
{
    enum { ITEMS = 5, ROUNDS = 40 };
    struct rig *rig = *state;
    struct build b;
    struct vec out;
    struct clfcn_err err;
    const float scale = 0.9f, shift = 0.25f;
    const int rounds = ROUNDS;
    double sum = 0, want[ITEMS];
    build_open(rig, &b, &clfcn_peak_fma_desc);
    vec_open(rig, &out, "out", ITEMS);
    vec_upload(rig, &out);
    const size_t global = ITEMS, local = 1;
    const struct clfcn_arg args[] = { CLFCN_ARG(out.mem), CLFCN_ARG(scale),
                                      CLFCN_ARG(shift), CLFCN_ARG(rounds) };
    rig_ok(clfcn_launch(rig->dev, &b.kernel, 1, &global, &local, args,
                        CLFCN_ARRAY_LEN(args), &err),
           &err);
    vec_download(rig, &out);
    for (int chain = 0; chain < CLFCN_PEAK_CHAINS; ++chain) {
        double v = chain;
        for (int r = 0; r < ROUNDS; ++r) {
            v = v * (double)scale + (double)shift;
        }
        sum += v * b.vector_width;
    }
    for (int i = 0; i < ITEMS; ++i) {
        want[i] = sum;
    }
    assert_close("out", out.host, want, ITEMS, TOLERANCE_SUM);
    vec_close(rig, &out);
    clfcn_programs_destroy(&b.programs);
}

/* 7 vectors for 3 items, of which the last finds less than its share, taken in runs and
 * in turns. */
static void test_triad(void **state)
{
    enum { ITEMS = 3, VECTORS = 7, COUNT = 3 };
    static const cl_uint orders[][2] = { { COUNT, 1 }, { 1, ITEMS } };
    struct rig *rig = *state;
    struct build b;
    struct vec x, y, z;
    struct clfcn_err err;
    build_open(rig, &b, &clfcn_peak_triad_desc);
    const size_t n = (size_t)VECTORS * (size_t)b.vector_width;
    vec_open(rig, &x, "x", n);
    vec_open(rig, &y, "y", n);
    vec_open(rig, &z, "z", n);
    vec_normal(rig, &x, 0.0, 1.0);
    vec_normal(rig, &y, 0.0, 1.0);
    vec_upload(rig, &x);
    vec_upload(rig, &y);
    double *want = doubles(n);
    const float scale = 3.0f;
    const cl_uint count = COUNT, vectors = VECTORS;
    for (size_t i = 0; i < n; ++i) {
        want[i] = x.host[i] + (double)scale * y.host[i];
    }
    for (int o = 0; o < CLFCN_ARRAY_LEN(orders); ++o) {
        const size_t global = ITEMS, local = 1;
        const struct clfcn_arg args[] = {
            CLFCN_ARG(x.mem), CLFCN_ARG(y.mem),        CLFCN_ARG(z.mem),
            CLFCN_ARG(scale), CLFCN_ARG(orders[o][0]), CLFCN_ARG(orders[o][1]),
            CLFCN_ARG(count), CLFCN_ARG(vectors),
        };
        vec_poison(rig, &z);
        rig_ok(clfcn_launch(rig->dev, &b.kernel, 1, &global, &local, args,
                            CLFCN_ARRAY_LEN(args), &err),
               &err);
        vec_download(rig, &z);
        assert_close("z", z.host, want, n, TOLERANCE_POINT);
    }
    free(want);
    vec_close(rig, &x);
    vec_close(rig, &y);
    vec_close(rig, &z);
    clfcn_programs_destroy(&b.programs);
}

static struct clfcn_peak measure(struct rig *rig)
{
    static const struct clfcn_peak_effort tiny = { 4096, 2, 1, 0.0, 1.0 };
    struct clfcn_peak peak;
    struct clfcn_err err;
    rig_ok(rig->small ? clfcn_peak_measure_with(rig->dev, &tiny, &peak, &err)
                      : clfcn_peak_measure(rig->dev, &peak, &err),
           &err);
    assert_true(peak.gflops > 0 && isfinite(peak.gflops));
    assert_true(peak.gbps > 0 && isfinite(peak.gbps));
    assert_true(peak.launch_us > 0 && isfinite(peak.launch_us));
    assert_true(peak.upload_gbps > 0 && isfinite(peak.upload_gbps));
    assert_true(peak.download_gbps > 0 && isfinite(peak.download_gbps));
    return peak;
}

/* Other work on the machine may make a figure as small as it likes. One beyond a bound of
 * physics was not computed: no core does more than 64 multiply-adds of 5 GHz. */
static void test_figures(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_peak peak = measure(rig);
    if (!rig->small && rig->dev->info.is_cpu) {
        assert_true(peak.gflops < 640.0 * rig->dev->info.compute_units);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_fma),
        RIG_TEST(test_triad),
        RIG_TEST(test_figures),
    };
    return RIG_RUN(tests);
}
