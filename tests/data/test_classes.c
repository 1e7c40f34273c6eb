/* test_classes.c - the grammar of classes.txt, and masks to labels. */
#include "make.h"
#include "../../host/data/classes.h"
#include "../../host/util/rng.h"

static struct clfcn_classes parse(const char *text)
{
    struct clfcn_classes c;
    struct clfcn_err err = { 0 };
    if (clfcn_classes_parse(text, "classes.txt", &c, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return c;
}

static void assert_rule(const struct clfcn_classes *c, int i, bool rgb, uint32_t lo,
                        uint32_t hi, int label)
{
    assert_true(i < c->rule_count);
    assert_int_equal(c->rules[i].rgb, rgb);
    assert_int_equal(c->rules[i].lo, lo);
    assert_int_equal(c->rules[i].hi, hi);
    assert_int_equal(c->rules[i].label, label);
}

static void test_grammar(void **state)
{
    struct clfcn_classes c = parse("\xef\xbb\xbf# a comment\r\n"
                                   "\n"
                                   "  bag 0-127 #10fF03 # the bag\r\n"
                                   "ground\t128 130,131 140-149,160 # face\n"
                                   "sky 70, 130 ,180 300\n"
                                   "ignore 255 60000-65535 #ffffff\n"
                                   "z\xc3\xbcrich 150 #abcdef is a comment");
    assert_int_equal(c.count, 4);
    assert_string_equal(c.list[0].name, "bag");
    assert_string_equal(c.list[3].name, "z\xc3\xbcrich");
    assert_memory_equal(c.list[0].color, "\x10\xff\x03", 3);
    assert_memory_not_equal(c.list[3].color, "\xab\xcd\xef", 3);
    assert_rule(&c, 0, false, 0, 127, 0);
    assert_rule(&c, 1, false, 128, 128, 1);
    assert_rule(&c, 2, false, 130, 130, 1);
    assert_rule(&c, 3, false, 131, 131, 1);
    assert_rule(&c, 4, false, 140, 149, 1);
    assert_rule(&c, 5, false, 160, 160, 1);
    assert_rule(&c, 6, true, 0x4682b4, 0x4682b4, 2);
    assert_rule(&c, 7, false, 300, 300, 2);
    assert_rule(&c, 8, false, 255, 255, CLFCN_IGNORE);
    assert_rule(&c, 9, false, 60000, 65535, CLFCN_IGNORE);
    assert_rule(&c, 10, false, 150, 150, 3);
    assert_int_equal(c.rule_count, 11);
    clfcn_classes_free(&c);
    clfcn_classes_free(&c);
    clfcn_classes_free(NULL);
}

static void test_lists_and_colors(void **state)
{
    struct clfcn_classes c = parse("a 1,2,3\nb 4 5 6\nc 7,8\nd 1,2,256\ne 10-11,12,13\n");
    assert_rule(&c, 0, true, 0x010203, 0x010203, 0);
    assert_rule(&c, 1, false, 4, 4, 1);
    assert_int_equal(c.rule_count, 1 + 3 + 2 + 3 + 3);
    clfcn_classes_free(&c);
}

static void test_errors(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        { "", "f.txt: no class" },
        { "# nothing\n", "f.txt: no class" },
        { "bag 0-255\n", "f.txt: only one class" },
        { "ignore 0\nbag 1", "only one class" },
        { "a 0\nb 1\nc\n", "f.txt:3: 'c' has no mask values" },
        { "a 0\nb # 1\n", "f.txt:2: 'b' has no mask values" },
        { "a 0\nb x\n", "f.txt:2: 'x' is no mask value" },
        { "a 0\nb 1x\n", "f.txt:2: '1x' is no mask value" },
        { "a 0\nb 5-4\n", "f.txt:2: '5-4' is no mask value" },
        { "a 0\nb 5-\n", "f.txt:2: '5-' is no mask value" },
        { "a 0\nb -5\n", "f.txt:2: '-5' is no mask value" },
        { "a 0\nb 5,\n", "f.txt:2: '" },
        { "a 0\nb 65536\n", "'65536' is no mask value" },
        { "a 0\nb 99999999999999999999\n", "is no mask value" },
        { "0 a\n1 b\n", "f.txt:1: 'a' is no mask value" },
        { "a 0\na 1\n", "f.txt:2: class 'a' is there already" },
        { "a 0-10\nb 20\nc 10\n", "f.txt:3: value 10 is listed twice, in line 1 first" },
        { "a 5\n\nb 0-10\n", "f.txt:3: value 5 is listed twice, in line 1 first" },
        { "a 5\nb 6\nignore 6", "f.txt:3: value 6 is listed twice, in line 2 first" },
        { "a 1,2,3\nb 1,2,3\n", "f.txt:2: value 1,2,3 is listed twice, in line 1 first" },
        { "a\x01 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { "a\xff 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { "a\xc3 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { "\xc0\xaf 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { "\xed\xa0\x80 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { " \xef\xbb\xbf 0\nb 1\n", "f.txt:1: a class name is printable UTF-8" },
        { "a123456789012345678901234567890123456789012345678901234567890123 0\nb 1\n",
          "at most 63 bytes" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        struct clfcn_classes c;
        struct clfcn_err err = { 0 };
        assert_int_equal(clfcn_classes_parse(cases[i].text, "f.txt", &c, &err),
                         CLFCN_EDATA);
        assert_contains(err.msg, cases[i].part);
        assert_null(c.list);
        assert_null(c.rules);
        assert_int_equal(c.count, 0);
    }
}

static void test_many_classes(void **state)
{
    char text[256 * 16] = "";
    struct clfcn_classes c;
    struct clfcn_err err;
    for (int i = 0; i < CLFCN_MAX_CLASSES; ++i) {
        char line[40]; /* the last class has taken the first of the default colours */
        snprintf(line, sizeof line, "c%d %d%s\n", i, i, i == 254 ? " #e6194b" : "");
        strcat(text, line);
    }
    c = parse(text);
    assert_int_equal(c.count, CLFCN_MAX_CLASSES);
    for (int i = 0; i < c.count; ++i) {
        for (int k = 0; k < i; ++k) {
            assert_memory_not_equal(c.list[i].color, c.list[k].color, 3);
        }
    }
    clfcn_classes_free(&c);
    strcat(text, "x 255\n");
    assert_int_equal(clfcn_classes_parse(text, "f", &c, &err), CLFCN_EDATA);
    assert_contains(err.msg, "more than 255 classes");
}

static void test_text_round_trip(void **state)
{
    struct clfcn_classes a =
        parse("bag 0-127 3000\nsky 1,2,3 4,5,6 #010203\nignore 255 9,9,9");
    struct clfcn_classes copy;
    char *text = clfcn_classes_to_text(&a);
    struct clfcn_classes b = parse(text);
    assert_int_equal(clfcn_classes_copy(&b, &copy, NULL), CLFCN_OK);
    assert_int_equal(copy.count, a.count);
    assert_int_equal(copy.rule_count, a.rule_count);
    for (int i = 0; i < a.count; ++i) {
        assert_string_equal(copy.list[i].name, a.list[i].name);
        assert_memory_equal(copy.list[i].color, a.list[i].color, 3);
    }
    for (int i = 0; i < a.rule_count; ++i) {
        assert_rule(&copy, i, a.rules[i].rgb, a.rules[i].lo, a.rules[i].hi,
                    a.rules[i].label);
    }
    free(text);
    clfcn_classes_free(&a);
    clfcn_classes_free(&b);
    clfcn_classes_free(&copy);
}

/* Apply to n pixels in one row. Returns the status; with want, checks the labels. */
static int apply(const char *text, int channels, int depth, bool palette,
                 const uint16_t *values, int n, const uint8_t *want,
                 struct clfcn_err *err)
{
    struct clfcn_classes c = parse(text);
    struct clfcn_image im;
    uint8_t labels[64];
    assert_true(n < 64);
    assert_int_equal(clfcn_image_alloc(&im, n, 1, channels, depth, NULL), 0);
    im.palette = palette;
    for (int i = 0; i < n * channels; ++i) {
        if (depth == 8) {
            im.px.u8[i] = (uint8_t)values[i];
        } else {
            im.px.u16[i] = values[i];
        }
    }
    memset(labels, 0xee, sizeof labels);
    const int rc = clfcn_classes_apply(&c, &im, "m.png", labels, err);
    if (want) {
        assert_int_equal(rc, CLFCN_OK);
        assert_memory_equal(labels, want, (size_t)n);
    }
    assert_int_equal(labels[n], 0xee);
    clfcn_image_free(&im);
    clfcn_classes_free(&c);
    return rc;
}

static void test_apply_gray(void **state)
{
    const char *text = "bag 0-127\nground 128-254\nignore 255\n";
    const uint16_t values[] = { 0, 127, 128, 254, 255 };
    const uint8_t want[] = { 0, 0, 1, 1, CLFCN_IGNORE };
    apply(text, 1, 8, false, values, 5, want, NULL);
    apply(text, 1, 8, true, values, 5, want, NULL);

    const uint16_t wide[] = { 0, 300, 65535, 65534 };
    const uint8_t want_wide[] = { 0, 1, 1, CLFCN_IGNORE };
    apply("a 0\nb 300 65535\nignore 65534", 1, 16, false, wide, 4, want_wide, NULL);

    /* An RGB file of gray pixels is a gray mask. */
    const uint16_t rgb[] = { 0, 0, 0, 200, 200, 200, 255, 255, 255 };
    const uint8_t want_rgb[] = { 0, 1, CLFCN_IGNORE };
    apply(text, 3, 8, false, rgb, 3, want_rgb, NULL);
    apply(text, 3, 16, false, rgb, 3, want_rgb, NULL);
}

static void test_apply_colors(void **state)
{
    const char *text = "void 0,0,0\nroad 128,64,128 1,2,3\nsky 70,130,180\nignore 255\n";
    const uint16_t rgb[] = {
        70, 130, 180, 0, 0, 0, 1, 2, 3, 128, 64, 128, 255, 255, 255
    };
    const uint8_t want[] = { 2, 0, 1, 1, CLFCN_IGNORE };
    apply(text, 3, 8, false, rgb, 5, want, NULL);
}

/* r,g,b on a mask that is gray: a list of values, unless classes would share one. */
static void test_apply_three_numbers_to_gray(void **state)
{
    const uint16_t values[] = { 3, 4, 7, 0 };
    const uint8_t want[] = { 1, 1, 1, 0 };
    struct clfcn_err err;
    apply("other 0\nvehicle 3,4,7", 1, 8, false, values, 4, want, NULL);
    apply("other 0\nvehicle 3,4,7", 1, 8, true, values, 4, want, NULL);

    const char *map = "void 0,0,0\nplane 128,0,0\ntruck 0,128,0\nwhite 255,255,255";
    const uint16_t ends[] = { 0, 255 };
    const uint8_t want_ends[] = { 0, 3 };
    apply(map, 1, 8, false, ends, 2, want_ends, NULL);
    const uint16_t middle[] = { 0, 128 };
    assert_int_equal(apply(map, 1, 8, false, middle, 2, NULL, &err), CLFCN_EDATA);
    assert_contains(err.msg, "m.png: pixel (1, 0) has value 128, which no line");
    assert_contains(err.msg, "the mask is gray");
    assert_int_equal(apply(map, 1, 8, true, middle, 2, NULL, &err), CLFCN_EDATA);
    assert_contains(err.msg, "palette index 128");
}

static void test_uncovered(void **state)
{
    struct clfcn_classes c = parse("a 0\nb 255\n");
    struct clfcn_image im;
    struct clfcn_err err;
    uint8_t labels[50 * 41];
    assert_int_equal(clfcn_image_alloc(&im, 50, 41, 1, 8, NULL), 0);
    im.px.u8[40 * 50 + 12] = 77;
    assert_int_equal(clfcn_classes_apply(&c, &im, "masks/7.png", labels, &err),
                     CLFCN_EDATA);
    assert_string_equal(err.msg,
                        "masks/7.png: pixel (12, 40) has value 77, which no line of "
                        "classes.txt covers");
    assert_int_equal(clfcn_classes_apply(&c, &im, "masks/7.jpg", labels, &err),
                     CLFCN_EDATA);
    assert_contains(err.msg, "JPEG blurs edges");
    clfcn_image_free(&im);
    clfcn_classes_free(&c);

    const uint16_t rgb[] = { 0, 0, 0, 9, 8, 7 };
    assert_int_equal(apply("a 0\nb 255", 3, 8, false, rgb, 2, NULL, &err), CLFCN_EDATA);
    assert_contains(err.msg, "m.png: pixel (1, 0) has colour 9,8,7, which no line");
    assert_contains(err.msg, "it gives gray values");
    assert_int_equal(apply("a 0\nb 255", 3, 16, false, rgb, 2, NULL, &err), CLFCN_EDATA);
    assert_contains(err.msg, "16 bits");
}

static void test_read(void **state)
{
    char *dir = make_dir();
    struct clfcn_classes c;
    struct clfcn_err err;
    make_text_file(in(dir, "classes.txt"), "a 0\nb 1\n");
    assert_int_equal(clfcn_classes_read(in(dir, "classes.txt"), &c, &err), CLFCN_OK);
    assert_int_equal(c.count, 2);
    clfcn_classes_free(&c);
    make_text_file(in(dir, "bad.txt"), "a 0\nb q\n");
    assert_int_equal(clfcn_classes_read(in(dir, "bad.txt"), &c, &err), CLFCN_EDATA);
    assert_contains(err.msg, "bad.txt:2: ");
    assert_int_equal(clfcn_classes_read(in(dir, "none.txt"), &c, &err), CLFCN_EDATA);
    assert_contains(err.msg, "none.txt");
    remove_dir(dir);
}

/* Random changes to a good file end in a clean error or in a set that survives the round
 * trip. */
static void test_random_edits(void **state)
{
    static const char seed[] =
        "bag 0-127 #ff0000 # x\nsky 1,2,3 200\nroad 210-220,221\nignore 255\n";
    static const char alphabet[] = "0129,-# \n\tagx\xc3\xbc\xff";
    struct clfcn_rng rng;
    int good = 0;
    clfcn_rng_init(&rng, 1, "edits", 0, 0);
    for (int round = 0; round < 20000; ++round) {
        char text[sizeof seed];
        struct clfcn_classes a, b;
        struct clfcn_err err;
        memcpy(text, seed, sizeof seed);
        for (uint32_t k = clfcn_rng_below(&rng, 4); k > 0; --k) {
            text[clfcn_rng_below(&rng, sizeof seed - 1)] =
                alphabet[clfcn_rng_below(&rng, sizeof alphabet - 1)];
        }
        if (clfcn_classes_parse(text, "f", &a, &err) < 0) {
            continue;
        }
        char *again = clfcn_classes_to_text(&a);
        assert_int_equal(clfcn_classes_parse(again, "again", &b, &err), CLFCN_OK);
        assert_int_equal(a.count, b.count);
        assert_int_equal(a.rule_count, b.rule_count);
        ++good;
        free(again);
        clfcn_classes_free(&a);
        clfcn_classes_free(&b);
    }
    assert_in_range(good, 2000, 19000);
}

static void refuse(struct clfcn_classes *c, const char *values, const char *why)
{
    struct clfcn_err err = { 0 };
    const int before = c->rule_count;
    assert_int_equal(clfcn_classes_ignore(c, values, &err), CLFCN_EINVAL);
    if (strstr(err.msg, why) == NULL) {
        fail_msg("'%s' lacks '%s'", err.msg, why);
    }
    assert_int_equal(c->rule_count, before);
}

static void test_ignore(void **state)
{
    struct clfcn_classes c = parse("a 0-9\nb 20 1,2,3\nignore 100-110 200,0,0\n");
    refuse(&c, "50 9", "value 9 is class 'a'");
    refuse(&c, "15-30", "value 20 is class 'b'");
    refuse(&c, "1,2,3", "value 1,2,3 is class 'b'");
    refuse(&c, "x", "--ignore 'x'");
    refuse(&c, "70000", "--ignore '70000'");
    refuse(&c, "5-", "--ignore '5-'");
    refuse(&c, " ", "no mask values");
    assert_int_equal(clfcn_classes_ignore(&c, "50, 60-61 105-120 200,0,0 4,5,6", NULL), 0);
    enum { VALUES = 6 };
    static const uint8_t values[VALUES] = { 5, 20, 50, 60, 100, 118 };
    static const uint8_t want[VALUES] = { 0, 1, 255, 255, 255, 255 };
    char *text = clfcn_classes_to_text(&c);
    struct clfcn_classes again = parse(text); /* no value is there twice */
    assert_int_equal(again.rule_count, c.rule_count);
    struct clfcn_image mask;
    assert_int_equal(clfcn_image_alloc(&mask, VALUES, 1, 1, 8, NULL), 0);
    memcpy(mask.px.u8, values, VALUES);
    uint8_t labels[VALUES];
    assert_int_equal(clfcn_classes_apply(&again, &mask, "mask", labels, NULL), 0);
    assert_memory_equal(labels, want, VALUES);
    mask.px.u8[0] = 121;
    assert_int_equal(clfcn_classes_apply(&again, &mask, "mask", labels, NULL),
                     CLFCN_EDATA);
    clfcn_image_free(&mask);
    free(text);
    clfcn_classes_free(&again);
    clfcn_classes_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_lists_and_colors),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_many_classes),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_apply_gray),
        cmocka_unit_test(test_apply_colors),
        cmocka_unit_test(test_apply_three_numbers_to_gray),
        cmocka_unit_test(test_uncovered),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_ignore),
        cmocka_unit_test(test_random_edits),
    };
    return cmocka_run_group_tests_name("classes", tests, NULL, NULL);
}
