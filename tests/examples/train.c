/* train.c - a network learns to find discs: pictures in memory, a loop of one's own.
 *     cc -std=c11 train.c -o train $(pkg-config --cflags --libs clfcn)
 *     ./train discs.safetensors */
#include <clfcn/clfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAIN = 64, TEST = 16, PICTURES = TRAIN + TEST, SIDE = 64, EPOCHS = 4 };

static uint8_t rgb[PICTURES][SIDE][SIDE][3], labels[PICTURES][SIDE][SIDE];
static struct clfcn_err err;

/* Noise, which is brighter within a disc. */
static void draw(int i)
{
    const int cx = rand() % SIDE, cy = rand() % SIDE, radius = 8 + rand() % 16;
    for (int y = 0; y < SIDE; ++y) {
        for (int x = 0; x < SIDE; ++x) {
            labels[i][y][x] = (x - cx) * (x - cx) + (y - cy) * (y - cy) < radius * radius;
            for (int c = 0; c < 3; ++c) {
                rgb[i][y][x][c] = (uint8_t)(rand() % 128 + 64 * labels[i][y][x]);
            }
        }
    }
}

static void ok(int status)
{
    if (status < 0) {
        fprintf(stderr, "train: %s\n", err.msg);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static const char *const classes[] = { "ground", "disc" };
    const struct clfcn_net_desc desc = { CLFCN_FCN8S, CLFCN_VGG11, 2, SIDE, SIDE, 4 };
    const struct clfcn_net_options options = { .training = true, .loss = CLFCN_LOSS_CE };
    const struct clfcn_net_hyper hyper = { .lr = 0.05, .momentum = 0.7 };
    struct clfcn_loader_desc load = { .width = SIDE, .height = SIDE, .batch = 4 };
    struct clfcn_labelled picture[PICTURES];
    struct clfcn_dataset *set, *test;
    struct clfcn_loader *loader;
    struct clfcn_dev *dev;
    struct clfcn_net *net;
    struct clfcn_metrics metrics;
    for (int i = 0; i < PICTURES; ++i) {
        draw(i);
        picture[i] = (struct clfcn_labelled){ SIDE, SIDE, rgb[i][0][0], 0, labels[i][0], 0 };
    }
    ok(clfcn_dataset_from_memory(classes, 2, picture, TRAIN, &set, &err));
    ok(clfcn_dataset_from_memory(classes, 2, picture + TRAIN, TEST, &test, &err));
    load.set = set;
    ok(clfcn_loader_create(&load, &loader, &err));
    ok(clfcn_dev_open("auto", &dev, &err));
    ok(clfcn_net_create(dev, &desc, &options, &net, &err));
    ok(clfcn_net_init(net, 0, &err));
    for (int step = 0; step < EPOCHS * clfcn_loader_steps(loader); ++step) {
        const struct clfcn_batch *batch;
        float loss;
        ok(clfcn_loader_next(loader, &batch, &err));
        const struct clfcn_net_input in = { batch->images, batch->labels, batch->labelled };
        ok(clfcn_net_upload(net, 0, &in, &err));
        ok(clfcn_net_step(net, 0, &hyper, &err));
        ok(clfcn_net_wait(net, 0, &loss, &err));
        printf("epoch %d, step %d: loss %.4f\n", batch->epoch + 1, batch->index + 1, loss);
        clfcn_loader_release(loader, batch);
    }
    ok(clfcn_measure(net, test, NULL, 0, &metrics, &err));
    printf("on %d other pictures: mean IoU %.3f\n", TEST, metrics.mean_iou);
    ok(clfcn_net_save(net, argc > 1 ? argv[1] : "discs.safetensors", &err));
    clfcn_net_destroy(&net);
    clfcn_loader_destroy(&loader);
    clfcn_dataset_destroy(&test);
    clfcn_dataset_destroy(&set);
    clfcn_dev_close(&dev);
}
