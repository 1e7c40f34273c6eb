/* test_fit.c - networks made to fit into less memory than they usually take. */
#include "../../host/device/dev.h"
#include "../../host/net/net_impl.h"
#include "../../host/util/rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 96, HEIGHT = 64, BATCH = 3, CLASSES = 3, STEPS = 3 };
enum { PIXELS = WIDTH * HEIGHT * BATCH };

struct batches {
    float images[STEPS][3 * PIXELS];
    uint8_t labels[STEPS][PIXELS];
};

struct rig {
    struct clfcn_dev *dev;
    struct batches *batches;
};

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int setup(void **state)
{
    static struct rig rig;
    struct clfcn_err err;
    struct clfcn_rng rng;
    *state = &rig;
    rig.batches = malloc(sizeof(*rig.batches));
    if (!rig.batches || clfcn_dev_open("auto", &rig.dev, &err) < 0) {
        return -1;
    }
    clfcn_rng_init(&rng, 1, "batches", 0, 0);
    for (int s = 0; s < STEPS; ++s) {
        for (int i = 0; i < 3 * PIXELS; ++i) {
            rig.batches->images[s][i] = (float)clfcn_rng_normal(&rng);
        }
        for (int i = 0; i < PIXELS; ++i) {
            rig.batches->labels[s][i] = (uint8_t)clfcn_rng_below(&rng, CLASSES);
        }
    }
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    const int live = atomic_load(&rig->dev->live_objects);
    free(rig->batches);
    clfcn_dev_close(&rig->dev);
    return live == 0 ? 0 : -1;
}

static struct clfcn_net_desc desc_of(enum clfcn_arch arch)
{
    return (struct clfcn_net_desc){ .arch = arch,
                                    .backbone = CLFCN_VGG11,
                                    .classes = CLASSES,
                                    .width = WIDTH,
                                    .height = HEIGHT,
                                    .batch = BATCH };
}

static struct clfcn_net *create(struct rig *rig, enum clfcn_arch arch,
                                const struct clfcn_net_options *how)
{
    const struct clfcn_net_desc desc = desc_of(arch);
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    ok(clfcn_net_create(rig->dev, &desc, how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    return net;
}

static void train(const struct rig *rig, struct clfcn_net *net, int steps,
                  float losses[STEPS])
{
    struct clfcn_err err;
    for (int s = 0; s < steps; ++s) {
        const struct clfcn_net_input in = { .images = rig->batches->images[s],
                                            .labels = rig->batches->labels[s],
                                            .labelled = PIXELS };
        const struct clfcn_net_hyper hyper = { .lr = 0.01,
                                               .momentum = 0.7,
                                               .weight_decay = 0.01,
                                               .beta1 = 0.9,
                                               .beta2 = 0.999,
                                               .eps = 1e-8,
                                               .update = s + 1 };
        const int slot = s % CLFCN_NET_SLOTS;
        ok(clfcn_net_upload(net, slot, &in, &err), &err);
        ok(clfcn_net_step(net, slot, &hyper, &err), &err);
        ok(clfcn_net_wait(net, slot, &losses[s], &err), &err);
    }
}

static void assert_same_tensors(struct clfcn_net *a, struct clfcn_net *b)
{
    struct clfcn_err err;
    const int count = clfcn_net_tensor_count(a, true);
    assert_int_equal(clfcn_net_tensor_count(b, true), count);
    for (int i = 0; i < count; ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(a, i, &t);
        void *x = malloc(t.bytes), *y = malloc(t.bytes);
        assert_true(x && y);
        ok(clfcn_net_tensor_read(a, i, x, &err), &err);
        ok(clfcn_net_tensor_read(b, i, y, &err), &err);
        if (memcmp(x, y, t.bytes) != 0) {
            fail_msg("'%s' differs", t.name);
        }
        free(x);
        free(y);
    }
}

/* Through the host, as resuming does. */
static void copy_tensors(struct clfcn_net *from, struct clfcn_net *to)
{
    struct clfcn_err err;
    ok(clfcn_net_init(to, 99, &err), &err);
    for (int i = 0; i < clfcn_net_tensor_count(from, true); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(from, i, &t);
        void *data = malloc(t.bytes);
        assert_non_null(data);
        ok(clfcn_net_tensor_read(from, i, data, &err), &err);
        ok(clfcn_net_tensor_write(to, i, data, &err), &err);
        free(data);
    }
}

static void assert_same_logits(const struct rig *rig, struct clfcn_net *a,
                               struct clfcn_net *b)
{
    static float logits[2][CLASSES * PIXELS];
    struct clfcn_err err;
    ok(clfcn_net_forward(a, rig->batches->images[0], logits[0], &err), &err);
    ok(clfcn_net_forward(b, rig->batches->images[0], logits[1], &err), &err);
    assert_memory_equal(logits[0], logits[1], sizeof(logits[0]));
}

/* Made with thrift and nothing else, a network computes the same bits, also after its
 * state went through the host as in a checkpoint. Returns at which level it arrived. */
static enum clfcn_level check_same_bits(struct rig *rig, enum clfcn_arch arch,
                                        struct clfcn_net_options how, double share)
{
    float losses[2][STEPS];
    struct clfcn_net *usual = create(rig, arch, &how);
    how.mem_bytes = (size_t)(share * (double)usual->memory.total);
    const size_t before = atomic_load(&rig->dev->bytes);
    struct clfcn_net *small = create(rig, arch, &how);
    const enum clfcn_level level = small->thrift.level;
    assert_true(small->memory.total <= how.mem_bytes);
    const size_t taken = atomic_load(&rig->dev->bytes) - before;
    assert_in_range(taken, small->memory.total,
                    small->memory.total + small->memory.total / 1000);
    assert_int_equal(small->columns_bytes, usual->columns_bytes);
    assert_int_equal(small->scratch_bytes, usual->scratch_bytes);
    for (int again = 0; again < 2; ++again) {
        train(rig, usual, STEPS, losses[0]);
        train(rig, small, STEPS, losses[1]);
        assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
        assert_true(clfcn_net_gradient_norm(usual, 0) ==
                    clfcn_net_gradient_norm(small, 0));
        assert_same_tensors(usual, small);
        assert_same_logits(rig, usual, small);
        copy_tensors(usual, small);
    }
    clfcn_net_destroy(&usual);
    clfcn_net_destroy(&small);
    return level;
}

static void test_same_bits(void **state)
{
    static const double shares[] = { 0.9, 0.75, 0.5, 0.3 };
    for (int arch = CLFCN_FCN32S; arch <= CLFCN_FCNS; ++arch) {
        const struct clfcn_net_options how = {
            .training = true,
            .optimizer = arch == CLFCN_FCN8S ? CLFCN_ADAM : CLFCN_SGD,
        };
        check_same_bits(*state, (enum clfcn_arch)arch, how, shares[arch]);
    }
}

/* Optimiser state in host memory, and then weights too. */
static void test_host_memory(void **state)
{
    for (int optimizer = CLFCN_SGD; optimizer <= CLFCN_ADAM; ++optimizer) {
        const struct clfcn_net_options how = {
            .training = true,
            .optimizer = (enum clfcn_optimizer)optimizer,
        };
        assert_int_equal(check_same_bits(*state, CLFCN_FCNS, how, 0.55),
                         CLFCN_HOST_STATES);
        assert_int_equal(check_same_bits(*state, CLFCN_FCNS, how, 0.33),
                         CLFCN_HOST_WEIGHTS);
    }
}

/* Nothing is updated before all gradients are known, whatever else saves memory. So
 * little is to be saved that no parts are needed, which round otherwise. */
static void test_clipping(void **state)
{
    static const float weights[CLASSES] = { 0.5f, 2, 1 };
    struct rig *rig = *state;
    struct clfcn_net_options how = { .training = true,
                                     .loss = CLFCN_LOSS_DICE,
                                     .class_weights = weights,
                                     .clip_norm = 1e-3 };
    const struct clfcn_net_desc desc = desc_of(CLFCN_FCNS);
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    assert_int_equal(check_same_bits(rig, CLFCN_FCNS, how, 0.985), CLFCN_SHARE_WORKSPACE);
    how.mem_bytes = 1 << 20;
    assert_int_equal(clfcn_net_create(rig->dev, &desc, &how, &net, &err), CLFCN_EDEVMEM);
    assert_non_null(strstr(err.msg, "--clip-grad"));
}

/* What reaches the weights is no longer than the limit: the first velocities are what the
 * gradients were clipped to. */
static void test_clipped_length(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_net_options how = {
        .training = true, .loss = CLFCN_LOSS_FOCAL, .focal_gamma = 2, .clip_norm = 0.25
    };
    struct clfcn_net *net = create(rig, CLFCN_FCN16S, &how);
    struct clfcn_err err;
    float losses[STEPS];
    double sum = 0.0;
    train(rig, net, 1, losses);
    assert_true(clfcn_net_gradient_norm(net, 0) > 0.25f);
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        float *g = malloc(t.bytes);
        assert_non_null(g);
        if (t.dtype == CLFCN_F32 && !strstr(t.name, "running_")) {
            ok(clfcn_net_gradient_read(net, i, g, &err), &err);
            for (size_t k = 0; k < t.bytes / sizeof(*g); ++k) {
                sum += (double)g[k] * g[k];
            }
        }
        free(g);
    }
    assert_true(fabs(sqrt(sum) - 0.25) < 1e-5);
    clfcn_net_destroy(&net);
}

/* The distance of b's tensor i from a's, relative to its norm. */
static double distance(struct clfcn_net *a, struct clfcn_net *b, int i, char name[80])
{
    struct clfcn_err err;
    struct clfcn_net_tensor t;
    double apart = 0.0, norm = 0.0;
    clfcn_net_tensor_info(a, i, &t);
    snprintf(name, 80, "%.79s", t.name);
    float *x = malloc(t.bytes), *y = malloc(t.bytes);
    assert_true(x && y);
    ok(clfcn_net_tensor_read(a, i, x, &err), &err);
    ok(clfcn_net_tensor_read(b, i, y, &err), &err);
    for (size_t j = 0; j < t.bytes / sizeof(*x) && t.dtype == CLFCN_F32; ++j) {
        apart += ((double)x[j] - y[j]) * ((double)x[j] - y[j]);
        norm += (double)x[j] * x[j];
    }
    free(x);
    free(y);
    return apart > 0.0 ? sqrt(apart / norm) : 0.0;
}

/* After one step, where the momentum is the gradient: how far the backbone's tensors are
 * apart, which took the batch in parts, follows from how far the decoder's are. Those are
 * apart only where other algorithms ran forward; then ReLUs and norms over few pixels
 * make much of it. */
static void assert_near(struct clfcn_net *a, struct clfcn_net *b)
{
    const int count = clfcn_net_tensor_count(a, true);
    double backbone = 0.0, decoder = 0.0;
    char worst[80] = "";
    assert_int_equal(clfcn_net_tensor_count(b, true), count);
    for (int i = 0; i < count; ++i) {
        char name[80];
        const double d = distance(a, b, i, name);
        if (!strstr(name, "pretrained_net")) {
            decoder = d > decoder ? d : decoder;
        } else if (d > backbone) {
            backbone = d;
            memcpy(worst, name, sizeof(worst));
        }
    }
    if (!(decoder <= 2e-2 && backbone <= 1e-5 + 4 * decoder)) {
        fail_msg("the decoder is %g apart, '%s' %g", decoder, worst, backbone);
    }
}

/* The largest limit below share of the usual memory with which the batch goes in parts.
 */
static size_t limit_for_parts(struct rig *rig, enum clfcn_arch arch,
                              const struct clfcn_net_options *options, double share)
{
    const struct clfcn_net_desc desc = desc_of(arch);
    struct clfcn_net_options how = *options;
    struct clfcn_net_forecast f;
    struct clfcn_err err;
    bool parts = false;
    ok(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), &err);
    const double usual = (double)f.memory.total;
    for (; !parts && share > 0.1; share -= 0.005) {
        how.mem_bytes = (size_t)(share * usual);
        ok(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), &err);
        parts = f.memory.total <= how.mem_bytes && f.thrift && strstr(f.thrift, "parts");
        free(f.thrift);
    }
    assert_true(parts);
    return how.mem_bytes;
}

/* A network that takes the batch in parts computes the same but for rounding. Returns how
 * it saves memory besides. */
static enum clfcn_level check_parts(struct rig *rig, enum clfcn_arch arch,
                                    struct clfcn_net_options how, double share)
{
    float losses[2][STEPS];
    struct clfcn_net *usual = create(rig, arch, &how);
    how.mem_bytes = limit_for_parts(rig, arch, &how, share);
    const size_t before = atomic_load(&rig->dev->bytes);
    struct clfcn_net *small = create(rig, arch, &how);
    const enum clfcn_level level = small->thrift.level;
    const size_t taken = atomic_load(&rig->dev->bytes) - before;
    assert_in_range(taken, small->memory.total,
                    small->memory.total + small->memory.total / 1000);
    assert_true(small->graph.part_ops > 0);
    train(rig, usual, 1, losses[0]);
    train(rig, small, 1, losses[1]);
    assert_float_equal(losses[0][0], losses[1][0], 1e-5);
    assert_near(usual, small);
    train(rig, usual, STEPS, losses[0]);
    train(rig, small, STEPS, losses[1]);
    for (int s = 0; s < STEPS; ++s) {
        assert_float_equal(losses[0][s], losses[1][s], 1e-2);
    }
    clfcn_net_destroy(&usual);
    clfcn_net_destroy(&small);
    return level;
}

static void test_parts(void **state)
{
    const struct clfcn_net_options how = { .training = true };
    assert_int_equal(check_parts(*state, CLFCN_FCN8S, how, 0.66), CLFCN_UPDATE_EACH);
    assert_int_equal(check_parts(*state, CLFCN_FCN32S, how, 0.42), CLFCN_HOST_STATES);
    assert_int_equal(check_parts(*state, CLFCN_FCNS, how, 0.2), CLFCN_HOST_WEIGHTS);
}

/* The loss is of the whole batch all the same. */
static void test_dice_of_parts(void **state)
{
    const struct clfcn_net_options how = { .training = true, .loss = CLFCN_LOSS_DICE };
    check_parts(*state, CLFCN_FCN8S, how, 0.66);
}

static void test_frozen_parts(void **state)
{
    const struct clfcn_net_options how = { .training = true, .freeze_backbone = true };
    check_parts(*state, CLFCN_FCNS, how, 0.8);
}

/* Parts also help where not the memory is too small but its largest buffer. */
static void test_largest_buffer(void **state)
{
    struct rig *rig = *state;
    struct clfcn_device_info *info = &rig->dev->info;
    const struct clfcn_device_info real = *info;
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCN32S,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = 320,
                                         .height = 320,
                                         .batch = 4 };
    struct clfcn_net_options how = { .training = true };
    struct clfcn_net_forecast f;
    struct clfcn_err err;
    const size_t largest = (size_t)64 * 4 * 320 * 320 * sizeof(float);
    info->max_alloc_bytes = largest - 1;
    assert_int_equal(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), CLFCN_EDEVMEM);
    assert_non_null(strstr(err.msg, "--mem"));
    how.mem_bytes = info->global_bytes;
    ok(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), &err);
    assert_non_null(strstr(f.thrift, "2 parts"));
    assert_true(f.memory.largest_buffer < largest);
    free(f.thrift);
    info->max_alloc_bytes = largest / 4;
    assert_int_equal(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), CLFCN_EDEVMEM);
    *info = real;
}

/* What is frozen is not run again for a backward pass that it does not have. */
static void test_frozen(void **state)
{
    const struct clfcn_net_options how = { .training = true, .freeze_backbone = true };
    struct rig *rig = *state;
    struct clfcn_net *usual = create(rig, CLFCN_FCNS, &how);
    struct clfcn_net_options less = how;
    less.mem_bytes = usual->memory.total - usual->memory.activations / 8;
    struct clfcn_net *small = create(rig, CLFCN_FCNS, &less);
    float losses[2][STEPS];
    assert_true(small->memory.total <= less.mem_bytes);
    assert_int_equal(small->thrift.again & 0x1f, 0);
    train(rig, usual, STEPS, losses[0]);
    train(rig, small, STEPS, losses[1]);
    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_same_tensors(usual, small);
    clfcn_net_destroy(&usual);
    clfcn_net_destroy(&small);
}

/* Whatever there is of a limit, it is kept, or refused with what would do. */
static void test_limits(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_net_desc desc = desc_of(CLFCN_FCNS);
    struct clfcn_net_options how = { .training = true };
    struct clfcn_net_forecast usual, f;
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    ok(clfcn_net_forecast(rig->dev, &desc, &how, &usual, &err), &err);
    assert_null(usual.thrift);
    for (size_t mem = usual.memory.total; mem > usual.memory.total / 8;
         mem -= usual.memory.total / 7) {
        how.mem_bytes = mem;
        ok(clfcn_net_forecast(rig->dev, &desc, &how, &f, &err), &err);
        assert_true((mem == usual.memory.total) == !f.thrift);
        assert_true(f.ms >= f.usual_ms);
        free(f.thrift);
        const int rc = clfcn_net_create(rig->dev, &desc, &how, &net, &err);
        assert_int_equal(rc, f.memory.total <= mem ? CLFCN_OK : CLFCN_EDEVMEM);
        if (rc == CLFCN_OK) {
            assert_int_equal(net->memory.total, f.memory.total);
        } else {
            assert_non_null(strstr(err.msg, "--mem"));
        }
        clfcn_net_destroy(&net);
    }
}

/* An update of each op leaves no gradients to be read. */
static void test_gradients_are_gone(void **state)
{
    struct rig *rig = *state;
    struct clfcn_net_options how = { .training = true };
    struct clfcn_net *usual = create(rig, CLFCN_FCN32S, &how);
    struct clfcn_err err;
    float g;
    how.mem_bytes = usual->memory.total - usual->memory.gradients / 2;
    clfcn_net_destroy(&usual);
    struct clfcn_net *net = create(rig, CLFCN_FCN32S, &how);
    assert_int_equal(net->thrift.level, CLFCN_UPDATE_EACH);
    assert_int_equal(clfcn_net_gradient_read(net, 0, &g, &err), CLFCN_EINVAL);
    clfcn_net_destroy(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_frozen_parts),
        cmocka_unit_test(test_largest_buffer), cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_limits),         cmocka_unit_test(test_gradients_are_gone),
        cmocka_unit_test(test_clipping),       cmocka_unit_test(test_clipped_length),
        cmocka_unit_test(test_dice_of_parts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
