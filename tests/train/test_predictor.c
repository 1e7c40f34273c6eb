/* The library's prediction on a tiny network: pictures in memory, whole and in tiles. */
#include "../../host/data/resize.h"
#include "scratch.h"
#include <clfcn/clfcn.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, C = 3, MAX = 80 };

static const struct clfcn_net_desc desc = { .arch = CLFCN_FCN32S,
                                            .backbone = CLFCN_VGG11,
                                            .classes = C,
                                            .width = SIDE,
                                            .height = SIDE,
                                            .batch = 2 };
static struct clfcn_dev *dev;
static struct clfcn_net *net;
static char weights[SCRATCH_PATH];

static int make(void **state)
{
    struct clfcn_err err;
    const struct clfcn_net_options how = { 0 };
    return scratch_make(state) != 0 || clfcn_dev_open("auto", &dev, &err) < 0 ||
                   clfcn_net_create(dev, &desc, &how, &net, &err) < 0 ||
                   clfcn_net_init(net, 7, &err) < 0 ||
                   clfcn_net_save(net, scratch_path(weights, "w.safetensors"), &err) < 0
               ? -1
               : 0;
}

static int unmake(void **state)
{
    clfcn_net_destroy(&net);
    clfcn_dev_close(&dev);
    return scratch_remove(state);
}

static struct clfcn_predictor *open_with(struct clfcn_predict_options o)
{
    struct clfcn_predictor *p;
    struct clfcn_err err;
    o.net = desc;
    if (clfcn_predictor_create(dev, weights, &o, &p, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return p;
}

/* A picture with its results. */
struct shot {
    int width, height;
    uint8_t rgb[3 * MAX * MAX], labels[MAX * MAX];
    float probs[C * MAX * MAX], logits[C * SIDE * SIDE];
};

static struct shot *shoot(int width, int height)
{
    struct shot *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->width = width;
    s->height = height;
    for (int i = 0; i < 3 * width * height; ++i) {
        const int x = i / 3 % width, y = i / 3 / width;
        s->rgb[i] = (uint8_t)(x * (3 + i % 3) + y * 5 + (x * y % 7) * 20);
    }
    memset(s->labels, 99, sizeof(s->labels));
    return s;
}

static struct clfcn_predict_job job_of(struct shot *s)
{
    return (struct clfcn_predict_job){ .rgb = s->rgb,
                                       .width = s->width,
                                       .height = s->height,
                                       .labels = s->labels,
                                       .probs = s->probs,
                                       .user = s };
}

static void assert_same(const struct shot *a, const struct shot *b)
{
    const size_t pixels = (size_t)a->width * (size_t)a->height;
    assert_memory_equal(a->labels, b->labels, pixels);
    assert_memory_equal(a->probs, b->probs, C * pixels * sizeof(float));
}

/* Probabilities sum to 1 and are largest where the label says. */
static void check_shot(const struct shot *s)
{
    const int pixels = s->width * s->height;
    for (int p = 0; p < pixels; ++p) {
        double sum = 0;
        assert_true(s->labels[p] < C);
        for (int c = 0; c < C; ++c) {
            sum += (double)s->probs[c * pixels + p];
            assert_true(s->probs[c * pixels + p] <= s->probs[s->labels[p] * pixels + p]);
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
}

/* A picture of the network's size: its logits are those of the network, to the bit. */
static void test_whole_picture(void **state)
{
    static float images[2 * 3 * SIDE * SIDE], logits[2 * C * SIDE * SIDE];
    struct clfcn_predictor *p = open_with((struct clfcn_predict_options){ 0 });
    struct shot *s = shoot(SIDE, SIDE);
    struct clfcn_predict_job job = job_of(s);
    const struct clfcn_image im = {
        .width = SIDE, .height = SIDE, .channels = 3, .depth = 8, .px.u8 = s->rgb
    };
    job.logits = s->logits;
    assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    clfcn_resize_to_input(&im, SIDE, SIDE, images, 2 * SIDE * SIDE);
    assert_int_equal(clfcn_net_forward(net, images, logits, NULL), 0);
    for (int i = 0; i < SIDE * SIDE; ++i) {
        int best = 0;
        double sum = 0, each[C];
        for (int c = 0; c < C; ++c) {
            const float v = logits[c * 2 * SIDE * SIDE + i];
            assert_true(s->logits[c * SIDE * SIDE + i] == v);
            best = v > logits[best * 2 * SIDE * SIDE + i] ? c : best;
            sum += each[c] = 1 / (1 + exp(-(double)v));
        }
        assert_int_equal(s->labels[i], best);
        for (int c = 0; c < C; ++c) {
            const double got = (double)s->probs[c * SIDE * SIDE + i];
            assert_true(fabs(got - each[c] / sum) < 1e-6);
        }
    }
    free(s);
    clfcn_predictor_destroy(&p);
    assert_null(p);
}

/* Rows with a gap between them, which must not be read. */
static void test_stride(void **state)
{
    struct clfcn_predictor *p = open_with((struct clfcn_predict_options){ 0 });
    struct shot *a = shoot(45, 21), *b = shoot(45, 21);
    const size_t row = 3 * 45, stride = row + 11;
    uint8_t *loose = malloc(20 * stride + row); /* nothing follows the last row */
    assert_non_null(loose);
    memset(loose, 255, 20 * stride + row);
    for (size_t y = 0; y < 21; ++y) {
        memcpy(loose + y * stride, b->rgb + y * row, row);
    }
    const struct clfcn_predict_job plain = job_of(a);
    struct clfcn_predict_job job = job_of(b);
    job.rgb = loose;
    job.stride = stride;
    assert_int_equal(clfcn_predictor_run(p, &plain, NULL), 0);
    assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    check_shot(a);
    assert_same(a, b);
    free(loose);
    free(a);
    free(b);
    clfcn_predictor_destroy(&p);
}

/* A tile that is the whole picture gives the bits of the picture resized. */
static void test_one_tile_is_the_picture(void **state)
{
    for (int flip = 0; flip < 2; ++flip) {
        struct clfcn_predictor *whole =
            open_with((struct clfcn_predict_options){ .flip = flip });
        struct clfcn_predictor *tiles = open_with(
            (struct clfcn_predict_options){ .mode = CLFCN_PREDICT_TILES, .flip = flip });
        struct shot *a = shoot(SIDE, SIDE), *b = shoot(SIDE, SIDE);
        struct clfcn_predict_job job = job_of(a);
        assert_int_equal(clfcn_predictor_run(whole, &job, NULL), 0);
        job = job_of(b);
        assert_int_equal(clfcn_predictor_run(tiles, &job, NULL), 0);
        check_shot(a);
        assert_same(a, b);
        free(a);
        free(b);
        clfcn_predictor_destroy(&whole);
        clfcn_predictor_destroy(&tiles);
    }
}

/* The mean of a picture and its mirror image is the same for the mirror image. */
static void test_flip_is_symmetric(void **state)
{
    struct clfcn_predictor *p = open_with(
        (struct clfcn_predict_options){ .mode = CLFCN_PREDICT_TILES, .flip = true });
    struct shot *a = shoot(64, 40), *b = shoot(64, 40);
    for (int i = 0; i < 64 * 40; ++i) {
        memcpy(b->rgb + 3 * (i / 64 * 64 + 63 - i % 64), a->rgb + 3 * i, 3);
    }
    struct clfcn_predict_job job = job_of(a);
    assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    job = job_of(b);
    assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    check_shot(a);
    for (int i = 0; i < C * 64 * 40; ++i) {
        const float mirrored = b->probs[i / 64 * 64 + 63 - i % 64];
        assert_true(fabsf(a->probs[i] - mirrored) < 1e-5f);
    }
    free(a);
    free(b);
    clfcn_predictor_destroy(&p);
}

/* Batches filled across pictures: the same as one by one, in the order of submission. */
static void test_several_in_flight(void **state)
{
    static const int sizes[][2] = { { 1, 1 },   { 80, 33 }, { 31, 33 }, { 70, 9 },
                                    { 32, 32 }, { 5, 80 },  { 50, 50 } };
    enum { N = sizeof(sizes) / sizeof(*sizes) };
    struct clfcn_predictor *p =
        open_with((struct clfcn_predict_options){ .mode = CLFCN_PREDICT_TILES });
    struct shot *together[N], *alone[N];
    int collected = 0;
    for (int i = 0; i < N; ++i) {
        alone[i] = shoot(sizes[i][0], sizes[i][1]);
        together[i] = shoot(sizes[i][0], sizes[i][1]);
        const struct clfcn_predict_job job = job_of(alone[i]);
        assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    }
    for (int i = 0; i < N || collected < N;) {
        if (i < N) {
            const struct clfcn_predict_job job = job_of(together[i++]);
            assert_int_equal(clfcn_predictor_submit(p, &job, NULL), 0);
        }
        while (collected < i && (i == N || clfcn_predictor_ready(p))) {
            void *user;
            assert_int_equal(clfcn_predictor_collect(p, &user, NULL), 0);
            assert_ptr_equal(user, together[collected++]);
        }
    }
    assert_false(clfcn_predictor_ready(p));
    assert_int_equal(clfcn_predictor_collect(p, NULL, NULL), CLFCN_EINVAL);
    for (int i = 0; i < N; ++i) {
        const int n = C * sizes[i][0] * sizes[i][1];
        check_shot(together[i]);
        for (int k = 0; k < n; ++k) {
            assert_true(fabsf(together[i]->probs[k] - alone[i]->probs[k]) < 1e-5f);
        }
        free(alone[i]);
        free(together[i]);
    }
    clfcn_predictor_destroy(&p);
}

static int refuse(void *user, int y, const float *probs, struct clfcn_err *err)
{
    if (y == 3) {
        err->code = CLFCN_EIO;
        strcpy(err->msg, "no more room");
        return CLFCN_EIO;
    }
    return CLFCN_OK;
}

/* What goes wrong with one picture leaves the others alone. */
static void test_errors_of_one_picture(void **state)
{
    struct clfcn_predictor *p =
        open_with((struct clfcn_predict_options){ .mode = CLFCN_PREDICT_TILES });
    struct shot *good = shoot(40, 40), *bad = shoot(40, 40);
    const struct clfcn_predict_job sound = job_of(good);
    struct clfcn_predict_job jobs[6];
    struct clfcn_err err;
    for (int i = 0; i < 6; ++i) {
        jobs[i] = job_of(bad);
    }
    jobs[0].width = 0;
    jobs[1].height = 1 << 20;
    jobs[2].stride = 100;
    jobs[3].rgb = NULL;
    jobs[4].labels = NULL;
    jobs[5].logits = bad->logits;
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(clfcn_predictor_submit(p, &jobs[i], &err), CLFCN_EINVAL);
        assert_true(err.msg[0] != '\0');
    }
    struct clfcn_predict_job full = job_of(bad);
    full.row = refuse;
    assert_int_equal(clfcn_predictor_submit(p, &full, NULL), 0);
    assert_int_equal(clfcn_predictor_submit(p, &sound, NULL), 0);
    assert_int_equal(clfcn_predictor_run(p, &sound, NULL), CLFCN_EINVAL);
    assert_int_equal(clfcn_predictor_collect(p, NULL, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "no more room");
    assert_int_equal(clfcn_predictor_collect(p, NULL, &err), 0);
    check_shot(good);
    free(good);
    free(bad);
    clfcn_predictor_destroy(&p);
}

static void test_stop(void **state)
{
    volatile bool stop = false;
    struct clfcn_predictor *p =
        open_with((struct clfcn_predict_options){ .stop = &stop });
    struct shot *s = shoot(40, 40);
    const struct clfcn_predict_job job = job_of(s);
    assert_int_equal(clfcn_predictor_run(p, &job, NULL), 0);
    assert_int_equal(clfcn_predictor_submit(p, &job, NULL), 0);
    stop = true;
    assert_int_equal(clfcn_predictor_collect(p, NULL, NULL), CLFCN_EINTR);
    assert_int_equal(clfcn_predictor_submit(p, &job, NULL), CLFCN_EINTR);
    clfcn_predictor_destroy(&p); /* with a picture that nobody collected */
    free(s);
}

static int create(struct clfcn_predict_options o, struct clfcn_err *err)
{
    struct clfcn_predictor *p;
    const int rc = clfcn_predictor_create(dev, weights, &o, &p, err);
    assert_true((rc == CLFCN_OK) == (p != NULL));
    clfcn_predictor_destroy(&p);
    return rc;
}

static void test_options(void **state)
{
    const struct clfcn_predict_options none = { 0 }, plain = { .net = desc };
    struct clfcn_predict_options o = plain;
    struct clfcn_err err;
    assert_int_equal(create(none, &err), CLFCN_EINVAL);
    assert_non_null(strstr(err.msg, "w.safetensors"));
    o.scale = 2;
    assert_int_equal(create(o, &err), CLFCN_EINVAL);
    o.mode = CLFCN_PREDICT_TILES;
    o.scale = -1;
    assert_int_equal(create(o, &err), CLFCN_EINVAL);
    o.scale = 0;
    o.overlap = SIDE;
    assert_int_equal(create(o, &err), CLFCN_EINVAL);
    o = plain;
    o.net.classes = C + 1;
    assert_int_equal(create(o, &err), CLFCN_EDATA);
    o = plain;
    o.net.width = 33;
    assert_int_equal(create(o, &err), CLFCN_EINVAL);

    struct clfcn_predictor *p = open_with(none);
    assert_int_equal(clfcn_predictor_get_desc(p)->classes, C);
    assert_string_equal(clfcn_predictor_class_name(p, 2), "2");
    assert_memory_not_equal(clfcn_predictor_class_color(p, 0),
                            clfcn_predictor_class_color(p, 1), 3);
    clfcn_predictor_destroy(&p);
    clfcn_predictor_destroy(&p);
    assert_string_equal(clfcn_predict_mode_name(CLFCN_PREDICT_TILES), "tiles");
    assert_null(clfcn_predict_mode_name((enum clfcn_predict_mode)2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_picture),
        cmocka_unit_test(test_stride),
        cmocka_unit_test(test_one_tile_is_the_picture),
        cmocka_unit_test(test_flip_is_symmetric),
        cmocka_unit_test(test_several_in_flight),
        cmocka_unit_test(test_errors_of_one_picture),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
