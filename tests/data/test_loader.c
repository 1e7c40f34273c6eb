/* test_loader.c - a batch depends on seed, epoch and index alone; nothing hangs. */
#include "make.h"
#include "../../host/data/loader.h"
#include "../../host/data/resize.h"
#include "../../host/util/path.h"
#include "../../host/util/rng.h"

enum { ITEMS = 11, WIDTH = 6, HEIGHT = 5, BATCH = 3, PLANE = WIDTH * HEIGHT };

static char *dir;
static struct clfcn_dataset *set;
static int items[ITEMS];
static float want_images[ITEMS][3][PLANE]; /* each item at network size, not flipped */
static uint8_t want_labels[ITEMS][PLANE];

static void make_item(int i)
{
    const int width = 4 + i % 5, height = 9 - i % 4;
    uint8_t pixels[3 * 9 * 9], mask[9 * 9];
    char name[32];
    struct clfcn_image im = {
        .width = width, .height = height, .channels = 3, .depth = 8
    };
    im.px.u8 = pixels;
    for (int k = 0; k < 3 * width * height; ++k) {
        pixels[k] = (uint8_t)rand();
    }
    for (int k = 0; k < width * height; ++k) {
        mask[k] = (uint8_t)(rand() % 3 ? rand() % 2 : 255);
    }
    snprintf(name, sizeof name, "images/%d.png", i);
    assert_int_equal(clfcn_png_write(in(dir, name), &im, NULL), CLFCN_OK);
    snprintf(name, sizeof name, "masks/%d.png", i);
    make_gray_file(in(dir, name), width, height, mask);
}

static int set_up(void **state)
{
    dir = make_dir();
    assert_int_equal(clfcn_path_mkdir(in(dir, "images"), 0777, NULL), CLFCN_OK);
    assert_int_equal(clfcn_path_mkdir(in(dir, "masks"), 0777, NULL), CLFCN_OK);
    make_text_file(in(dir, "classes.txt"), "a 0\nb 1\nignore 255\n");
    for (int i = 0; i < ITEMS; ++i) {
        make_item(i);
    }
    assert_int_equal(clfcn_dataset_open(dir, &set, NULL), CLFCN_OK);
    for (int i = 0; i < ITEMS; ++i) {
        struct clfcn_pair pair;
        items[i] = ITEMS - 1 - i; /* places and items must not be confused */
        assert_int_equal(clfcn_dataset_read(set, i, &pair, NULL), CLFCN_OK);
        clfcn_resize_to_input(&pair.image, WIDTH, HEIGHT, want_images[i][0], PLANE);
        clfcn_resize_labels(pair.labels, pair.image.width, pair.image.height,
                            want_labels[i], WIDTH, HEIGHT);
        clfcn_pair_free(&pair);
    }
    return 0;
}

static int tear_down(void **state)
{
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
    return 0;
}

static struct clfcn_loader_desc plain_desc(void)
{
    return (struct clfcn_loader_desc){ .set = set, .items = items, .item_count = ITEMS,
                                       .width = WIDTH, .height = HEIGHT, .batch = BATCH,
                                       .seed = 5 };
}

static struct clfcn_loader *create(const struct clfcn_loader_desc *desc)
{
    struct clfcn_loader *l;
    struct clfcn_err err;
    if (clfcn_loader_create(desc, &l, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return l;
}

static bool flipped(const struct clfcn_loader_desc *d, int epoch, int item)
{
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, d->seed, "augment", (uint64_t)epoch, (uint64_t)item);
    return d->augment.flip && clfcn_rng_below(&rng, 2) == 1;
}

/* Everything in a batch, from its position alone. */
static void check_batch(const struct clfcn_loader_desc *d, const struct clfcn_batch *b,
                        int epoch, int index)
{
    int order[ITEMS];
    int64_t labelled = 0;
    memcpy(order, items, sizeof order);
    if (d->shuffle) {
        struct clfcn_rng rng;
        clfcn_rng_init(&rng, d->seed, "shuffle", (uint64_t)epoch, 0);
        clfcn_rng_shuffle(&rng, order, ITEMS);
    }
    const int left = ITEMS - index * BATCH;
    assert_int_equal(b->epoch, epoch);
    assert_int_equal(b->index, index);
    assert_int_equal(b->count, left < BATCH ? left : BATCH);
    for (int i = 0; i < BATCH; ++i) {
        const bool real = i < b->count;
        const int item = order[index * BATCH + (real ? i : 0)];
        const bool flip = flipped(d, epoch, item);
        assert_int_equal(b->items[i], real ? item : -1);
        for (int k = 0; k < PLANE; ++k) {
            const int from = flip ? k / WIDTH * WIDTH + WIDTH - 1 - k % WIDTH : k;
            for (int c = 0; c < 3; ++c) {
                assert_true(b->images[(c * BATCH + i) * PLANE + k] ==
                            want_images[item][c][from]);
            }
            const int label = real ? want_labels[item][from] : CLFCN_IGNORE;
            assert_int_equal(b->labels[i * PLANE + k], label);
            labelled += label != CLFCN_IGNORE;
        }
    }
    assert_int_equal(b->labelled, labelled);
}

static void take_and_check(struct clfcn_loader *l, const struct clfcn_loader_desc *d,
                           int epoch, int index)
{
    const struct clfcn_batch *b;
    struct clfcn_err err;
    if (clfcn_loader_next(l, &b, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    check_batch(d, b, epoch, index);
    clfcn_loader_release(l, b);
}

static void test_content(void **state)
{
    static const size_t caches[] = { 0, 3 * PLANE * 13 + 5, 1 << 20 };
    for (int variant = 0; variant < 3 * 2 * 2 * 2; ++variant) {
        struct clfcn_loader_desc d = plain_desc();
        d.cache_bytes = caches[variant % 3];
        d.workers = variant / 3 % 2 ? 4 : 1;
        d.shuffle = variant / 6 % 2;
        d.augment.flip = d.shuffle;
        d.drop_last = variant / 12 % 2;
        struct clfcn_loader *l = create(&d);
        const int steps = d.drop_last ? 3 : 4;
        assert_int_equal(clfcn_loader_steps(l), steps);
        for (int i = 0; i < 3 * steps; ++i) {
            take_and_check(l, &d, i / steps, i % steps);
        }
        clfcn_loader_destroy(&l);
        assert_null(l);
    }
}

/* With everything on, too, a batch depends on its position alone: whatever the number of
 * workers, the room in the cache, and the way there. */
static void test_augmented_content(void **state)
{
    enum { STEPS = 4, EPOCHS = 3 };
    static float first_images[EPOCHS * STEPS][3 * BATCH * PLANE];
    static uint8_t first_labels[EPOCHS * STEPS][BATCH * PLANE];
    static const size_t caches[] = { 0, 5 * PLANE * 4, 1 << 20 };
    static const char *const lists[] = { "standard,vflip,noise", "vflip,contrast,noise" };
    for (int variant = 0; variant < 2 * 3 * 2; ++variant) {
        struct clfcn_loader_desc d = plain_desc();
        const bool fill = variant % 6 == 0;
        d.shuffle = true;
        d.cache_bytes = caches[variant % 3];
        d.workers = variant / 3 % 2 ? 4 : 1;
        assert_int_equal(clfcn_augment_parse(lists[variant / 6], &d.augment, NULL), 0);
        struct clfcn_loader *l = create(&d);
        for (int i = 0; i < EPOCHS * STEPS; ++i) {
            const int at = fill ? i : (i * 7 + variant) % (EPOCHS * STEPS);
            const struct clfcn_batch *b;
            assert_int_equal(clfcn_loader_seek(l, at / STEPS, at % STEPS, NULL), 0);
            assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_OK);
            if (fill) {
                memcpy(first_images[at], b->images, sizeof first_images[at]);
                memcpy(first_labels[at], b->labels, sizeof first_labels[at]);
            } else {
                assert_memory_equal(b->images, first_images[at], sizeof first_images[at]);
                assert_memory_equal(b->labels, first_labels[at], sizeof first_labels[at]);
            }
            int64_t labelled = 0;
            for (int k = 0; k < BATCH * PLANE; ++k) {
                labelled += b->labels[k] != CLFCN_IGNORE;
            }
            assert_int_equal(b->labelled, labelled);
            clfcn_loader_release(l, b);
        }
        clfcn_loader_destroy(&l);
    }
}

static void test_items_are_copied(void **state)
{
    int list[BATCH] = { 0, 1, 2 };
    struct clfcn_loader_desc d = plain_desc();
    const struct clfcn_batch *b;
    d.items = list;
    d.item_count = BATCH;
    struct clfcn_loader *l = create(&d);
    memset(list, 0x7f, sizeof list);
    for (int i = 0; i < 20; ++i) {
        assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_OK);
        assert_int_equal(b->items[2], 2);
        clfcn_loader_release(l, b);
    }
    clfcn_loader_destroy(&l);
}

static void test_epochs_differ(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    int orders[2][ITEMS], flips[2] = { 0, 0 };
    d.shuffle = true;
    d.augment.flip = true;
    struct clfcn_loader *l = create(&d);
    for (int epoch = 0; epoch < 2; ++epoch) {
        for (int i = 0; i < 4; ++i) {
            const struct clfcn_batch *b;
            assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_OK);
            for (int k = 0; k < b->count; ++k) {
                orders[epoch][i * BATCH + k] = b->items[k];
                flips[epoch] += flipped(&d, epoch, b->items[k]) << b->items[k];
            }
            clfcn_loader_release(l, b);
        }
    }
    assert_memory_not_equal(orders[0], orders[1], sizeof orders[0]);
    assert_int_not_equal(flips[0], flips[1]);
    assert_int_not_equal(flips[0], 0);
    clfcn_loader_destroy(&l);
}

/* Jump about at random, holding up to three batches across the jumps. */
static void test_seek(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    struct clfcn_rng rng;
    const struct clfcn_batch *held[3] = { NULL, NULL, NULL };
    int at[3][2] = { { 0 } };
    d.shuffle = true;
    d.augment.flip = true;
    d.workers = 3;
    d.cache_bytes = 5 * PLANE * 13;
    struct clfcn_loader *l = create(&d);
    clfcn_rng_init(&rng, 1, "seek", 0, 0);
    for (int round = 0; round < 300; ++round) {
        int epoch = (int)clfcn_rng_below(&rng, 5), index = (int)clfcn_rng_below(&rng, 5);
        assert_int_equal(clfcn_loader_seek(l, epoch, index, NULL), CLFCN_OK);
        if (index == 4) { /* past the last */
            ++epoch;
            index = 0;
        }
        for (uint32_t n = clfcn_rng_below(&rng, 3); n > 0; --n) {
            const int k = (int)clfcn_rng_below(&rng, 3);
            if (held[k]) {
                check_batch(&d, held[k], at[k][0], at[k][1]);
                clfcn_loader_release(l, held[k]);
            }
            assert_int_equal(clfcn_loader_next(l, &held[k], NULL), CLFCN_OK);
            at[k][0] = epoch;
            at[k][1] = index;
            check_batch(&d, held[k], epoch, index);
            epoch += index == 3;
            index = (index + 1) % 4;
        }
    }
    assert_int_equal(clfcn_loader_seek(l, 0, 5, NULL), CLFCN_EINVAL);
    assert_int_equal(clfcn_loader_seek(l, -1, 0, NULL), CLFCN_EINVAL);
    clfcn_loader_destroy(&l); /* with batches held */
}

static void test_holding(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    const struct clfcn_batch *b[16], *more;
    struct clfcn_err err;
    int n = 0, rc;
    d.ahead = 1;
    struct clfcn_loader *l = create(&d);
    while ((rc = clfcn_loader_next(l, &b[n], &err)) == CLFCN_OK && n < 15) {
        ++n;
    }
    assert_int_equal(rc, CLFCN_EINVAL); /* an error, not a wait without end */
    assert_contains(err.msg, "are held");
    assert_true(n >= 3);
    for (int i = 0; i < n; ++i) {
        check_batch(&d, b[i], i / 4, i % 4);
    }
    clfcn_loader_release(l, b[1]);
    clfcn_loader_release(l, NULL);
    assert_int_equal(clfcn_loader_next(l, &more, &err), CLFCN_OK);
    check_batch(&d, more, n / 4, n % 4);
    clfcn_loader_destroy(&l);
    clfcn_loader_destroy(&l);
    clfcn_loader_destroy(NULL);
}

static void test_error_comes_with_its_batch(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    const struct clfcn_batch *b;
    struct clfcn_err err;
    char *backup = strdup(in(dir, "kept"));
    assert_int_equal(rename(in(dir, "images/6.png"), backup), 0); /* in batch 1 of 4 */
    d.workers = 4;
    d.cache_bytes = 1 << 20;
    struct clfcn_loader *l = create(&d);
    for (int epoch = 0; epoch < 3; ++epoch) {
        take_and_check(l, &d, epoch, 0);
        assert_int_equal(clfcn_loader_next(l, &b, &err), CLFCN_EDATA);
        assert_null(b);
        assert_int_equal(err.code, CLFCN_EDATA);
        assert_contains(err.msg, "images/6.png");
        take_and_check(l, &d, epoch, 2);
        take_and_check(l, &d, epoch, 3);
    }
    assert_int_equal(rename(backup, in(dir, "images/6.png")), 0);
    assert_int_equal(clfcn_loader_seek(l, 9, 1, &err), CLFCN_OK); /* repaired meanwhile */
    take_and_check(l, &d, 9, 1);
    clfcn_loader_destroy(&l);
    free(backup);
}

static void test_destroy_at_any_time(void **state)
{
    for (int round = 0; round < 200; ++round) {
        struct clfcn_loader_desc d = plain_desc();
        const struct clfcn_batch *b;
        d.workers = 1 + round % 4;
        d.cache_bytes = (size_t)(round % 2) << 20;
        struct clfcn_loader *l = create(&d);
        if (round % 3 == 0) {
            assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_OK);
        }
        if (round % 5 == 0) {
            assert_int_equal(clfcn_loader_seek(l, 3, 2, NULL), CLFCN_OK);
        }
        clfcn_loader_destroy(&l);
    }
}

static void test_too_few_items(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    const struct clfcn_batch *b;
    struct clfcn_err err;
    d.item_count = 2;
    d.drop_last = true;
    struct clfcn_loader *l = create(&d);
    assert_int_equal(clfcn_loader_steps(l), 0);
    assert_int_equal(clfcn_loader_next(l, &b, &err), CLFCN_EDATA);
    assert_contains(err.msg, "2 images, too few for a batch of 3");
    clfcn_loader_destroy(&l);

    d.batch = 0;
    assert_int_equal(clfcn_loader_create(&d, &l, &err), CLFCN_EINVAL);
    assert_null(l);
    d.batch = 1 << 30;
    d.width = d.height = 1 << 30;
    assert_int_equal(clfcn_loader_create(&d, &l, &err), CLFCN_ENOMEM);
    assert_null(l);
}

static void test_wait_is_counted_once(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    struct clfcn_loader *l = create(&d);
    for (int i = 0; i < 40; ++i) {
        take_and_check(l, &d, i / 4, i % 4);
    }
    const double waited = clfcn_loader_take_wait(l);
    assert_true(waited > 0.0 && waited < 60.0);
    assert_true(clfcn_loader_take_wait(l) == 0.0);
    clfcn_loader_destroy(&l);
}

/* One loader's batch, and the same batch of several loaders laid side by side. */
static void check_parts(const struct clfcn_batch *whole, int of_batch,
                        struct clfcn_loader *const *parts, const int *shares, int count)
{
    int64_t labelled = 0;
    int first = 0;
    for (int r = 0; r < count; ++r) {
        const struct clfcn_batch *b;
        assert_int_equal(clfcn_loader_next(parts[r], &b, NULL), CLFCN_OK);
        assert_int_equal(b->epoch, whole->epoch);
        assert_int_equal(b->index, whole->index);
        assert_int_equal(b->count, shares[r]);
        assert_memory_equal(b->items, whole->items + first,
                            (size_t)shares[r] * sizeof *b->items);
        assert_memory_equal(b->labels, whole->labels + first * PLANE,
                            (size_t)(shares[r] * PLANE));
        for (int c = 0; c < 3; ++c) {
            assert_memory_equal(b->images + c * shares[r] * PLANE,
                                whole->images + (c * of_batch + first) * PLANE,
                                (size_t)(shares[r] * PLANE) * sizeof *b->images);
        }
        labelled += b->labelled;
        first += shares[r];
        clfcn_loader_release(parts[r], b);
    }
    assert_int_equal(first, of_batch);
    assert_true(labelled == whole->labelled);
}

/* Whatever the shares, all parts of a batch are the batch, through epochs and after a
 * jump into the middle of one. */
static void test_parts_make_the_batch(void **state)
{
    enum { WHOLE = 5, STEPS = ITEMS / WHOLE, MAX_PARTS = 4 };
    static const int shares[][MAX_PARTS] = {
        { 5 }, { 1, 4 }, { 3, 2 }, { 2, 1, 2 }, { 1, 3, 1 }, { 1, 1, 2, 1 }
    };
    static const int counts[] = { 1, 2, 2, 3, 3, 4 };
    for (int v = 0; v < 6 * 2; ++v) {
        struct clfcn_loader *whole, *parts[MAX_PARTS];
        struct clfcn_loader_desc d = plain_desc();
        const struct clfcn_batch *b;
        d.batch = WHOLE;
        d.shuffle = d.drop_last = true;
        d.cache_bytes = v % 2 ? 1 << 20 : 5 * PLANE * 4;
        assert_int_equal(clfcn_augment_parse("standard,noise", &d.augment, NULL), 0);
        whole = create(&d);
        d.of_batch = WHOLE;
        for (int r = 0; r < counts[v / 2]; ++r) {
            d.batch = shares[v / 2][r];
            d.workers = 1 + r;
            parts[r] = create(&d);
            assert_int_equal(clfcn_loader_steps(parts[r]), STEPS);
            d.first += d.batch;
        }
        for (int i = 0; i < 4 * STEPS; ++i) {
            if (i == 2 * STEPS) {
                assert_int_equal(clfcn_loader_seek(whole, 7, 1, NULL), CLFCN_OK);
                for (int r = 0; r < counts[v / 2]; ++r) {
                    assert_int_equal(clfcn_loader_seek(parts[r], 7, 1, NULL), CLFCN_OK);
                }
            }
            assert_int_equal(clfcn_loader_next(whole, &b, NULL), CLFCN_OK);
            check_parts(b, WHOLE, parts, shares[v / 2], counts[v / 2]);
            clfcn_loader_release(whole, b);
        }
        clfcn_loader_destroy(&whole);
        for (int r = 0; r < counts[v / 2]; ++r) {
            clfcn_loader_destroy(&parts[r]);
        }
    }
}

/* Take the pictures away, or put them back, that are in no batch's places 1 and 2 of
 * 5. */
static void move_others(bool away)
{
    char *hidden = strdup(in(dir, "away"));
    assert_true(!away || clfcn_path_mkdir(hidden, 0777, NULL) == CLFCN_OK);
    for (int i = 0; i < ITEMS; ++i) {
        if (i % 5 < 1 || i % 5 > 2 || i == ITEMS - 1) {
            char name[32], place[32];
            const char *stem = clfcn_dataset_item_name(set, items[i]);
            snprintf(name, sizeof name, "images/%s.png", stem);
            snprintf(place, sizeof place, "%s.png", stem);
            const char *here = in(dir, name), *there = in(hidden, place);
            assert_int_equal(away ? rename(here, there) : rename(there, here), 0);
        }
    }
    free(hidden);
}

/* The files of other parts, and of the items that fill no batch, are not looked at. */
static void test_a_part_reads_its_own_files(void **state)
{
    struct clfcn_loader_desc d = plain_desc();
    const struct clfcn_batch *b;
    d.batch = 2;
    d.of_batch = 5;
    d.first = 1;
    d.drop_last = true;
    move_others(true);
    struct clfcn_loader *l = create(&d);
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_OK);
        assert_int_equal(b->items[0], items[i % 2 * 5 + 1]);
        assert_int_equal(b->items[1], items[i % 2 * 5 + 2]);
        clfcn_loader_release(l, b);
    }
    clfcn_loader_destroy(&l);
    d.batch = 3; /* with one whose file is missing */
    l = create(&d);
    assert_int_equal(clfcn_loader_next(l, &b, NULL), CLFCN_EDATA);
    clfcn_loader_destroy(&l);
    move_others(false);
}

static void test_no_such_part(void **state)
{
    static const int bad[][2] = { { -1, 0 }, { 2, 0 }, { 5, 3 }, { 5, -1 }, { 0, 1 },
                                  { 5, INT32_MAX } };
    struct clfcn_loader_desc d = plain_desc();
    struct clfcn_loader *l;
    struct clfcn_err err;
    d.drop_last = true;
    for (int i = 0; i < 6; ++i) { /* BATCH is 3 */
        d.of_batch = bad[i][0];
        d.first = bad[i][1];
        assert_int_equal(clfcn_loader_create(&d, &l, &err), CLFCN_EINVAL);
        assert_contains(err.msg, "no part of a batch of");
        assert_null(l);
    }
    d.of_batch = 5;
    d.first = 2;
    d.drop_last = false;
    assert_int_equal(clfcn_loader_create(&d, &l, &err), CLFCN_EINVAL);
    assert_contains(err.msg, "drop_last");
    d.drop_last = true;
    d.item_count = 4;
    l = create(&d);
    const struct clfcn_batch *b;
    assert_int_equal(clfcn_loader_steps(l), 0);
    assert_int_equal(clfcn_loader_next(l, &b, &err), CLFCN_EDATA);
    assert_contains(err.msg, "4 images, too few for a batch of 5");
    clfcn_loader_destroy(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_augmented_content),
        cmocka_unit_test(test_items_are_copied),
        cmocka_unit_test(test_epochs_differ),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_holding),
        cmocka_unit_test(test_error_comes_with_its_batch),
        cmocka_unit_test(test_destroy_at_any_time),
        cmocka_unit_test(test_too_few_items),
        cmocka_unit_test(test_wait_is_counted_once),
        cmocka_unit_test(test_parts_make_the_batch),
        cmocka_unit_test(test_a_part_reads_its_own_files),
        cmocka_unit_test(test_no_such_part),
    };
    return cmocka_run_group_tests_name("loader", tests, set_up, tear_down);
}
