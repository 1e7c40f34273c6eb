/* test_upload.c - a batch that the device reads where it lies gives the bits of one that
 * was copied. */
#include "../../host/device/dev.h"
#include "../../host/net/net_impl.h"
#include "../../host/util/pages.h"
#include "../../host/util/rng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, BATCH = 2, CLASSES = 3, STEPS = 3, PIXELS = SIDE * SIDE * BATCH };

static struct clfcn_dev *dev;

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int setup(void **state)
{
    struct clfcn_err err;
    return clfcn_dev_open("auto", &dev, &err);
}

static int teardown(void **state)
{
    const int live = atomic_load(&dev->live_objects);
    clfcn_dev_close(&dev);
    return live;
}

/* A batch of its own for every slot, as the loader has; shift bytes past a page. */
struct batch {
    char *memory[2];
    float *images;
    uint8_t *labels;
};

static void batch_make(struct batch *b, size_t shift)
{
    b->memory[0] = clfcn_pages_alloc(3 * PIXELS * sizeof(float) + shift);
    b->memory[1] = clfcn_pages_alloc(PIXELS + shift);
    assert_true(b->memory[0] && b->memory[1]);
    b->images = (float *)(b->memory[0] + shift);
    b->labels = (uint8_t *)(b->memory[1] + shift);
}

static void batch_free(struct batch *b)
{
    free(b->memory[0]);
    free(b->memory[1]);
}

static void batch_fill(struct batch *b, int step)
{
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 1, "upload", (uint64_t)step, 0);
    for (int i = 0; i < 3 * PIXELS; ++i) {
        b->images[i] = (float)clfcn_rng_normal(&rng);
    }
    for (int i = 0; i < PIXELS; ++i) {
        b->labels[i] = (uint8_t)clfcn_rng_below(&rng, CLASSES);
    }
}

static struct clfcn_net *create(bool training)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = SIDE,
                                         .height = SIDE,
                                         .batch = BATCH };
    const struct clfcn_net_options how = { .training = training };
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    ok(clfcn_net_create(dev, &desc, &how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    return net;
}

/* Steps whose batches begin shift bytes past a page: 0 is what can be shared. */
static void train(size_t shift, float losses[STEPS])
{
    struct clfcn_net *net = create(true);
    struct batch batches[CLFCN_NET_SLOTS];
    struct clfcn_err err;
    for (int i = 0; i < CLFCN_NET_SLOTS; ++i) {
        batch_make(&batches[i], shift);
    }
    for (int s = 0; s < STEPS; ++s) {
        const int slot = s % CLFCN_NET_SLOTS;
        struct batch *b = &batches[slot];
        const struct clfcn_net_input in = { b->images, b->labels, PIXELS };
        const struct clfcn_net_hyper hyper = { .lr = 0.01, .update = s + 1 };
        batch_fill(b, s);
        ok(clfcn_net_upload(net, slot, &in, &err), &err);
        const bool share = shift == 0 && dev->info.unified_memory;
        assert_int_equal(net->slots[slot].shared_images != NULL, share);
        assert_int_equal(net->slots[slot].shared_labels != NULL, share);
        ok(clfcn_net_step(net, slot, &hyper, &err), &err);
        ok(clfcn_net_wait(net, slot, &losses[s], &err), &err);
        assert_null(net->slots[slot].shared_images);
    }
    clfcn_net_destroy(&net);
    for (int i = 0; i < CLFCN_NET_SLOTS; ++i) {
        batch_free(&batches[i]);
    }
}

static void test_training_gives_the_same_bits(void **state)
{
    float copied[STEPS], shared[STEPS];
    train(4, copied);
    train(0, shared);
    assert_memory_equal(copied, shared, sizeof(copied));
    assert_true(copied[0] != copied[1]);
}

static void infer(size_t shift, float logits[CLASSES * PIXELS])
{
    struct clfcn_net *net = create(false);
    struct batch b;
    struct clfcn_err err;
    batch_make(&b, shift);
    batch_fill(&b, 0);
    ok(clfcn_net_forward(net, b.images, logits, &err), &err);
    clfcn_net_destroy(&net);
    batch_free(&b);
}

static void test_inference_gives_the_same_bits(void **state)
{
    static float copied[CLASSES * PIXELS], shared[CLASSES * PIXELS];
    infer(4, copied);
    infer(0, shared);
    assert_memory_equal(copied, shared, sizeof(copied));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_gives_the_same_bits),
        cmocka_unit_test(test_inference_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
