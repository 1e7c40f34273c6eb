/* test_tune.c - a whole network tuned: what is listed, stored, and used by the next. */
#include "../../host/net/tune.h"
#include "../../host/device/dev.h"
#include "../../host/ops/gemm.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../skip.h"

static const struct clfcn_net_desc desc = { .arch = CLFCN_FCN32S,
                                            .backbone = CLFCN_VGG11,
                                            .classes = 2,
                                            .width = 32,
                                            .height = 32,
                                            .batch = 1 };
static const struct clfcn_net_options training = { .training = true };

static struct clfcn_dev *dev;
static char cache[64];

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int begin(void **state)
{
    struct clfcn_err err;
    snprintf(cache, sizeof(cache), "/tmp/clfcn-test-XXXXXX");
    if (!mkdtemp(cache) || clfcn_dev_open("auto", &dev, &err) < 0) {
        return -1;
    }
    setenv("CLFCN_CACHE_DIR", cache, 1);
    return 0;
}

static int end(void **state)
{
    char command[128];
    const int left = atomic_load(&dev->live_objects);
    clfcn_dev_close(&dev);
    snprintf(command, sizeof(command), "rm -rf %s", cache);
    return system(command) != 0 || left != 0 ? -1 : 0;
}

static const struct clfcn_tune_row *row_of(const struct clfcn_tuning *t,
                                           const char *layers, enum clfcn_pass pass)
{
    for (int i = 0; i < t->count; ++i) {
        if (strcmp(t->rows[i].layers, layers) == 0 && t->rows[i].pass == pass) {
            return &t->rows[i];
        }
    }
    return NULL;
}

/* Equal layers are one row; the first layer's input gradient is not wanted, nor are a
 * frozen layer's gradients. */
static void test_rows(void **state)
{
    struct clfcn_net_options frozen = training, inference = { 0 };
    struct clfcn_tuning t;
    struct clfcn_err err;
    frozen.freeze_backbone = true;
    ok(clfcn_tuning_open(dev, &desc, &training, CLFCN_LOG_WARN, &t, &err), &err);
    assert_non_null(row_of(&t, "conv1_1", CLFCN_PASS_FORWARD));
    assert_non_null(row_of(&t, "conv1_1", CLFCN_PASS_WEIGHT));
    assert_null(row_of(&t, "conv1_1", CLFCN_PASS_INPUT));
    assert_non_null(row_of(&t, "conv5_1 conv5_2", CLFCN_PASS_INPUT));
    assert_non_null(row_of(&t, "classifier", CLFCN_PASS_INPUT));
    for (int i = 0; i < t.count; ++i) {
        assert_false(t.rows[i].stored);
        assert_true(t.rows[i].usual[0] != '\0');
    }
    clfcn_tuning_close(&t);
    ok(clfcn_tuning_open(dev, &desc, &frozen, CLFCN_LOG_WARN, &t, &err), &err);
    assert_non_null(row_of(&t, "conv2_1", CLFCN_PASS_FORWARD));
    assert_null(row_of(&t, "conv2_1", CLFCN_PASS_WEIGHT));
    assert_null(row_of(&t, "conv2_1", CLFCN_PASS_INPUT));
    assert_non_null(row_of(&t, "classifier", CLFCN_PASS_WEIGHT));
    clfcn_tuning_close(&t);
    ok(clfcn_tuning_open(dev, &desc, &inference, CLFCN_LOG_WARN, &t, &err), &err);
    assert_non_null(row_of(&t, "conv2_1", CLFCN_PASS_FORWARD));
    assert_null(row_of(&t, "conv2_1", CLFCN_PASS_WEIGHT));
    assert_null(row_of(&t, "conv2_1", CLFCN_PASS_INPUT));
    clfcn_tuning_close(&t);
}

static const char *algorithm_of(const struct clfcn_net_options *options, const char *name)
{
    static char found[CLFCN_CONV_NAME];
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    found[0] = '\0';
    ok(clfcn_net_create(dev, &desc, options, &net, &err), &err);
    for (int i = 0; i < clfcn_net_layer_count(net); ++i) {
        struct clfcn_net_layer layer;
        clfcn_net_layer_get(net, i, &layer);
        if (strcmp(layer.name, name) == 0) {
            snprintf(found, sizeof(found), "%s",
                     layer.pass[CLFCN_PASS_FORWARD].algorithm);
        }
    }
    clfcn_net_destroy(&net);
    return found;
}

/* However small the budget is, the heaviest pass is measured, and stored. */
static void test_measured_stored_and_used(void **state)
{
    const struct clfcn_tune_how how = { .budget = 1e-9 };
    struct clfcn_tuning t;
    struct clfcn_err err;
    int measured = 0;
    ok(clfcn_tuning_open(dev, &desc, &training, CLFCN_LOG_WARN, &t, &err), &err);
    ok(clfcn_tuning_measure(&t, &how, &err), &err);
    for (int i = 0; i < t.count; ++i) {
        measured += t.rows[i].measured;
        assert_int_equal(t.rows[i].stored, t.rows[i].measured);
        assert_true(t.rows[i].measured || t.rows[i].why[0]);
    }
    assert_int_equal(measured, 1);
    clfcn_tuning_close(&t);
    ok(clfcn_tuning_open(dev, &desc, &training, CLFCN_LOG_WARN, &t, &err), &err);
    assert_int_equal(t.choices.count, 1);
    clfcn_tuning_close(&t);
}

/* A choice that differs from the default is taken by the next network, but not where
 * other choices are given, or none, or --gemm says otherwise. */
static void test_used(void **state)
{
    const struct clfcn_choices none = { 0 };
    struct clfcn_net_options options = training;
    struct clfcn_tuning t;
    struct clfcn_err err;
    ok(clfcn_tuning_open(dev, &desc, &training, CLFCN_LOG_WARN, &t, &err), &err);
    const struct clfcn_tune_row *row = row_of(&t, "conv3_2", CLFCN_PASS_FORWARD);
    const struct clfcn_gemm_impl *native =
        clfcn_gemm_impl_of(&dev->info, CLFCN_GEMM_NATIVE);
    char variant[CLFCN_CONV_NAME];
    snprintf(variant, sizeof(variant), "im2col+native:%s",
             clfcn_gemm_next_variant(native, &dev->info, NULL)->name);
    const char *const others[] = { variant, "im2col+clblast" };
    assert_string_equal(algorithm_of(&training, "conv3_2"), row->usual);
    for (int i = 0; i < CLFCN_ARRAY_LEN(others); ++i) {
        struct clfcn_choice choice = { .shape = row->shape, .ms = 1.0, .error = 1e-7 };
        snprintf(choice.algorithm, sizeof(choice.algorithm), "%s", others[i]);
        ok(clfcn_choices_set(&t.choices, &choice, &err), &err);
        ok(clfcn_choices_save(&t.choices, dev, &err), &err);
        assert_string_equal(algorithm_of(&training, "conv3_2"), others[i]);
    }
    options.choices = &none;
    assert_string_equal(algorithm_of(&options, "conv3_2"), row->usual);
    options.choices = NULL;
    options.gemm = CLFCN_GEMM_NATIVE;
    assert_string_not_equal(algorithm_of(&options, "conv3_2"), "im2col+clblast");
    clfcn_tuning_close(&t);
}

static char message[1024];

static void note(void *user, enum clfcn_log_level level, const char *msg)
{
    snprintf(message, sizeof(message), "%s", msg);
}

/* The trial of a device that nothing is known of, and none when it was done. */
static void check_first_look(const char *tried)
{
    clfcn_log_set(CLFCN_LOG_INFO, note, NULL);
    message[0] = '\0';
    clfcn_tune_first(dev, &desc, &training, NULL);
    assert_true(clfcn_choices_stored(dev));
    assert_non_null(strstr(message, "clfcn tune"));
    assert_non_null(strstr(message, tried));
    message[0] = '\0';
    clfcn_tune_first(dev, &desc, &training, NULL);
    assert_string_equal(message, "");
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
}

/* By the device being called a GPU. */
static void test_first_look(void **state)
{
    dev->info.is_cpu = false;
    dev->info.is_gpu = true;
    dev->info.device_class = CLFCN_CLASS_OTHER;
    dev->info.vector_width = 1;
    check_first_look("trying algorithms");
}

/* Nothing is chosen but variants of what would be used anyway, and `clfcn tune` takes
 * over what was stored. */
static void test_first_look_on_a_cpu(void **state)
{
    const struct clfcn_tune_how thoroughly = { .budget = 1e-9 };
    struct clfcn_tuning t;
    struct clfcn_err err;
    if (!dev->info.is_cpu) {
        SKIP_TEST("the device is no CPU");
    }
    check_first_look("trying parameters");
    ok(clfcn_tuning_open(dev, &desc, &training, CLFCN_LOG_WARN, &t, &err), &err);
    for (int i = 0; i < t.count; ++i) {
        const struct clfcn_tune_row *row = &t.rows[i];
        const size_t algorithm = strcspn(row->usual, "+");
        if (row->stored) {
            assert_memory_equal(row->choice.algorithm, row->usual, algorithm);
            assert_string_not_equal(row->choice.algorithm, row->usual);
        }
    }
    assert_true(t.choices.first_look);
    ok(clfcn_tuning_measure(&t, &thoroughly, &err), &err);
    assert_false(t.choices.first_look);
    clfcn_tuning_close(&t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows),       TEST(test_measured_stored_and_used), TEST(test_used),
        TEST(test_first_look), TEST(test_first_look_on_a_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
