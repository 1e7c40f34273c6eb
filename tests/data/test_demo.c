/* test_demo.c - the built-in set: the same on every machine, all classes, and readable
 * back. */
#include "make.h"
#include "../../host/data/dataset.h"
#include "../../host/util/hash.h"

static uint64_t hash_item(int i)
{
    struct clfcn_pair pair;
    assert_int_equal(clfcn_demo_draw(i, &pair, NULL), CLFCN_OK);
    const size_t pixels = (size_t)pair.image.width * (size_t)pair.image.height;
    uint64_t h = clfcn_hash(CLFCN_HASH_INIT, pair.image.px.u8, 3 * pixels);
    h = clfcn_hash(h, pair.labels, pixels);
    clfcn_pair_free(&pair);
    return h;
}

/* Figures in reports are comparable only if everybody's set has the same bits. */
static void test_same_everywhere(void **state)
{
    assert_int_equal(hash_item(0), UINT64_C(0x9705af0b8e63f80));
    assert_int_equal(hash_item(7), UINT64_C(0xb9998bbc6c7ea647));
    assert_int_equal(hash_item(CLFCN_DEMO_COUNT - 1), UINT64_C(0x6a3f47b4c481680f));
}

static void test_every_class_has_its_share(void **state)
{
    struct clfcn_dataset *set;
    double share[5] = { 0 }, total = 0;
    assert_int_equal(clfcn_dataset_open("demo", &set, NULL), CLFCN_OK);
    assert_int_equal(clfcn_dataset_size(set), CLFCN_DEMO_COUNT);
    assert_int_equal(clfcn_dataset_classes(set), 5);
    assert_string_equal(clfcn_dataset_class_name(set, 0), "background");
    assert_string_equal(clfcn_dataset_item_name(set, 17), "demo-0017");
    for (int i = 0; i < 60; ++i) {
        uint8_t *labels;
        int width, height;
        assert_int_equal(
            clfcn_dataset_read_labels(set, i, &labels, &width, &height, NULL), 0);
        assert_in_range(width, 160, 224);
        assert_in_range(height, 128, 192);
        for (int k = 0; k < width * height; ++k) {
            assert_in_range(labels[k], 0, 4);
            share[labels[k]] += 1;
            total += 1;
        }
        free(labels);
    }
    assert_true(share[0] > 0.5 * total && share[0] < 0.9 * total);
    for (int c = 1; c < 5; ++c) {
        assert_true(share[c] > 0.025 * total);
    }
    clfcn_dataset_destroy(&set);
}

static void test_written_set_reads_back(void **state)
{
    char *dir = make_dir();
    struct clfcn_dataset *set;
    struct clfcn_pair drawn, read;
    struct clfcn_err err;
    assert_int_equal(clfcn_demo_write(in(dir, "a/b"), 3, &err), CLFCN_OK);
    assert_int_equal(clfcn_dataset_open(in(dir, "a/b"), &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_string_equal(clfcn_dataset_class_name(set, 4), "ring");
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(clfcn_demo_draw(i, &drawn, &err), CLFCN_OK);
        assert_int_equal(clfcn_dataset_read(set, i, &read, &err), CLFCN_OK);
        assert_int_equal(read.image.width, drawn.image.width);
        assert_int_equal(read.image.height, drawn.image.height);
        const size_t pixels = (size_t)read.image.width * (size_t)read.image.height;
        assert_memory_equal(read.image.px.u8, drawn.image.px.u8, 3 * pixels);
        assert_memory_equal(read.labels, drawn.labels, pixels);
        clfcn_pair_free(&drawn);
        clfcn_pair_free(&read);
    }
    clfcn_dataset_destroy(&set);
    make_text_file(in(dir, "file"), "");
    assert_int_equal(clfcn_demo_write(in(dir, "file"), 1, &err), CLFCN_EIO);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_everywhere),
        cmocka_unit_test(test_every_class_has_its_share),
        cmocka_unit_test(test_written_set_reads_back),
    };
    return cmocka_run_group_tests_name("demo", tests, NULL, NULL);
}
