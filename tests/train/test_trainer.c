/* Whole runs of a tiny network on a tiny data set: the folder they leave, and that a run
 * stopped anywhere and resumed ends with the bits of one that was not. */
#include "../../host/data/dataset.h"
#include "../../host/train/checkpoint.h"
#include "../../host/util/path.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* 11 images: 4 to validate in two batches of 2, 7 to train in three steps with one left
 * over. */
enum { IMAGES = 11, WIDTH = 40, HEIGHT = 36, STEPS = 3 };

static struct clfcn_dev *dev;
static char data_dir[SCRATCH_PATH], out_dir[SCRATCH_PATH];

/* A dark picture with a bright disc that is class 1; a frame of ignored pixels. */
static void write_pair(const char *dir, int i)
{
    struct clfcn_image image, mask;
    char path[SCRATCH_PATH + 32];
    assert_int_equal(clfcn_image_alloc(&image, WIDTH, HEIGHT, 3, 8, NULL), 0);
    assert_int_equal(clfcn_image_alloc(&mask, WIDTH, HEIGHT, 1, 8, NULL), 0);
    for (int p = 0; p < WIDTH * HEIGHT; ++p) {
        const int x = p % WIDTH, y = p / WIDTH, dx = x - 5 - 3 * i, dy = y - 18;
        const bool inside = dx * dx + dy * dy < 100;
        for (int c = 0; c < 3; ++c) {
            image.px.u8[3 * p + c] =
                (uint8_t)((inside ? 150 : 20) + (p * (c + 7) + 13 * i) % 60);
        }
        mask.px.u8[p] = x == 0 ? 7 : inside;
    }
    snprintf(path, sizeof(path), "%s/images/p%d.png", dir, i);
    assert_int_equal(clfcn_png_write(path, &image, NULL), 0);
    snprintf(path, sizeof(path), "%s/masks/p%d.png", dir, i);
    assert_int_equal(clfcn_png_write(path, &mask, NULL), 0);
    clfcn_image_free(&image);
    clfcn_image_free(&mask);
}

static void write_set(const char *dir, const char *second_class)
{
    char path[SCRATCH_PATH + 32], text[64];
    snprintf(path, sizeof(path), "%s/images", dir);
    assert_int_equal(clfcn_path_mkdir(path, 0777, NULL), 0);
    snprintf(path, sizeof(path), "%s/masks", dir);
    assert_int_equal(clfcn_path_mkdir(path, 0777, NULL), 0);
    for (int i = 0; i < IMAGES; ++i) {
        write_pair(dir, i);
    }
    snprintf(path, sizeof(path), "%s/classes.txt", dir);
    snprintf(text, sizeof(text), "ground 0\n%s 1\nignore 7\n", second_class);
    assert_int_equal(clfcn_file_write(path, text, strlen(text), NULL), 0);
}

static int make(void **state)
{
    struct clfcn_err err;
    if (scratch_make(state) != 0 || clfcn_dev_open("auto", &dev, &err) < 0) {
        return -1;
    }
    write_set(scratch_path(data_dir, "data"), "disc");
    return 0;
}

static int unmake(void **state)
{
    clfcn_dev_close(&dev);
    return scratch_remove(state);
}

/* Each test trains into a folder of its own. */
static struct clfcn_train_config config_for(const char *out)
{
    struct clfcn_train_config c;
    clfcn_train_defaults(&c);
    c.data = data_dir;
    c.out = scratch_path(out_dir, out);
    c.val_fraction = 0.4;
    c.arch = CLFCN_FCN32S;
    c.backbone = CLFCN_VGG11;
    c.width = c.height = 32;
    c.batch = 2;
    c.epochs = 2;
    c.lr_policy = CLFCN_LR_POLY;
    c.augment.flip = true;
    c.save_every = 0;
    c.seed = 5;
    return c;
}

static void assert_train(const struct clfcn_train_config *c, bool resume,
                         const struct clfcn_train_callbacks *callbacks, int want,
                         const char *why)
{
    struct clfcn_err err = { 0 };
    int rc = clfcn_train(dev, c, resume, callbacks, &err);
    if (rc != want || (why != NULL && strstr(err.msg, why) == NULL)) {
        fail_msg("status %d (%s), not %d (%s)", rc, err.msg, want,
                 why != NULL ? why : "");
    }
}

static bool exists(const char *name)
{
    char path[SCRATCH_PATH];
    return clfcn_path_exists(scratch_path(path, name));
}

/* The events of one kind, without what a clock measured, as one text; free with free().
 */
static char *events_of(const char *run, const char *kind)
{
    char name[64];
    size_t size;
    snprintf(name, sizeof(name), "%s/log.jsonl", run);
    char *log = scratch_read(name, &size), *result = calloc(1, size + 1);
    for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *event = json_loads(line, 0, NULL);
        assert_non_null(event);
        if (strcmp(json_string_value(json_object_get(event, "event")), kind) == 0) {
            json_object_del(event, "ms");
            json_object_del(event, "seconds");
            json_object_del(event, "val_seconds");
            json_object_del(event, "wait_s");
            json_object_del(event, "images_per_s");
            char *text = json_dumps(event, JSON_COMPACT);
            strcat(strcat(result, text), "\n");
            free(text);
        }
        json_decref(event);
    }
    free(log);
    return result;
}

static void assert_same_events(const char *a, const char *b, const char *kind)
{
    char *of_a = events_of(a, kind), *of_b = events_of(b, kind);
    assert_string_equal(of_a, of_b);
    assert_true(strlen(of_a) > 0);
    free(of_a);
    free(of_b);
}

static void assert_same_tensors(const char *a, const char *b)
{
    struct clfcn_weights_file fa, fb;
    char path[SCRATCH_PATH];
    assert_int_equal(clfcn_weights_open(scratch_path(path, a), &fa, NULL), 0);
    assert_int_equal(clfcn_weights_open(scratch_path(path, b), &fb, NULL), 0);
    assert_int_equal(fa.count, fb.count);
    for (int i = 0; i < fa.count; ++i) {
        assert_string_equal(fa.tensors[i].name, fb.tensors[i].name);
        scratch_same_tensor(&fa, &fa.tensors[i], &fb, &fb.tensors[i]);
    }
    clfcn_weights_close(&fa);
    clfcn_weights_close(&fb);
}

static struct clfcn_train_state state_of(const char *name)
{
    struct clfcn_weights_file f;
    struct clfcn_checkpoint_info info;
    char path[SCRATCH_PATH];
    assert_int_equal(clfcn_weights_open(scratch_path(path, name), &f, NULL), 0);
    assert_int_equal(clfcn_checkpoint_read_info(&f, path, &info, NULL), 0);
    assert_true(info.has_metadata);
    assert_int_equal(info.net.classes, 2);
    assert_string_equal(info.classes.list[1].name, "disc");
    const struct clfcn_train_state s = info.state;
    clfcn_checkpoint_info_free(&info);
    clfcn_weights_close(&f);
    return s;
}

/* Sets the stop flag at a step or during a validation. */
struct stopper {
    volatile bool stop;
    int64_t at_step; /* 0: in a validation */
};

static void maybe_stop(void *user, const struct clfcn_progress *p)
{
    struct stopper *s = user;
    if (s->at_step > 0 ? p->total_step == s->at_step : p->validating) {
        s->stop = true;
    }
}

static void assert_stops(const char *out, bool resume, int64_t at_step)
{
    struct stopper stopper = { .at_step = at_step };
    const struct clfcn_train_callbacks callbacks = { .progress = maybe_stop,
                                                     .stop = &stopper.stop,
                                                     .user = &stopper };
    const struct clfcn_train_config c = config_for(out);
    assert_train(&c, resume, &callbacks, CLFCN_EINTR, "--resume");
}

static void test_straight(void **state)
{
    const struct clfcn_train_config c = config_for("straight");
    assert_train(&c, false, NULL, 0, NULL);
    const struct clfcn_train_state s = state_of("straight/checkpoints/last.safetensors");
    assert_int_equal(s.epoch, 2);
    assert_int_equal(s.epoch_step, 0);
    assert_int_equal(s.step, 2 * STEPS);
    assert_false(isnan(s.best_mean_iou));
    assert_int_equal(state_of("straight/checkpoints/best.safetensors").epoch,
                     s.best_epoch);
    assert_true(exists("straight/config.json"));
    assert_false(exists("straight/checkpoints/epoch-0001.safetensors"));
    char *steps = events_of("straight", "step"), *first = strchr(steps, '\n');
    *first = '\0';
    assert_non_null(strstr(steps, "\"epoch\":0,\"step\":1,\"loss\":"));
    assert_non_null(strstr(steps, "\"lr\":0.01"));
    free(steps);
    char *epochs = events_of("straight", "epoch");
    assert_non_null(strstr(epochs, "\"epoch\":1,\"step\":6,\"train_loss\":"));
    assert_null(strstr(epochs, "\"val_loss\":null"));
    free(epochs);
    char *end = events_of("straight", "end");
    assert_non_null(strstr(end, "\"reason\":\"completed\""));
    free(end);
    /* The split is seeded: which four it took shows in the samples. */
    int samples = 0;
    for (int i = 0; i < IMAGES; ++i) {
        char name[64];
        snprintf(name, sizeof(name), "straight/samples/epoch-0002-p%d.png", i);
        samples += exists(name);
    }
    assert_int_equal(samples, 4);
}

static void test_stopped_and_resumed(void **state)
{
    struct clfcn_train_config c = config_for("parts");
    c.max_steps = 1;
    assert_train(&c, false, NULL, 0, NULL);
    assert_int_equal(state_of("parts/checkpoints/last.safetensors").epoch_step, 1);
    assert_stops("parts", true, 2);
    assert_int_equal(state_of("parts/checkpoints/last.safetensors").epoch, 0);
    assert_stops("parts", true, 0); /* in the validation of epoch 0 */
    assert_int_equal(state_of("parts/checkpoints/last.safetensors").epoch_step, STEPS);
    assert_stops("parts", true, 0); /* the same again */
    c.max_steps = 4;
    c.save_steps = 1;
    assert_train(&c, true, NULL, 0, NULL);
    c.max_steps = -1;
    assert_train(&c, true, NULL, 0, NULL);
    assert_same_tensors("straight/checkpoints/last.safetensors",
                        "parts/checkpoints/last.safetensors");
    assert_same_tensors("straight/checkpoints/best.safetensors",
                        "parts/checkpoints/best.safetensors");
    assert_same_events("straight", "parts", "step");
    assert_same_events("straight", "parts", "epoch");
}

static void test_complete_run(void **state)
{
    size_t before, after;
    free(scratch_read("straight/log.jsonl", &before));
    const struct clfcn_train_config c = config_for("straight");
    assert_train(&c, true, NULL, 0, NULL);
    assert_train(&c, false, NULL, CLFCN_EINVAL, "--resume");
    free(scratch_read("straight/log.jsonl", &after));
    assert_int_equal(before, after);
}

/* Killed between config.json and the first checkpoint: resuming starts it. */
static void test_killed_early(void **state)
{
    char path[SCRATCH_PATH];
    struct clfcn_train_config c = config_for("early");
    c.max_steps = 0;
    assert_train(&c, false, NULL, 0, NULL);
    assert_int_equal(remove(scratch_path(path, "early/checkpoints/last.safetensors")), 0);
    c = config_for("early");
    c.lr = 77; /* not taken from here */
    c.max_steps = 2;
    assert_train(&c, true, NULL, 0, NULL);
    char *straight = events_of("straight", "step"), *early = events_of("early", "step");
    assert_memory_equal(straight, early, strlen(early));
    assert_true(strlen(early) > 0);
    free(straight);
    free(early);
}

static void test_no_validation(void **state)
{
    struct clfcn_train_config c = config_for("noval");
    c.val_fraction = 0;
    c.epochs = 1;
    c.save_every = 1;
    assert_train(&c, false, NULL, 0, NULL);
    char *epoch = events_of("noval", "epoch");
    assert_non_null(strstr(epoch, "\"val_loss\":null,\"pixel_acc\":null"));
    assert_non_null(strstr(epoch, "\"iou\":null"));
    assert_null(strstr(epoch, "\"train_loss\":null"));
    free(epoch);
    assert_true(exists("noval/samples/epoch-0001-p3.png"));
    assert_false(exists("noval/samples/epoch-0001-p4.png"));
    assert_true(exists("noval/checkpoints/best.safetensors"));
    assert_true(exists("noval/checkpoints/epoch-0001.safetensors"));
}

static void test_not_finite(void **state)
{
    struct clfcn_train_config c = config_for("nan");
    c.lr_policy = CLFCN_LR_CONSTANT;
    c.lr = 1e30;
    c.val_fraction = 0;
    assert_train(&c, false, NULL, CLFCN_ENUMERIC, "lower --lr (now 1e+30)");
    assert_int_equal(state_of("nan/checkpoints/last.safetensors").step, 0);
    char *end = events_of("nan", "end");
    assert_non_null(strstr(end, "\"reason\":\"failed\""));
    assert_non_null(strstr(end, "not finite"));
    free(end);
}

/* Steps and checkpoints in the order of their events: "c0 s1 s2 c2 ". */
struct order {
    char text[64];
};

/* Whoever is told of a checkpoint can read it. */
static void note_order(void *user, const char *name, const char *line)
{
    struct order *order = user;
    const bool saved = strcmp(name, "checkpoint") == 0;
    if (!saved && strcmp(name, "step") != 0) {
        return;
    }
    json_t *event = json_loads(line, 0, NULL);
    const json_int_t step = json_integer_value(json_object_get(event, "step"));
    if (saved) {
        struct clfcn_weights_file file;
        struct clfcn_checkpoint_info info;
        const char *path = json_string_value(json_object_get(event, "path"));
        assert_int_equal(clfcn_weights_open(path, &file, NULL), 0);
        assert_int_equal(clfcn_checkpoint_read_info(&file, path, &info, NULL), 0);
        assert_int_equal(info.state.step, step);
        clfcn_checkpoint_info_free(&info);
        clfcn_weights_close(&file);
    }
    const size_t n = strlen(order->text);
    snprintf(order->text + n, sizeof(order->text) - n, "%c%d ", saved ? 'c' : 's',
             (int)step);
    json_decref(event);
}

static void test_saving_beside_steps(void **state)
{
    struct order order = { "" };
    const struct clfcn_train_callbacks callbacks = { .event = note_order,
                                                     .user = &order };
    struct clfcn_train_config c = config_for("beside");
    c.save_steps = 2;
    c.max_steps = 4;
    c.val_fraction = 0;
    assert_train(&c, false, &callbacks, 0, NULL);
    assert_string_equal(order.text, "c0 s1 s2 c2 s3 s4 c4 ");
}

static void test_refusals(void **state)
{
    struct clfcn_train_config c = config_for("refused");
    c.out = NULL;
    assert_train(&c, false, NULL, CLFCN_EINVAL, "--out");
    c = config_for("refused");
    assert_train(&c, true, NULL, CLFCN_EDATA, "refused"); /* no such folder */
    c.lr = -1;
    assert_train(&c, false, NULL, CLFCN_EINVAL, "--lr");
    assert_false(exists("refused")); /* nothing is made for a wrong command */
    c = config_for("refused");
    c.batch = 8;
    assert_train(&c, false, NULL, CLFCN_EDATA,
                 "7 training images are fewer than one batch of 8");
    c = config_for("refused");
    assert_train(&c, true, NULL, CLFCN_EDATA, "last.safetensors");
    char val[SCRATCH_PATH];
    write_set(scratch_path(val, "val"), "square");
    c.val = val;
    assert_train(&c, false, NULL, CLFCN_EDATA, "'square'");
    struct clfcn_lock lock;
    assert_int_equal(clfcn_lock_acquire(&lock, c.out, NULL), 0);
    assert_train(&c, false, NULL, CLFCN_EIO, "in use");
    clfcn_lock_release(&lock);
}

static void test_separate_validation_set(void **state)
{
    char val[SCRATCH_PATH];
    write_set(scratch_path(val, "val"), "disc");
    struct clfcn_train_config c = config_for("sepval");
    c.val = val;
    c.epochs = 1;
    assert_train(&c, false, NULL, 0, NULL);
    char *start = events_of("sepval", "start");
    assert_non_null(strstr(start, "\"train_images\":11,\"val_images\":11"));
    free(start);
}

/* The same pictures in memory, handed over as an open set, give the same bits. */
static void test_set_in_memory(void **state)
{
    static const char *const names[] = { "ground", "disc" };
    struct clfcn_dataset *files, *set;
    struct clfcn_pair pairs[IMAGES];
    struct clfcn_labelled pictures[IMAGES];
    assert_int_equal(clfcn_dataset_open(data_dir, &files, NULL), 0);
    for (int i = 0; i < IMAGES; ++i) {
        assert_int_equal(clfcn_dataset_read(files, i, &pairs[i], NULL), 0);
        pictures[i] = (struct clfcn_labelled){ .width = WIDTH,
                                               .height = HEIGHT,
                                               .rgb = pairs[i].image.px.u8,
                                               .labels = pairs[i].labels };
    }
    assert_int_equal(clfcn_dataset_from_memory(names, 2, pictures, IMAGES, &set, NULL),
                     0);
    struct clfcn_train_config c = config_for("memory");
    c.set = set;
    assert_train(&c, false, NULL, CLFCN_EINVAL, "twice");
    c.data = NULL;
    c.max_steps = 4;
    assert_train(&c, false, NULL, 0, NULL);
    c.max_steps = -1;
    c.set = NULL;
    assert_train(&c, true, NULL, CLFCN_EINVAL, "no data");
    c.set = set;
    assert_train(&c, true, NULL, 0, NULL);
    assert_same_tensors("straight/checkpoints/last.safetensors",
                        "memory/checkpoints/last.safetensors");
    c = config_for("memval");
    c.data = NULL;
    c.set = c.val_set = set;
    c.max_steps = 1;
    assert_train(&c, false, NULL, 0, NULL);
    char *start = events_of("memval", "start");
    assert_non_null(strstr(start, "\"train_images\":11,\"val_images\":11"));
    free(start);
    clfcn_dataset_destroy(&set);
    clfcn_dataset_destroy(&files);
    for (int i = 0; i < IMAGES; ++i) {
        clfcn_pair_free(&pairs[i]);
    }
}

static void test_changed_data(void **state)
{
    char path[SCRATCH_PATH];
    struct clfcn_train_config c = config_for("changed");
    c.max_steps = 0;
    assert_train(&c, false, NULL, 0, NULL);
    write_pair(data_dir, IMAGES);
    c.max_steps = -1;
    assert_train(&c, true, NULL, CLFCN_EDATA, "not those of the checkpoint");
    char name[64];
    for (int i = 0; i < 2; ++i) {
        snprintf(name, sizeof(name), "data/%s/p%d.png", i == 0 ? "images" : "masks",
                 IMAGES);
        assert_int_equal(remove(scratch_path(path, name)), 0);
    }
    scratch_path(path, "changed/checkpoints/last.safetensors");
    assert_int_equal(clfcn_file_truncate(path, 5000, NULL), 0);
    assert_train(&c, true, NULL, CLFCN_EDATA, "truncated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_straight),
        cmocka_unit_test(test_stopped_and_resumed),
        cmocka_unit_test(test_complete_run),
        cmocka_unit_test(test_killed_early),
        cmocka_unit_test(test_no_validation),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_saving_beside_steps),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_separate_validation_set),
        cmocka_unit_test(test_set_in_memory),
        cmocka_unit_test(test_changed_data),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
