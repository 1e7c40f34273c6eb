/* test_slice.c - kernels cut into slices compute the bits of whole ones, and slices are
 * as short as they are asked to be. */
#include "../../host/device/dev.h"
#include "../../host/device/slice.h"
#include "../../host/net/net_impl.h"
#include "../../host/util/rng.h"
#include "../../host/util/sys.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, BATCH = 2, CLASSES = 3, STEPS = 2, PIXELS = SIDE * SIDE * BATCH };

static struct clfcn_dev *dev;
static float images[3 * PIXELS];
static uint8_t labels[PIXELS];

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int setup(void **state)
{
    struct clfcn_err err;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 1, "slice", 0, 0);
    for (int i = 0; i < 3 * PIXELS; ++i) {
        images[i] = (float)clfcn_rng_normal(&rng);
    }
    for (int i = 0; i < PIXELS; ++i) {
        labels[i] = (uint8_t)clfcn_rng_below(&rng, CLASSES);
    }
    return clfcn_dev_open("auto", &dev, &err);
}

static int teardown(void **state)
{
    const int live = atomic_load(&dev->live_objects);
    clfcn_dev_close(&dev);
    return live;
}

static void become_gpu(void)
{
    dev->info.device_class = CLFCN_CLASS_OTHER;
    dev->info.is_cpu = false;
    dev->info.is_gpu = true;
    dev->info.vector_width = 1;
}

/* Train for some steps with this limit; the bytes of all tensors, to be freed. */
static char *train(enum clfcn_gemm_kind gemm, double limit_ms, size_t *size)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = SIDE,
                                         .height = SIDE,
                                         .batch = BATCH };
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = {
        .training = true, .optimizer = CLFCN_ADAMW, .gemm = gemm, .choices = &none
    };
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    ok(clfcn_dev_limit_kernels(dev, limit_ms, &err), &err);
    assert_true(clfcn_slice_limit(dev) == limit_ms);
    ok(clfcn_net_create(dev, &desc, &how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    for (int s = 0; s < STEPS; ++s) {
        const struct clfcn_net_input in = { images, labels, PIXELS };
        const struct clfcn_net_hyper hyper = {
            .lr = 0.001, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .update = s + 1
        };
        ok(clfcn_net_upload(net, 0, &in, &err), &err);
        ok(clfcn_net_step(net, 0, &hyper, &err), &err);
        ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    }
    char *bytes = NULL;
    *size = 0;
    for (int i = 0; i < clfcn_net_tensor_count(net, true); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        bytes = realloc(bytes, *size + t.bytes);
        assert_non_null(bytes);
        ok(clfcn_net_tensor_read(net, i, bytes + *size, &err), &err);
        *size += t.bytes;
    }
    clfcn_net_destroy(&net);
    return bytes;
}

static void assert_same_bits(enum clfcn_gemm_kind gemm)
{
    size_t size, other_size;
    char *whole = train(gemm, 0, &size), *sliced = train(gemm, 0.2, &other_size);
    assert_int_equal(size, other_size);
    assert_memory_equal(whole, sliced, size);
    free(whole);
    free(sliced);
}

static void test_as_the_device_is(void **state)
{
    assert_same_bits(CLFCN_GEMM_AUTO);
}

static void test_as_on_a_gpu(void **state)
{
    become_gpu();
    assert_same_bits(CLFCN_GEMM_NATIVE);
}

static void test_clblast_as_on_a_gpu(void **state)
{
    become_gpu();
    assert_same_bits(CLFCN_GEMM_CLBLAST);
}

/* Work of known speed, on the host: every unit takes so long. */
struct sleeper {
    double unit_s;
    size_t next, largest;
    int calls;
};

static int sleep_units(void *user, size_t first, size_t count, struct clfcn_err *err)
{
    struct sleeper *s = user;
    assert_int_equal(first, s->next);
    assert_true(count > 0);
    s->next += count;
    s->largest = count > s->largest ? count : s->largest;
    ++s->calls;
    clfcn_sleep(s->unit_s * (double)count);
    return CLFCN_OK;
}

static struct sleeper run_sleeper(uint64_t key, size_t units, double unit_s)
{
    struct sleeper s = { .unit_s = unit_s };
    struct clfcn_err err;
    ok(clfcn_slice_run(dev, key, units, sleep_units, &s, &err), &err);
    assert_int_equal(s.next, units);
    return s;
}

static void test_slices_grow_to_the_limit(void **state)
{
    struct clfcn_err err;
    ok(clfcn_dev_limit_kernels(dev, 20, &err), &err);
    for (int run = 0; run < 3; ++run) { /* 200 ms, so never more than 20 of 200 units */
        const struct sleeper s = run_sleeper(1, 200, 1e-3);
        assert_true(s.largest <= 20);
        assert_true(s.calls >= 10);
    }
}

static void test_short_work_stays_whole(void **state)
{
    struct clfcn_err err;
    ok(clfcn_dev_limit_kernels(dev, 60000, &err), &err);
    assert_true(run_sleeper(1, 640, 1e-6).calls > 1); /* nothing is known yet */
    assert_int_equal(run_sleeper(1, 640, 1e-6).calls, 1);
    assert_true(run_sleeper(2, 640, 1e-6).calls > 1); /* of another key neither */
    assert_int_equal(run_sleeper(2, 640, 1e-6).calls, 1);
}

static void test_more_kinds_of_work_than_are_remembered(void **state)
{
    struct clfcn_err err;
    ok(clfcn_dev_limit_kernels(dev, 1000, &err), &err);
    for (uint64_t key = 0; key < 10000; ++key) {
        run_sleeper(key << 12, 1, 0);
    }
}

static void test_no_limit_cuts_nothing(void **state)
{
    struct clfcn_err err;
    ok(clfcn_dev_limit_kernels(dev, 0, &err), &err);
    assert_int_equal(run_sleeper(1, 640, 1e-6).calls, 1);
}

static void test_the_default_is_for_integrated_gpus(void **state)
{
    const struct clfcn_device_info saved = dev->info;
    struct clfcn_err err;
    const struct {
        bool gpu, unified;
        double ms;
    } cases[] = { { true, true, 50 }, { true, false, 0 }, { false, true, 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        dev->info.is_gpu = cases[i].gpu;
        dev->info.unified_memory = cases[i].unified;
        ok(clfcn_dev_limit_kernels(dev, -1, &err), &err);
        assert_true(clfcn_slice_limit(dev) == cases[i].ms);
    }
    dev->info = saved;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_grow_to_the_limit),
        cmocka_unit_test(test_short_work_stays_whole),
        cmocka_unit_test(test_more_kinds_of_work_than_are_remembered),
        cmocka_unit_test(test_no_limit_cuts_nothing),
        cmocka_unit_test(test_the_default_is_for_integrated_gpus),
        cmocka_unit_test(test_as_the_device_is),
        cmocka_unit_test(test_as_on_a_gpu),
        cmocka_unit_test(test_clblast_as_on_a_gpu),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
