/* test_formats.c - data sets as they come: which format is recognised, what each finds,
 * and what can be wrong with it. */
#include "make.h"
#include "../../host/data/format.h"
#include "../../host/util/path.h"
#include <png.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_folder(const char *dir, const char *name)
{
    assert_int_equal(clfcn_path_mkdir(in(dir, name), 0777, NULL), CLFCN_OK);
}

static void make_picture(const char *dir, const char *name, int i)
{
    make_rgb_file(in(dir, name), 3, 2, (uint8_t)i, 20, 30);
}

static void write_png(const char *path, int color_type, int channels,
                      const uint8_t *values)
{
    uint16_t samples[18];
    for (int i = 0; i < 6 * channels; ++i) {
        samples[i] = values[i];
    }
    struct png_spec spec = {
        .width = 3, .height = 2, .depth = 8, .color_type = color_type, .samples = samples
    };
    struct bytes png = make_png(&spec);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(png.data, 1, png.size, f), png.size);
    fclose(f);
    free(png.data);
}

static struct clfcn_dataset *open_ok(const char *dir, const char *format)
{
    struct clfcn_dataset *set;
    struct clfcn_err err;
    if (clfcn_dataset_open(dir, &set, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_string_equal(clfcn_dataset_format(set), format);
    return set;
}

static void expect_error(const char *dir, const char *part, const char *other)
{
    struct clfcn_dataset *set;
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_dataset_open(dir, &set, &err), CLFCN_EDATA);
    assert_null(set);
    assert_contains(err.msg, part);
    assert_contains(err.msg, other);
    assert_null(strchr(err.msg, '\n'));
}

static void expect_labels(const struct clfcn_dataset *set, int i, const uint8_t *want)
{
    struct clfcn_pair pair;
    struct clfcn_err err;
    if (clfcn_dataset_read(set, i, &pair, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_memory_equal(pair.labels, want, 6);
    clfcn_pair_free(&pair);
}

static void expect_split(const struct clfcn_dataset *set, int train_want, int val_want)
{
    int *train, *val, trains, vals;
    assert_int_equal(
        clfcn_dataset_split(set, CLFCN_OWN_SPLIT, 0, &train, &trains, &val, &vals, NULL),
        CLFCN_OK);
    assert_int_equal(trains, train_want);
    assert_int_equal(vals, val_want);
    for (int i = 0; i < vals; ++i) {
        assert_int_equal(clfcn_dataset_part(set, val[i]), CLFCN_PART_VAL);
    }
    free(train);
    free(val);
}

static const uint8_t voc_values[6] = { 0, 1, 20, 255, 15, 7 };

/* Four pictures, of which three have masks: a palette one, a gray one, one of colours. */
static char *make_voc(void)
{
    static const uint8_t colors[18] = { 0,   0,   0,   128, 0, 0, 0,   64,  128,
                                        224, 224, 192, 128, 0, 0, 192, 128, 128 };
    char *dir = make_dir();
    make_folder(dir, "JPEGImages");
    make_folder(dir, "SegmentationClass");
    make_folder(dir, "ImageSets/Segmentation");
    make_picture(dir, "JPEGImages/2007_1.png", 1);
    make_picture(dir, "JPEGImages/2007_2.png", 2);
    make_picture(dir, "JPEGImages/with blank.png", 3);
    make_picture(dir, "JPEGImages/no mask.png", 4);
    write_png(in(dir, "SegmentationClass/2007_1.png"), PNG_COLOR_TYPE_PALETTE, 1,
              voc_values);
    write_png(in(dir, "SegmentationClass/2007_2.png"), PNG_COLOR_TYPE_GRAY, 1,
              voc_values);
    write_png(in(dir, "SegmentationClass/with blank.png"), PNG_COLOR_TYPE_RGB, 3, colors);
    make_text_file(in(dir, "ImageSets/Segmentation/train.txt"),
                   "2007_1\r\n\r\nwith blank\r\n");
    make_text_file(in(dir, "ImageSets/Segmentation/val.txt"), "2007_2"); /* no newline */
    return dir;
}

static void test_voc(void **state)
{
    static const uint8_t want_colors[6] = { 0, 1, 20, 255, 1, 15 };
    char *dir = make_voc();
    struct clfcn_dataset *set = open_ok(dir, "voc");
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_int_equal(clfcn_dataset_classes(set), 21);
    assert_string_equal(clfcn_dataset_class_name(set, 15), "person");
    assert_string_equal(clfcn_dataset_item_name(set, 1), "with blank");
    assert_true(clfcn_dataset_has_split(set));
    expect_split(set, 2, 1);
    expect_labels(set, 0, voc_values);
    expect_labels(set, 1, want_colors);
    expect_labels(set, 2, voc_values);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_voc_without_lists(void **state)
{
    char *dir = make_voc();
    remove(in(dir, "ImageSets/Segmentation/train.txt"));
    remove(in(dir, "ImageSets/Segmentation/val.txt"));
    struct clfcn_dataset *set = open_ok(dir, "voc"); /* what has a mask */
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_false(clfcn_dataset_has_split(set));
    clfcn_dataset_destroy(&set);
    make_text_file(in(dir, "ImageSets/Segmentation/trainval.txt"), "2007_2\n2007_1\n");
    make_text_file(in(dir, "classes.txt"), "a 0-100\nb 101-255\n"); /* own classes */
    set = open_ok(dir, "voc");
    assert_int_equal(clfcn_dataset_size(set), 2);
    assert_int_equal(clfcn_dataset_classes(set), 2);
    assert_false(clfcn_dataset_has_split(set));
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

/* As the annotation tool CVAT writes it: classes of one's own, matched by colour. */
static void test_voc_labelmap(void **state)
{
    static const uint8_t colors[18] = { 9, 9, 9, 0, 0, 0, 1, 2, 3,
                                        9, 9, 9, 0, 0, 0, 0, 0, 0 };
    static const uint8_t want[6] = { 1, 0, 2, 1, 0, 0 };
    char *dir = make_voc();
    make_text_file(in(dir, "labelmap.txt"), "# label:color_rgb:parts:actions\n"
                                            "background:0,0,0::\nroad:9,9,9::\n"
                                            "traffic light:1,2,3::\n");
    write_png(in(dir, "SegmentationClass/2007_1.png"), PNG_COLOR_TYPE_RGB, 3, colors);
    struct clfcn_dataset *set = open_ok(dir, "voc");
    assert_int_equal(clfcn_dataset_classes(set), 3);
    assert_string_equal(clfcn_dataset_class_name(set, 2), "traffic_light");
    expect_labels(set, 0, want);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_voc_hostile(void **state)
{
    char *dir = make_voc();
    const char *train = "ImageSets/Segmentation/train.txt";
    make_text_file(in(dir, train), "2007_1\n../../etc/passwd\n");
    expect_error(dir, "train.txt:2: there is no picture called '../../etc/passwd'", "");
    make_text_file(in(dir, train), "no mask\n");
    expect_error(dir, "train.txt:1: there is no mask called 'no mask'", "");
    make_text_file(in(dir, train), "\n# all of them\n \n");
    expect_error(dir, "train.txt: names no picture", "--val-fraction");
    make_text_file(in(dir, train), "2007_1\n");
    remove(in(dir, "JPEGImages/2007_2.png"));
    expect_error(dir, "val.txt:1", "no picture called '2007_2'");
    remove_dir(dir);
}

static void test_voc_unknown_value(void **state)
{
    static const uint8_t values[6] = { 0, 0, 21, 128, 0, 0 };
    char *dir = make_voc();
    struct clfcn_unknown unknown = { 0 };
    struct clfcn_pair pair;
    struct clfcn_err err;
    write_png(in(dir, "SegmentationClass/2007_1.png"), PNG_COLOR_TYPE_PALETTE, 1, values);
    struct clfcn_dataset *set = open_ok(dir, "voc");
    assert_int_equal(clfcn_dataset_read(set, 0, &pair, &err), CLFCN_EDATA);
    assert_contains(err.msg, "pixel (2, 0) has palette index 21, which is no class");
    assert_int_equal(clfcn_dataset_survey(set, 0, &pair, &unknown, &err), CLFCN_OK);
    assert_int_equal(unknown.count, 2); /* 128 is a gray of the colours, not an index */
    assert_int_equal(unknown.pixels, 2);
    assert_int_equal(unknown.list[1].value, 128);
    assert_int_equal(pair.labels[2], CLFCN_IGNORE);
    clfcn_pair_free(&pair);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static const uint8_t camvid_colors[18] = { 64, 128, 64, 192, 0,   128, 128, 128, 128,
                                           0,  0,   0,  64,  128, 64,  9,   9,   9 };

static char *make_camvid(const char *table, const char *text)
{
    static const char *const parts[] = { "train", "val" };
    char *dir = make_dir(), name[64];
    make_text_file(in(dir, table), text);
    for (int p = 0; p < 2; ++p) {
        snprintf(name, sizeof name, "%s_labels", parts[p]);
        make_folder(dir, parts[p]);
        make_folder(dir, name);
        for (int i = 0; i < 2 - p; ++i) {
            snprintf(name, sizeof name, "%s/%d.png", parts[p], i);
            make_picture(dir, name, i + 2 * p);
            snprintf(name, sizeof name, "%s_labels/%d_L.png", parts[p], i);
            write_png(in(dir, name), PNG_COLOR_TYPE_RGB, 3, camvid_colors);
        }
    }
    return dir;
}

static void test_camvid(void **state)
{
    static const uint8_t want[6] = { 0, 1, 2, 255, 0, 3 };
    char *dir = make_camvid("label_colors.txt", "64 128 64\tAnimal\r\n"
                                                "192 0 128\t\tArchway\r\n"
                                                "128 128 128 Sky\r\n"
                                                "9 9 9 Sign Symbol\r\n"
                                                "0 0 0 Void\r\n");
    struct clfcn_dataset *set = open_ok(dir, "camvid");
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_int_equal(clfcn_dataset_classes(set), 4); /* Void is none */
    assert_string_equal(clfcn_dataset_class_name(set, 3), "Sign_Symbol");
    expect_split(set, 2, 1);
    expect_labels(set, 0, want);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

/* A palette whose entry i is (7i + 1, 255 - i, 3i): matched by colour, not by index. */
static void test_camvid_palette(void **state)
{
    static const uint8_t indices[6] = { 0, 2, 0, 2, 2, 0 },
                         want[6] = { 1, 0, 1, 0, 0, 1 };
    char *dir = make_camvid("class_dict.csv", "name,r,g,b\n\"two\",15,253,6\n"
                                              "none, 1, 255, 0\n");
    write_png(in(dir, "train_labels/0_L.png"), PNG_COLOR_TYPE_PALETTE, 1, indices);
    struct clfcn_dataset *set = open_ok(dir, "camvid");
    expect_labels(set, 0, want);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_camvid_lists(void **state)
{
    char *dir = make_dir();
    make_text_file(in(dir, "label_colors.txt"), "1 2 3 a\n4 5 6 b\n");
    make_folder(dir, "images");
    make_folder(dir, "labels");
    for (int i = 0; i < 3; ++i) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        make_picture(dir, name, i);
        snprintf(name, sizeof name, "labels/%d.png", i);
        make_rgb_file(in(dir, name), 3, 2, 1, 2, 3);
    }
    struct clfcn_dataset *set = open_ok(dir, "camvid");
    assert_false(clfcn_dataset_has_split(set));
    clfcn_dataset_destroy(&set);
    make_text_file(in(dir, "train.txt"), "0\n");
    make_text_file(in(dir, "val.txt"), "2\n");
    set = open_ok(dir, "camvid");
    assert_int_equal(clfcn_dataset_size(set), 2);
    expect_split(set, 1, 1);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_bad_color_tables(void **state)
{
    static const char *const bad[][2] = {
        { "1 2 3 a\n4 5 6 b\n1 2 3 c\n",
          "label_colors.txt:3: value 1,2,3 is listed twice" },
        { "1 2 3 a\n\n4 5 6 a\n", "label_colors.txt:3: class 'a' is there already" },
        { "1 2 3 a\n4 5 b\n", "label_colors.txt:2: neither 'R G B NAME'" },
        { "1 2 3 a\n4 5 256 b\n", "label_colors.txt:2: neither 'R G B NAME'" },
        { "1 2 256 a\n4 5 6 b\n7 8 9 c\n", "label_colors.txt:1: neither 'R G B NAME'" },
        { "1 2 3 a\n4 5 6 b\n7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 "
          "9 1 2 3 4 5\n",
          "label_colors.txt:3: neither 'R G B NAME'" },
        { "1 2 3 a\n0 0 0 void\n", "only one class" },
        { "", "no class" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        char *dir = make_camvid("label_colors.txt", bad[i][0]);
        expect_error(dir, bad[i][1], "label_colors.txt");
        remove_dir(dir);
    }
}

static char *make_cityscapes(void)
{
    static const uint8_t ids[6] = { 7, 33, 0, 29, 31, 255 };
    static const char *const bases[] = { "train/bonn/bonn_0", "train/ulm/ulm_0",
                                         "val/jena/jena_0" };
    static const char *const cities[] = { "train/bonn", "train/ulm", "val/jena" };
    char *dir = make_dir(), name[96];
    for (int i = 0; i < 3; ++i) {
        snprintf(name, sizeof name, "leftImg8bit/%s", cities[i]);
        make_folder(dir, name);
        snprintf(name, sizeof name, "gtFine/%s", cities[i]);
        make_folder(dir, name);
        snprintf(name, sizeof name, "leftImg8bit/%s_leftImg8bit.png", bases[i]);
        make_picture(dir, name, i);
        snprintf(name, sizeof name, "gtFine/%s_gtFine_labelIds.png", bases[i]);
        make_gray_file(in(dir, name), 3, 2, ids);
        snprintf(name, sizeof name, "gtFine/%s_gtFine_polygons.json", bases[i]);
        make_text_file(in(dir, name), "{}");
    }
    return dir;
}

static void test_cityscapes(void **state)
{
    static const uint8_t want[6] = { 0, 18, 255, 255, 16, 255 };
    char *dir = make_cityscapes();
    struct clfcn_dataset *set = open_ok(dir, "cityscapes");
    assert_int_equal(clfcn_dataset_size(set), 3);
    assert_int_equal(clfcn_dataset_classes(set), 19);
    assert_string_equal(clfcn_dataset_item_name(set, 1), "ulm_0");
    expect_split(set, 2, 1);
    expect_labels(set, 2, want);
    clfcn_dataset_destroy(&set);
    remove(in(dir, "gtFine/val/jena/jena_0_gtFine_labelIds.png"));
    expect_error(dir, "jena_0_gtFine_labelIds.png: no such file",
                 "jena_0_leftImg8bit.png");
    remove(in(dir, "leftImg8bit/val/jena/jena_0_leftImg8bit.png"));
    expect_error(dir, "leftImg8bit/val: no picture", "");
    remove_dir(dir);
}

static char *make_listed(void)
{
    static const uint8_t values[6] = { 0, 1, 0, 1, 1, 1 };
    char *dir = make_dir();
    make_folder(dir, "images");
    make_folder(dir, "masks");
    make_folder(dir, "else where");
    make_picture(dir, "images/a.png", 1);
    make_picture(dir, "images/b.c.png", 2);
    make_picture(dir, "else where/x y.png", 3);
    make_gray_file(in(dir, "masks/a.png"), 3, 2, values);
    make_gray_file(in(dir, "masks/b.c.png"), 3, 2, values);
    make_text_file(in(dir, "classes.txt"), "zero 0\none 1\n");
    return dir;
}

static void test_list(void **state)
{
    static const uint8_t want[6] = { 0, 1, 0, 1, 1, 1 };
    char *dir = make_listed();
    const char *list = in(dir, "list.txt");
    make_text_file(list, "\xef\xbb\xbf# pictures\r\nimages/a.png\tmasks/a.png\ttrain\r\n"
                         "else where/x y.png\tmasks/../masks/b.c.png\tval\r\n");
    struct clfcn_dataset *set = open_ok(list, "list");
    assert_int_equal(clfcn_dataset_size(set), 2);
    assert_string_equal(clfcn_dataset_item_name(set, 1), "x y");
    expect_split(set, 1, 1);
    expect_labels(set, 1, want);
    clfcn_dataset_destroy(&set);

    make_text_file(list, "a\nb.c\nb.c.png\nimages/a.png\n");
    set = open_ok(list, "list");
    assert_int_equal(clfcn_dataset_size(set), 4);
    assert_string_equal(clfcn_dataset_item_name(set, 2), "b.c");
    assert_false(clfcn_dataset_has_split(set));
    clfcn_dataset_destroy(&set);

    char absolute[9000];
    snprintf(absolute, sizeof absolute, "%s\t%s\n", in(dir, "images/a.png"),
             in(dir, "masks/a.png"));
    make_text_file(list, absolute);
    set = open_ok(list, "list");
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_list_hostile(void **state)
{
    static const char *const bad[][2] = {
        { "../../etc/passwd\tmasks/a.png\n", "list.txt:1: '../../etc/passwd' leads out" },
        { "images/a.png\timages/../../x.png\n", "leads out of the list's folder" },
        { "images/a.png\tmasks/none.png\n", "masks/none.png: no such file" },
        { "images/a.png\tmasks\n", "masks: no such file" },
        { "images/a.png\tpipe.png\n", "pipe.png: no such file" },
        { "a\n\n../images/a\n", "list.txt:3: no picture '../images/a'" },
        { "a\nx\n", "list.txt:2: no picture 'x'" },
        { "images/a.png\tmasks/a.png\ttest\n", "'test' is neither train nor val" },
        { "\n#\n", "list.txt: names no picture" },
    };
    char *dir = make_listed();
    const char *list = in(dir, "list.txt");
    assert_int_equal(mkfifo(in(dir, "pipe.png"), 0600), 0); /* would be read for ever */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        make_text_file(list, bad[i][0]);
        expect_error(list, bad[i][1], "");
    }
    FILE *f = fopen(list, "wb"); /* as a picture given for a list by mistake */
    assert_non_null(f);
    fwrite("a\0b\n", 1, 4, f);
    fclose(f);
    expect_error(list, "list.txt: not a text file", "");
    remove(in(dir, "classes.txt"));
    make_text_file(list, "a\n");
    expect_error(list, "classes.txt", "");
    remove_dir(dir);
}

/* Spoil a few bytes of text, and open path with the result in its file. */
static void open_spoilt(const char *path, const char *file, const char *good,
                        uint32_t *random)
{
    static const char bytes[] = "\0\t\r\n#/., \"-9255a\xff";
    char text[128];
    const size_t n = strlen(good);
    snprintf(text, sizeof text, "%s", good);
    for (int k = 0; k < 4; ++k) {
        *random = *random * 1664525u + 1013904223u;
        text[(*random >> 8) % n] = bytes[(*random >> 24) % (sizeof bytes - 1)];
    }
    make_text_file(file, text);
    struct clfcn_dataset *set;
    struct clfcn_err err = { 0 };
    const int rc = clfcn_dataset_open(path, &set, &err);
    assert_true(rc == CLFCN_OK ? set != NULL : rc == CLFCN_EDATA && !set);
    assert_true(rc == CLFCN_OK || (err.msg[0] && !strchr(err.msg, '\n')));
    clfcn_dataset_destroy(&set);
}

/* Whatever stands in a list or a colour table, opening ends in a set or one line. */
static void test_random_edits(void **state)
{
    char *listed = make_listed(), *camvid = make_camvid("label_colors.txt", "");
    uint32_t random = 1;
    for (int i = 0; i < 300; ++i) {
        open_spoilt(in(listed, "list.txt"), in(listed, "list.txt"),
                    "images/a.png\tmasks/a.png\ttrain\r\nb.c\n# x\na.png\n", &random);
        open_spoilt(camvid, in(camvid, "label_colors.txt"),
                    "name,r,g,b\none,4,5,6\n0 0 0 Void\n\n1 2 3 a b\n", &random);
    }
    remove_dir(listed);
    remove_dir(camvid);
}

static void test_symbolic_links(void **state)
{
    char *dir = make_listed(), target[4096];
    snprintf(target, sizeof target, "%s", in(dir, "images/a.png"));
    assert_int_equal(symlink(target, in(dir, "images/link.png")), 0);
    assert_int_equal(symlink("a.png", in(dir, "masks/link.png")), 0);
    struct clfcn_dataset *set = open_ok(dir, "plain"); /* links are followed */
    assert_int_equal(clfcn_dataset_size(set), 3);
    clfcn_dataset_destroy(&set);
    assert_int_equal(symlink("nowhere.png", in(dir, "images/dangling.png")), 0);
    set = open_ok(dir, "plain"); /* as if it were not there */
    assert_int_equal(clfcn_dataset_size(set), 3);
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

static void test_choice(void **state)
{
    char *dir = make_dir();
    struct clfcn_dataset *set;
    struct clfcn_err err;
    expect_error(dir, "no data set recognised", "leftImg8bit/ and gtFine/ (cityscapes)");
    make_folder(dir, "JPEGImages");
    expect_error(dir, "SegmentationClass: no such folder", "");
    assert_int_equal(clfcn_dataset_open_as(dir, "coco", &set, &err), CLFCN_EINVAL);
    assert_contains(err.msg, "'coco'");
    assert_contains(err.msg, "cityscapes");
    assert_int_equal(clfcn_dataset_open_as(dir, "plain", &set, &err), CLFCN_EDATA);
    assert_contains(err.msg, "images: no such folder");
    assert_int_equal(clfcn_dataset_open_as(dir, "cityscapes", &set, &err), CLFCN_EDATA);
    assert_contains(err.msg, "no picture with a mask");
    remove_dir(dir);
    dir = make_voc();
    assert_int_equal(clfcn_dataset_open_as(dir, "voc", &set, &err), CLFCN_OK);
    assert_string_equal(clfcn_dataset_why(set), "as told");
    clfcn_dataset_destroy(&set);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_voc),
        cmocka_unit_test(test_voc_without_lists),
        cmocka_unit_test(test_voc_labelmap),
        cmocka_unit_test(test_voc_hostile),
        cmocka_unit_test(test_voc_unknown_value),
        cmocka_unit_test(test_camvid),
        cmocka_unit_test(test_camvid_palette),
        cmocka_unit_test(test_camvid_lists),
        cmocka_unit_test(test_bad_color_tables),
        cmocka_unit_test(test_cityscapes),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_list_hostile),
        cmocka_unit_test(test_random_edits),
        cmocka_unit_test(test_symbolic_links),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
