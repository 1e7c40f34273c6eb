/* test_golden.c - a few training steps of every head against PyTorch in float64.
 *
 * golden.json (argument 1) was written by tests/parity/golden.py, which says how weights,
 * images and labels follow from a hash, and what is kept of each tensor: its norm, and
 * its sum under random signs, which an error anywhere in the tensor changes by about the
 * error's norm. */
#include "../../host/net/net.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Relative to the tensor's norm. PyTorch's own float32 stays within 1e-5 on this data; a
 * ReLU that flips may cost up to 1e-2 of a gradient. */
static const double logits_bound = 1e-4, gradient_bound = 2e-2, weight_bound = 1e-3;

static const char *golden_path;

struct golden {
    json_t *root;
    struct clfcn_dev *dev;
    int width, height, batch, classes, steps;
    double lr, momentum;
};

static uint64_t fnv1a(const char *s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s != '\0'; ++s) {
        h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* Element i of the sequence called name; seed is fnv1a(name). In [0, 1). */
static double unit(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 40) / 16777216.0;
}

static void fill(const char *name, double offset, double scale, float *out, size_t n)
{
    const uint64_t seed = fnv1a(name);
    for (size_t i = 0; i < n; ++i) {
        out[i] = (float)(offset + scale * (2.0 * unit(seed, i) - 1.0));
    }
}

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* out_channels: of the layer that the tensor belongs to. */
static void fill_parameter(const char *name, int out_channels, float *out, size_t n)
{
    double offset = 0.0, scale;
    if (starts(name, "bn")) {
        offset = ends(name, ".weight") || ends(name, ".running_var") ? 1.0 : 0.0;
        scale = 0.25;
    } else if (starts(name, "classifier")) {
        scale = 1.0 / sqrt(32.0);
    } else if (starts(name, "deconv")) {
        scale = 1.0 / sqrt(out_channels * 9.0);
    } else if (ends(name, ".bias")) {
        scale = 0.1;
    } else {
        scale = sqrt(6.0 / (out_channels * 9.0));
    }
    fill(name, offset, scale, out, n);
}

static void check(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s: %s", clfcn_status_name(rc), err->msg);
    }
}

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    assert_non_null(p);
    return p;
}

/* Every element is NaN, so that one which is not written shows. */
static float *allocate_floats(size_t n)
{
    float *p = allocate(n * sizeof(*p));
    for (size_t i = 0; i < n; ++i) {
        p[i] = NAN;
    }
    return p;
}

static void write_parameters(struct clfcn_net *net)
{
    struct clfcn_err err = { 0 };
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        float *data = allocate(t.bytes);
        if (t.dtype == CLFCN_F32) {
            /* PyTorch's transposed convolutions are [Cin][Cout][kh][kw]. */
            const bool transposed = starts(t.name, "deconv") && t.ndim == 4;
            fill_parameter(t.name, (int)t.dims[transposed ? 1 : 0], data,
                           t.bytes / sizeof(float));
        } else {
            memset(data, 0, t.bytes);
        }
        check(clfcn_net_tensor_write(net, i, data, &err), &err);
        free(data);
    }
}

/* images [3][N][H][W], labels [N][H][W]; returns how many pixels are labelled. */
static int64_t make_batch(const struct golden *g, int step, bool ignore, float *images,
                          uint8_t *labels)
{
    const int w = g->width, h = g->height;
    char name[32];
    snprintf(name, sizeof(name), "images.%d", step);
    fill(name, 0.0, 2.0, images, (size_t)3 * g->batch * h * w);

    snprintf(name, sizeof(name), "labels.%d", step);
    const uint64_t seed = fnv1a(name);
    int64_t labelled = 0;
    for (int n = 0; n < g->batch; ++n) {
        for (int y = 0; y < h; ++y) {
            for (int x = 0; x < w; ++x) {
                const int block = (n * (h / 8) + y / 8) * (w / 8) + x / 8;
                const double u = unit(seed, (uint64_t)block);
                const bool ignored = ignore && u < 0.1;
                labels[(n * h + y) * w + x] =
                    ignored ? CLFCN_IGNORE : (uint8_t)(u * g->classes);
                labelled += !ignored;
            }
        }
    }
    return labelled;
}

/* Compare norm and signed sum of t with the file's pair. */
static void assert_digest(const char *what, const char *name, const float *t, size_t n,
                          const json_t *want, double bound)
{
    const uint64_t seed = fnv1a("sign");
    double squares = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        squares += (double)t[i] * t[i];
        sum += unit(seed, i) >= 0.5 ? t[i] : -(double)t[i];
    }
    const double want_norm = json_number_value(json_array_get(want, 0));
    const double want_sum = json_number_value(json_array_get(want, 1));
    assert_true(want_norm > 0.0);
    /* The signed sum of an error of norm e is like a normal variable of deviation e. */
    const double norm_error = fabs(sqrt(squares) - want_norm) / want_norm;
    const double sum_error = fabs(sum - want_sum) / want_norm / 3.0;
    if (!(norm_error <= bound && sum_error <= bound)) {
        fail_msg("%s of %s: norm %.7g, want %.7g; signed sum %.7g, want %.7g", what, name,
                 sqrt(squares), want_norm, sum, want_sum);
    }
}

/* Of parameters after the first step, or with weights, the tensors themselves after the
 * last. */
static void assert_tensors(struct clfcn_net *net, const json_t *want, bool weights)
{
    struct clfcn_err err = { 0 };
    size_t found = 0;
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        const json_t *pair = json_object_get(want, t.name);
        if (pair == NULL) {
            continue;
        }
        ++found;
        const size_t n = t.bytes / sizeof(float);
        float *data = allocate_floats(n);
        check(weights ? clfcn_net_tensor_read(net, i, data, &err)
                      : clfcn_net_gradient_read(net, i, data, &err),
              &err);
        assert_digest(weights ? "weights" : "gradient", t.name, data, n, pair,
                      weights ? weight_bound : gradient_bound);
        free(data);
    }
    assert_int_equal(found, json_object_size(want));
}

static void assert_logits(const struct golden *g, struct clfcn_net *net, bool ignore,
                          float *images, uint8_t *labels, const json_t *want)
{
    struct clfcn_err err = { 0 };
    const size_t n = (size_t)g->classes * g->batch * g->height * g->width;
    float *logits = allocate_floats(n);
    make_batch(g, 0, ignore, images, labels);
    check(clfcn_net_forward(net, images, logits, &err), &err);
    assert_digest("logits", "the net", logits, n, want, logits_bound);
    free(logits);
}

static void assert_loss(int step, double loss, double want)
{
    const double bound = step == 0 ? 1e-5 : step == 1 ? 1e-3 : 1e-2;
    if (!(fabs(loss - want) <= bound * fabs(want))) {
        fail_msg("loss of step %d: %.9g, want %.9g", step + 1, loss, want);
    }
}

static enum clfcn_arch arch_of(const char *name)
{
    struct clfcn_err err = { 0 };
    enum clfcn_arch arch = CLFCN_FCNS;
    check(clfcn_arch_parse(name, &arch, &err), &err);
    return arch;
}

static void run_case(const struct golden *g, const json_t *c)
{
    struct clfcn_err err = { 0 };
    const bool ignore = json_is_true(json_object_get(c, "ignore"));
    const char *loss_name = json_string_value(json_object_get(c, "loss"));
    const struct clfcn_net_desc desc = {
        .arch = arch_of(json_string_value(json_object_get(c, "arch"))),
        .backbone = CLFCN_VGG11,
        .classes = g->classes,
        .width = g->width,
        .height = g->height,
        .batch = g->batch,
    };
    struct clfcn_net_options options = { .training = true };
    check(clfcn_loss_parse(loss_name, &options.loss, &err), &err);

    struct clfcn_net *net = NULL;
    check(clfcn_net_create(g->dev, &desc, &options, &net, &err), &err);
    check(clfcn_net_init(net, 0, &err), &err); /* optimiser state becomes zero */
    write_parameters(net);

    const size_t pixels = (size_t)g->batch * g->height * g->width;
    float *images = allocate(3 * pixels * sizeof(*images));
    uint8_t *labels = allocate(pixels);
    assert_logits(g, net, ignore, images, labels, json_object_get(c, "logits"));

    for (int step = 0; step < g->steps; ++step) {
        const struct clfcn_net_hyper hyper = {
            .lr = g->lr,
            .momentum = g->momentum,
            .update = step + 1,
        };
        struct clfcn_net_input in = { .images = images, .labels = labels };
        in.labelled = make_batch(g, step, ignore, images, labels);
        const int slot = step % CLFCN_NET_SLOTS;
        float loss = NAN;
        check(clfcn_net_upload(net, slot, &in, &err), &err);
        check(clfcn_net_step(net, slot, &hyper, &err), &err);
        check(clfcn_net_wait(net, slot, &loss, &err), &err);
        assert_loss(
            step, loss,
            json_number_value(json_array_get(json_object_get(c, "losses"), step)));
        if (step == 0) {
            assert_tensors(net, json_object_get(c, "gradients"), false);
        }
    }
    assert_tensors(net, json_object_get(c, "weights"), true);

    free(images);
    free(labels);
    clfcn_net_destroy(&net);
    assert_null(net);
    assert_int_equal(atomic_load(&g->dev->live_objects), 0);
}

static void run_cases(const struct golden *g, const char *arch, const char *loss)
{
    size_t i;
    json_t *c;
    int ran = 0;
    json_array_foreach(json_object_get(g->root, "cases"), i, c)
    {
        if (strcmp(json_string_value(json_object_get(c, "arch")), arch) == 0 &&
            strcmp(json_string_value(json_object_get(c, "loss")), loss) == 0) {
            run_case(g, c);
            ++ran;
        }
    }
    assert_int_equal(ran, 1);
}

static void test_fcn32s(void **state)
{
    run_cases(*state, "fcn32s", "bce");
}

static void test_fcn16s(void **state)
{
    run_cases(*state, "fcn16s", "bce");
}

static void test_fcn8s(void **state)
{
    run_cases(*state, "fcn8s", "bce");
}

static void test_fcns(void **state)
{
    run_cases(*state, "fcns", "bce");
}

static void test_cross_entropy_with_ignored_pixels(void **state)
{
    run_cases(*state, "fcn8s", "ce");
}

static int integer(const json_t *root, const char *key)
{
    return (int)json_integer_value(json_object_get(root, key));
}

static int setup(void **state)
{
    struct clfcn_err err = { 0 };
    json_error_t json_err;
    struct golden *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return -1;
    }
    *state = g;
    g->root = json_load_file(golden_path, 0, &json_err);
    if (g->root == NULL) {
        fprintf(stderr, "%s: %s\n", golden_path, json_err.text);
        return -1;
    }
    g->width = integer(g->root, "width");
    g->height = integer(g->root, "height");
    g->batch = integer(g->root, "batch");
    g->classes = integer(g->root, "classes");
    g->steps = integer(g->root, "steps");
    g->lr = json_number_value(json_object_get(g->root, "lr"));
    g->momentum = json_number_value(json_object_get(g->root, "momentum"));
    if (clfcn_dev_open("auto", &g->dev, &err) != CLFCN_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    struct golden *g = *state;
    clfcn_dev_close(&g->dev);
    json_decref(g->root);
    free(g);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fcn32s),
        cmocka_unit_test(test_fcn16s),
        cmocka_unit_test(test_fcn8s),
        cmocka_unit_test(test_fcns),
        cmocka_unit_test(test_cross_entropy_with_ignored_pixels),
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s golden.json\n", argv[0]);
        return 2;
    }
    golden_path = argv[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
