/* A training loop of a program's own, step by step through the public headers, gives the
 * bits of clfcn_train(), and what is asked of it wrongly is refused. */
#include <clfcn/clfcn.h>

#include "../../host/net/weights_file.h"
#include "../../host/train/evaluate.h"
#include "scratch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PICTURES = 7, SIDE = 32, BATCH = 2 };

static const struct clfcn_net_desc desc = { CLFCN_FCN32S, CLFCN_VGG11, 2,
                                            SIDE,         SIDE,        BATCH };
static uint8_t rgb[PICTURES][SIDE][SIDE][3], labels[PICTURES][SIDE][SIDE];
static struct clfcn_dev *dev;
static struct clfcn_dataset *set;

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc < 0) {
        fail_msg("%s", err->msg);
    }
}

static int make(void **state)
{
    static const char *const names[] = { "dark", "bright" };
    struct clfcn_labelled pictures[PICTURES];
    for (int i = 0; i < PICTURES; ++i) {
        for (int p = 0; p < SIDE * SIDE; ++p) {
            const int x = p % SIDE, y = p / SIDE;
            labels[i][y][x] = y == 0 ? CLFCN_IGNORE : x + y > SIDE / 2 + 5 * i;
            for (int c = 0; c < 3; ++c) {
                rgb[i][y][x][c] =
                    (uint8_t)(90 * (labels[i][y][x] == 1) + (7 * p + 31 * c) % 100);
            }
        }
        pictures[i] =
            (struct clfcn_labelled){ SIDE, SIDE, rgb[i][0][0], 0, labels[i][0], 0 };
    }
    return scratch_make(state) != 0 || clfcn_dev_open("auto", &dev, NULL) < 0 ||
           clfcn_dataset_from_memory(names, 2, pictures, PICTURES, &set, NULL) < 0;
}

static int unmake(void **state)
{
    clfcn_dataset_destroy(&set);
    clfcn_dev_close(&dev);
    return scratch_remove(state);
}

static struct clfcn_net *new_net(bool training)
{
    const struct clfcn_net_options options = { .training = training,
                                               .loss = CLFCN_LOSS_CE,
                                               .optimizer = CLFCN_ADAM };
    struct clfcn_net *net;
    struct clfcn_err err;
    ok(clfcn_net_create(dev, &desc, &options, &net, &err), &err);
    ok(clfcn_net_init(net, 3, &err), &err);
    return net;
}

static struct clfcn_loader *new_loader(void)
{
    const struct clfcn_loader_desc load = {
        .set = set, .width = SIDE, .height = SIDE, .batch = BATCH, .drop_last = true
    };
    struct clfcn_loader *loader;
    struct clfcn_err err;
    ok(clfcn_loader_create(&load, &loader, &err), &err);
    assert_int_equal(clfcn_loader_steps(loader), PICTURES / BATCH);
    return loader;
}

static void note_iou(void *user, const char *event, const char *json)
{
    const char *at = strstr(json, "\"mean_iou\":");
    if (strcmp(event, "epoch") == 0) {
        assert_non_null(at);
        *(double *)user = strtod(at + strlen("\"mean_iou\":"), NULL);
    }
}

static double train_for_us(const char *out)
{
    struct clfcn_train_config config;
    struct clfcn_err err;
    double iou = -1;
    const struct clfcn_train_callbacks callbacks = { .event = note_iou, .user = &iou };
    clfcn_train_defaults(&config);
    config.set = config.val_set = set;
    config.out = out;
    config.arch = desc.arch;
    config.backbone = desc.backbone;
    config.width = config.height = SIDE;
    config.batch = BATCH;
    config.epochs = 1;
    config.loss = CLFCN_LOSS_CE;
    config.optimizer = CLFCN_ADAM;
    config.lr = 1e-3;
    config.shuffle = false;
    config.seed = 3;
    ok(clfcn_train(dev, &config, false, &callbacks, &err), &err);
    return iou;
}

/* With both slots: a batch is uploaded while the device is at the one before. */
static void train_ourselves(struct clfcn_net *net)
{
    struct clfcn_net_hyper hyper = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
    };
    struct clfcn_loader *loader = new_loader();
    const struct clfcn_batch *batch[CLFCN_NET_SLOTS] = { NULL };
    struct clfcn_err err;
    const int steps = clfcn_loader_steps(loader);
    for (int i = 0; i <= steps; ++i) {
        const int s = i % CLFCN_NET_SLOTS;
        float loss = -1;
        if (i < steps) {
            ok(clfcn_loader_next(loader, &batch[s], &err), &err);
            const struct clfcn_net_input in = { batch[s]->images, batch[s]->labels, -1 };
            hyper.update = i + 1;
            ok(clfcn_net_upload(net, s, &in, &err), &err);
            ok(clfcn_net_step(net, s, &hyper, &err), &err);
        }
        ok(clfcn_net_wait(net, s ^ 1, &loss, &err), &err);
        if (i > 0) {
            assert_true(loss > 0 && loss < 100);
            clfcn_loader_release(loader, batch[s ^ 1]);
        }
    }
    clfcn_loader_destroy(&loader);
}

static void test_same_bits_as_a_run(void **state)
{
    char run[SCRATCH_PATH], last[SCRATCH_PATH], own[SCRATCH_PATH];
    struct clfcn_weights_file a, b;
    struct clfcn_metrics metrics;
    struct clfcn_err err;
    const double iou = train_for_us(scratch_path(run, "run"));
    struct clfcn_net *net = new_net(true);
    train_ourselves(net);
    ok(clfcn_measure(net, set, NULL, 0, &metrics, &err), &err);
    assert_true(metrics.mean_iou == iou);
    ok(clfcn_net_save(net, scratch_path(own, "own.safetensors"), &err), &err);
    clfcn_net_destroy(&net);
    ok(clfcn_weights_open(own, &a, &err), &err);
    ok(clfcn_weights_open(scratch_path(last, "run/checkpoints/last.safetensors"), &b,
                          &err),
       &err);
    assert_true(a.count > 40);
    for (int i = 0; i < a.count; ++i) {
        const struct clfcn_weights_tensor *t = clfcn_weights_find(&b, a.tensors[i].name);
        assert_non_null(t);
        scratch_same_tensor(&a, &a.tensors[i], &b, t);
    }
    clfcn_weights_close(&a);
    clfcn_weights_close(&b);
}

/* What a range of the pictures comes to. shown: of them, at the end, to be shown only. */
static void evaluate_range(struct clfcn_net *net, const struct clfcn_loss_how *how,
                           int first, int count, int shown, struct clfcn_eval_part *part)
{
    static const int items[PICTURES + 1] = { 0, 1, 2, 3, 4, 5, 6 };
    const struct clfcn_loader_desc load = { .set = set,
                                            .items = items + first,
                                            .item_count = count,
                                            .width = SIDE,
                                            .height = SIDE,
                                            .batch = BATCH };
    const struct clfcn_eval_options options = { .loss = *how, .only_shown = shown };
    struct clfcn_loader *loader;
    struct clfcn_err err;
    ok(clfcn_loader_create(&load, &loader, &err), &err);
    ok(clfcn_eval_part_init(part, how, 2, first == 0, &err), &err);
    ok(clfcn_evaluate_part(net, set, loader, &options, part, &err), &err);
    clfcn_loader_destroy(&loader);
}

/* Ranges evaluated one by one have the bits of all at once, though a picture lies in
 * another place of another batch. */
static void test_ranges_make_the_whole(void **state)
{
    static const int cuts[][2] = { { 1, 4 }, { 3, 3 }, { 0, 5 }, { 2, 7 } };
    struct clfcn_net *net = new_net(false);
    for (int kind = 0; kind <= CLFCN_LOSS_FOCAL; ++kind) {
        const struct clfcn_loss_how how = { .kind = (enum clfcn_loss)kind, .gamma = 2 };
        struct clfcn_eval_part whole, parts[3];
        evaluate_range(net, &how, 0, PICTURES, 0, &whole);
        for (int v = 0; v < 4; ++v) {
            const int a = cuts[v][0], b = cuts[v][1];
            const int shown = PICTURES - a < 2 ? PICTURES - a : 2;
            evaluate_range(net, &how, 0, a + shown, shown, &parts[0]);
            evaluate_range(net, &how, a, b - a, 0, &parts[1]);
            evaluate_range(net, &how, b, PICTURES - b, 0, &parts[2]);
            if (a == 0) { /* the ranges that begin at 0 have kept nothing apart */
                clfcn_loss_sum_merge(&parts[0].loss, &parts[1].loss, 2);
            }
            for (int r = 1; r < 3; ++r) {
                clfcn_eval_part_fold(&parts[r], &parts[0].loss);
                clfcn_confusion_merge(&parts[0].confusion, &parts[r].confusion);
                parts[0].images += parts[r].images;
            }
            assert_int_equal(parts[0].images, PICTURES);
            assert_memory_equal(&parts[0].loss, &whole.loss, sizeof(whole.loss));
            assert_memory_equal(parts[0].confusion.counts, whole.confusion.counts,
                                4 * sizeof(uint64_t));
            for (int r = 0; r < 3; ++r) {
                clfcn_eval_part_finish(&parts[r]);
            }
        }
        clfcn_eval_part_finish(&whole);
    }
    clfcn_net_destroy(&net);
}

static void refused(int rc, const struct clfcn_err *err, const char *why)
{
    assert_int_equal(rc, CLFCN_EINVAL);
    if (strstr(err->msg, why) == NULL) {
        fail_msg("'%s' does not say '%s'", err->msg, why);
    }
}

static void test_refusals(void **state)
{
    static const char *const three[] = { "a", "b", "c" };
    const struct clfcn_labelled picture = {
        SIDE, SIDE, rgb[0][0][0], 0, labels[0][0], 0
    };
    const struct clfcn_net_hyper hyper = { .lr = 1e-3 };
    struct clfcn_net *net = new_net(true), *infer = new_net(false);
    struct clfcn_loader *loader = new_loader();
    const struct clfcn_batch *batch;
    struct clfcn_dataset *other;
    struct clfcn_metrics metrics;
    struct clfcn_err err;
    ok(clfcn_loader_next(loader, &batch, &err), &err);
    const struct clfcn_net_input in = { batch->images, batch->labels, batch->labelled };
    const struct clfcn_net_input bare = { .images = batch->images };
    refused(clfcn_net_upload(net, CLFCN_NET_SLOTS, &in, &err), &err, "slot 2");
    refused(clfcn_net_step(net, -1, &hyper, &err), &err, "slot -1");
    refused(clfcn_net_wait(net, 7, NULL, &err), &err, "slot 7");
    refused(clfcn_net_step(net, 0, &hyper, &err), &err, "no batch was uploaded");
    ok(clfcn_net_upload(net, 0, &bare, &err), &err);
    refused(clfcn_net_upload(net, 0, &in, &err), &err, "wait for it");
    refused(clfcn_net_step(net, 0, &hyper, &err), &err, "without labels");
    ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    ok(clfcn_net_upload(infer, 1, &in, &err), &err);
    refused(clfcn_net_step(infer, 1, &hyper, &err), &err, "built for inference");
    ok(clfcn_net_wait(infer, 1, NULL, &err), &err);

    const int beyond = PICTURES;
    refused(clfcn_measure(net, set, &beyond, 1, &metrics, &err), &err, "items 0 to 6");
    ok(clfcn_dataset_from_memory(three, 3, &picture, 1, &other, &err), &err);
    refused(clfcn_measure(net, other, NULL, 0, &metrics, &err), &err, "3");
    clfcn_dataset_destroy(&other);
    clfcn_loader_release(loader, batch);
    clfcn_loader_destroy(&loader);
    clfcn_net_destroy(&infer);
    clfcn_net_destroy(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_as_a_run),
        cmocka_unit_test(test_ranges_make_the_whole),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
