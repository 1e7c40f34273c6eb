/* The options of a run: through JSON and back, checked, and what they make of the rate.
 */
#include "../../host/train/config.h"
#include "../../host/train/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct clfcn_train_config sample(void)
{
    struct clfcn_train_config c;
    clfcn_train_defaults(&c);
    c.data = "a \"quoted\" folder\n";
    return c;
}

/* Every field differs from its default, and no double is a short decimal. */
static struct clfcn_train_config unusual(void)
{
    return (struct clfcn_train_config){
        .images = "i",
        .masks = "m",
        .classes = "c",
        .val = "v",
        .val_fraction = 1.0 / 3,
        .arch = CLFCN_FCN16S,
        .backbone = CLFCN_VGG13,
        .width = 96,
        .height = 4096,
        .batch = 17,
        .epochs = 3,
        .max_steps = INT64_C(1) << 40,
        .loss = CLFCN_LOSS_CE,
        .focal_gamma = 1.0 / 3,
        .class_weights = "1,2.5",
        .ignore = "7 9-11",
        .clip_grad = 1e-3 / 7,
        .warmup = 11,
        .early_stop = 6,
        .optimizer = CLFCN_ADAMW,
        .lr = 0.1 + 0.2,
        .momentum = 1.0 / 7,
        .weight_decay = 5e-324,
        .beta1 = 0.1 / 3,
        .beta2 = 1 - 1e-16,
        .eps = 1e-300 / 3,
        .lr_policy = CLFCN_LR_POLY,
        .lr_step = 4,
        .lr_gamma = 2.0 / 3,
        .lr_power = 1.1 / 3,
        .seed = INT64_MAX,
        .init = "w",
        .partial = true,
        .freeze_backbone = true,
        .resize = CLFCN_RESIZE_AREA,
        .augment = { .flip = true, .vflip = true, .crop = true, .scale_min = 1.0 / 3,
                     .scale_max = 10.0 / 3, .rotate = 1.0 / 7, .brightness = 0.1 + 0.2,
                     .contrast = 5e-324, .saturation = 1, .noise = 1e-300 / 3 },
        .shuffle = false,
        .save_every = 0,
        .save_steps = 9,
        .gemm = CLFCN_GEMM_NATIVE,
        .workers = 5,
        .cache_bytes = 12345,
        .workspace_bytes = (size_t)1 << 33,
        .mem_bytes = (size_t)1 << 34,
    };
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a != NULL) {
        assert_string_equal(a, b);
    }
}

static void assert_round_trip(struct clfcn_train_config c)
{
    struct clfcn_train_config d;
    struct clfcn_err err;
    json_t *json = clfcn_config_to_json(&c);
    assert_non_null(json);
    char *text = json_dumps(json, JSON_REAL_PRECISION(17));
    json_decref(json);
    json = json_loads(text, 0, NULL);
    free(text);
    if (clfcn_config_from_json(json, &d, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_same_text(c.data, d.data);
    assert_same_text(c.images, d.images);
    assert_same_text(c.masks, d.masks);
    assert_same_text(c.classes, d.classes);
    assert_same_text(c.val, d.val);
    assert_same_text(c.init, d.init);
    assert_same_text(c.ignore, d.ignore);
    assert_same_text(c.class_weights, d.class_weights);
    c.data = d.data = c.images = d.images = c.masks = d.masks = NULL;
    c.classes = d.classes = c.val = d.val = c.init = d.init = NULL;
    c.ignore = d.ignore = c.class_weights = d.class_weights = NULL;
    json_t *left = clfcn_config_to_json(&c), *right = clfcn_config_to_json(&d);
    assert_true(json_equal(left, right)); /* compares doubles exactly */
    json_decref(left);
    json_decref(right);
    json_decref(json);
}

static void test_round_trip(void **state)
{
    assert_round_trip(sample());
    assert_round_trip(unusual());
}

static void test_from_json_refuses(void **state)
{
    static const struct {
        const char *key, *value;
    } wrong[] = {
        { "lr", "\"0.1\"" },   { "batch", "4.5" },     { "batch", "4294967300" },
        { "size", "160" },     { "size", "\"160x\"" }, { "size", "\"160x160x\"" },
        { "arch", "\"fcn\"" }, { "no-shuffle", "1" },  { "seed", "-1" },
        { "data", "5" },       { "cache-mem", "-1" },  { "lr-policy", "null" },
        { "augment", "\"flop\"" }, { "augment", "3" },
    };
    const struct clfcn_train_config c = sample();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); ++i) {
        struct clfcn_train_config d;
        struct clfcn_err err;
        json_t *json = clfcn_config_to_json(&c);
        json_object_set_new(json, wrong[i].key,
                            json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        assert_int_equal(clfcn_config_from_json(json, &d, &err), CLFCN_EDATA);
        assert_non_null(strstr(err.msg, wrong[i].key));
        json_object_del(json, wrong[i].key);
        assert_int_equal(clfcn_config_from_json(json, &d, &err), CLFCN_EDATA);
        assert_non_null(strstr(err.msg, wrong[i].key));
        json_decref(json);
    }
}

/* Runs of older versions know nothing of the options that came later. */
static void test_older_files(void **state)
{
    static const char *const later[] = {
        "format",        "own-split", "partial", "mem",        "ignore",
        "class-weights", "clip-grad", "warmup",  "early-stop", "focal-gamma",
        "resize",
    };
    const struct clfcn_train_config c = unusual();
    struct clfcn_train_config d;
    struct clfcn_err err = { 0 };
    json_t *json = clfcn_config_to_json(&c);
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); ++i) {
        json_object_del(json, later[i]);
    }
    assert_int_equal(clfcn_config_from_json(json, &d, &err), 0);
    assert_int_equal(d.loss, c.loss);
    assert_true(d.own_split && !d.partial && d.mem_bytes == 0 && d.ignore == NULL);
    assert_true(d.class_weights == NULL && d.clip_grad == 0 && d.warmup == 0);
    assert_true(d.early_stop == 0 && d.focal_gamma == 2);
    assert_int_equal(d.resize, CLFCN_RESIZE_BILINEAR);
    json_object_set_new(json, "resize", json_string("cubic"));
    assert_int_equal(clfcn_config_from_json(json, &d, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "'resize'"));
    json_object_del(json, "loss");
    assert_int_equal(clfcn_config_from_json(json, &d, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "'loss'"));
    json_decref(json);
}

#define REFUSED(field, value, message)                                  \
    do {                                                                \
        struct clfcn_train_config bad = sample();                       \
        struct clfcn_err err = { 0 };                                   \
        bad.field = value;                                              \
        assert_int_equal(clfcn_config_check(&bad, &err), CLFCN_EINVAL); \
        if (strstr(err.msg, message) == NULL) {                         \
            fail_msg("'%s' lacks '%s'", err.msg, message);              \
        }                                                               \
    } while (0)

static void test_check(void **state)
{
    struct clfcn_train_config good = sample();
    assert_int_equal(clfcn_config_check(&good, NULL), 0);
    good = unusual();
    assert_int_equal(clfcn_config_check(&good, NULL), 0);
    REFUSED(lr, -1, "--lr must be greater than 0, not -1");
    REFUSED(lr, 0, "--lr");
    REFUSED(lr, NAN, "--lr");
    REFUSED(lr, INFINITY, "--lr");
    REFUSED(momentum, 1, "--momentum must be at least 0 and less than 1, not 1");
    REFUSED(weight_decay, -1e-9, "--weight-decay");
    REFUSED(val_fraction, 1, "--val-fraction");
    REFUSED(batch, 0, "--batch must be at least 1, not 0");
    REFUSED(epochs, 0, "--epochs");
    REFUSED(eps, 0, "--eps");
    REFUSED(lr_step, 0, "--lr-step");
    REFUSED(partial, true, "--init");
    REFUSED(focal_gamma, -0.5, "--focal-gamma must be at least 0, not -0.5");
    REFUSED(clip_grad, -1, "--clip-grad");
    REFUSED(clip_grad, NAN, "--clip-grad");
    REFUSED(warmup, -1, "--warmup");
    REFUSED(early_stop, -1, "--early-stop");
    REFUSED(class_weights, "1,,2", "--class-weights 1,,2: not a list of numbers");
    REFUSED(class_weights, "1,2,", "--class-weights");
    REFUSED(class_weights, "1,-2", "--class-weights");
    REFUSED(class_weights, "1,nan", "--class-weights");
    REFUSED(class_weights, "1,inf", "--class-weights");
    REFUSED(class_weights, "1 2", "--class-weights");
    REFUSED(class_weights, "", "--class-weights");
    REFUSED(class_weights, "Auto", "auto");
    REFUSED(class_weights, "0,0.0", "above 0");
    REFUSED(save_every, -1, "--save-every");
    REFUSED(workers, -1, "--workers");
    REFUSED(seed, UINT64_MAX, "--seed");
    REFUSED(arch, (enum clfcn_arch)9, "--arch");
    REFUSED(width, 150, "160"); /* the nearest size that would do */
    REFUSED(data, NULL, "--data");
    REFUSED(masks, "m", "--data");
    REFUSED(augment.rotate, 181, "--augment: rotate: must be above 0 and at most 180");
    REFUSED(augment.crop, true, "--augment: crop");
    REFUSED(resize, (enum clfcn_resize)2, "--resize");
}

static void assert_rate(const struct clfcn_train_config *c, int64_t step, double want)
{
    const double got = clfcn_schedule_lr(c, step, 10, 100);
    if (!(fabs(got - want) <= 1e-15)) {
        fail_msg("lr of step %d: %.17g, not %.17g", (int)step, got, want);
    }
}

static void test_schedule(void **state)
{
    struct clfcn_train_config c = sample();
    c.lr = 0.5;
    assert_rate(&c, 0, 0.5);
    assert_rate(&c, 99, 0.5);
    c.lr_policy = CLFCN_LR_STEP;
    c.lr_step = 3;
    c.lr_gamma = 0.1;
    assert_rate(&c, 29, 0.5);
    assert_rate(&c, 30, 0.05);
    assert_rate(&c, 60, 0.005);
    c.lr_policy = CLFCN_LR_POLY;
    c.lr_power = 2;
    assert_rate(&c, 0, 0.5);
    assert_rate(&c, 50, 0.125);
    assert_rate(&c, 100, 0);
    assert_rate(&c, 101, 0);
    c.lr_policy = CLFCN_LR_COSINE;
    assert_rate(&c, 0, 0.5);
    assert_rate(&c, 50, 0.25);
    assert_rate(&c, 25, 0.5 * (1 + sqrt(0.5)) / 2);
    assert_rate(&c, 150, 0);
}

/* From lr / warmup up to where the policy is by then. */
static void test_warmup(void **state)
{
    struct clfcn_train_config c = sample();
    c.lr = 0.5;
    c.warmup = 4;
    assert_rate(&c, 0, 0.125);
    assert_rate(&c, 2, 0.375);
    assert_rate(&c, 3, 0.5);
    assert_rate(&c, 4, 0.5);
    c.lr_policy = CLFCN_LR_POLY;
    c.lr_power = 1;
    assert_rate(&c, 1, 0.25 * 0.99);
    assert_rate(&c, 50, 0.25);
    c.warmup = 1;
    assert_rate(&c, 0, 0.5);
}

static void test_names(void **state)
{
    enum clfcn_lr_policy policy;
    struct clfcn_err err;
    for (int i = 0; i < 4; ++i) {
        const char *name = clfcn_lr_policy_name((enum clfcn_lr_policy)i);
        assert_int_equal(clfcn_lr_policy_parse(name, &policy, NULL), 0);
        assert_int_equal(policy, i);
    }
    assert_null(clfcn_lr_policy_name((enum clfcn_lr_policy)4));
    assert_int_equal(clfcn_lr_policy_parse("linear", &policy, &err), CLFCN_EINVAL);
    assert_non_null(strstr(err.msg, "cosine"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_from_json_refuses),
        cmocka_unit_test(test_check),      cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_older_files),
        cmocka_unit_test(test_warmup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
