/* test_compare.c - runs of bench compared: alike with alike, beyond noise, from files
 * that may hold anything. */
#include "../../host/report/compare.h"
#include "../../host/util/file.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Winograd: 360 direct FLOP, 90 of its own; 30 bytes; 1 ms. */
static const char run_text[] =
    "{\"device\":\"Fast (P, 1.0)\",\"net\":{\"arch\":\"fcns\",\"backbone\":\"vgg16\","
    "\"width\":160,\"height\":128,\"batch\":4,\"classes\":2},\"options\":{\"loss\":"
    "\"bce\",\"optimizer\":\"sgd\",\"gemm\":\"auto\",\"workspace_bytes\":0,\"steps\":10},"
    "\"hardware\":{\"name\":\"Fast\",\"platform\":\"P\",\"driver\":\"1.0\"},\"system\":{"
    "\"clfcn\":\"0.1\",\"date\":\"2026-01-01T00:00:00Z\",\"os\":\"Linux\",\"cpu\":null,"
    "\"cpus\":2},\"train_step_ms\":100.0,\"infer_ms\":20.0,\"first_step_s\":1.5,"
    "\"device_bytes\":1048576,\"train_spread\":{\"lowest_ms\":99,\"highest_ms\":103,"
    "\"relative\":0.02,\"drift\":1.01,\"noisy\":false},\"infer_spread\":{\"lowest_ms\":"
    "19.9,\"highest_ms\":21,\"relative\":0.005,\"drift\":null,\"noisy\":false},\"noisy\":"
    "false,\"before\":{\"gflops\":200},\"after\":{\"gflops\":201},\"correct\":true,"
    "\"checks\":{\"passes\":1,\"wrong\":0,\"worst_error\":1e-6,\"worst_at\":\"conv1 "
    "forward\",\"bound\":1e-4,\"training_repeats\":true,\"inference_repeats\":true,"
    "\"inference_error\":0.0},\"peak\":{\"gflops\":190,\"gbps\":20,\"cache_gbps\":60,"
    "\"launch_us\":5},\"tuned\":false,\"layers\":[{\"name\":\"conv1\",\"kind\":"
    "\"conv2d\","
    "\"forward_ms\":1,\"backward_ms\":null,\"passes\":[{\"pass\":\"forward\","
    "\"algorithm\":\"winograd4\",\"ms\":1,\"gflops\":360,\"of_peak\":1.8,\"flop\":360e6,"
    "\"own_flop\":90e6,\"bytes\":3e6,\"error\":1e-6,\"correct\":true}]}]}";

static char folder[64], start_folder[4096];

static int enter_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/clfcn-test-XXXXXX");
    return getcwd(start_folder, sizeof(start_folder)) && mkdtemp(folder) &&
                   chdir(folder) == 0
               ? 0
               : -1;
}

static int leave_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return chdir(start_folder) == 0 ? system(command) : -1;
}

static void put(const char *path, const char *text)
{
    assert_int_equal(clfcn_file_write(path, text, strlen(text), NULL), CLFCN_OK);
}

/* The run above; set() puts a value where a path such as "net/batch" or "layers/0/name"
 * leads. */
static json_t *run(void)
{
    json_t *o = json_loads(run_text, 0, NULL);
    assert_non_null(o);
    return o;
}

static void set(json_t *o, const char *path, json_t *value)
{
    const char *slash;
    for (; (slash = strchr(path, '/')); path = slash + 1) {
        char key[32];
        snprintf(key, sizeof(key), "%.*s", (int)(slash - path), path);
        o = json_is_array(o) ? json_array_get(o, (size_t)atoi(key))
                             : json_object_get(o, key);
        assert_non_null(o);
    }
    assert_int_equal(json_object_set_new(o, path, value), 0);
}

/* Write the runs, a line each, and forget them. */
static void save(const char *path, int count, ...)
{
    struct clfcn_strbuf text = { 0 };
    va_list runs;
    va_start(runs, count);
    for (int i = 0; i < count; ++i) {
        json_t *o = va_arg(runs, json_t *);
        char *line = json_dumps(o, JSON_COMPACT);
        clfcn_strbuf_add(&text, "%s\n", line);
        free(line);
        json_decref(o);
    }
    va_end(runs);
    put(path, text.str);
    clfcn_strbuf_free(&text);
}

/* A run on another device, whose times are so many times longer. */
static json_t *other(const char *name, double times)
{
    json_t *o = run();
    set(o, "device", json_string(name));
    set(o, "hardware/name", json_string(name));
    set(o, "train_step_ms", json_real(100 * times));
    set(o, "infer_ms", json_real(20 * times));
    return o;
}

static const char *const files[] = { "a.json", "b.json" };

static void open_both(struct clfcn_compare *c)
{
    struct clfcn_err err = { 0 };
    if (clfcn_compare_open(c, files, 2, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static void test_like_is_compared_with_like(void **state)
{
    json_t *larger = run(), *largest = run();
    set(larger, "net/batch", json_integer(8));
    set(largest, "net/width", json_integer(320));
    save("a.json", 2, run(), larger);
    save("b.json", 2, largest, run());
    struct clfcn_compare c;
    open_both(&c);
    assert_int_equal(c.count, 4);
    assert_int_equal(c.group_count, 1);
    assert_int_equal(c.groups[0].count, 2);
    assert_int_equal(c.groups[0].runs[0], 0);
    assert_int_equal(c.groups[0].runs[1], 3);
    assert_int_equal(c.left_out_count, 2);
    assert_int_equal(c.runs[c.left_out[0]].batch, 8);
    assert_int_equal(c.runs[c.left_out[1]].width, 320);
    clfcn_compare_close(&c);
}

static void test_nothing_alike_is_an_error(void **state)
{
    json_t *larger = run();
    set(larger, "net/batch", json_integer(8));
    save("a.json", 1, run());
    save("b.json", 1, larger);
    struct clfcn_compare c;
    struct clfcn_err err;
    assert_int_equal(clfcn_compare_open(&c, files, 2, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "nothing to compare"));
    clfcn_compare_close(&c);
    assert_int_equal(clfcn_compare_open(&c, files, 1, &err), CLFCN_OK);
    clfcn_compare_close(&c);
}

static struct clfcn_compare_ratio ratio_of(double times, double relative)
{
    struct clfcn_compare c;
    json_t *o = other("Slow", times);
    set(o, "train_spread/relative", json_real(relative));
    save("a.json", 1, run());
    save("b.json", 1, o);
    open_both(&c);
    const struct clfcn_compare_ratio r =
        clfcn_compare_ratio(&c.runs[0].train, &c.runs[1].train);
    clfcn_compare_close(&c);
    return r;
}

static void test_only_what_exceeds_the_noise_differs(void **state)
{
    assert_false(ratio_of(1, 0.02).differs);
    assert_false(ratio_of(1.03, 0.02).differs); /* 2 % on either side */
    assert_true(ratio_of(1.06, 0.02).differs);
    assert_false(ratio_of(1.06, 0.2).differs);
    assert_true(ratio_of(0.8, 0.02).differs);
    const struct clfcn_compare_ratio r = ratio_of(2, 0.02);
    assert_true(fabs(r.value - 0.5) < 1e-9);
    assert_true(fabs(r.low - 0.5 / 1.02 / 1.02) < 1e-9);
    assert_true(fabs(r.high - 0.5 * 1.02 * 1.02) < 1e-9);
}

static void test_drift_and_clock_count_as_noise(void **state)
{
    struct clfcn_compare c;
    json_t *drifting = run(), *unknown = run();
    set(drifting, "train_spread/drift", json_real(0.85));
    set(drifting, "after/gflops", json_real(150));
    set(unknown, "train_spread/relative", json_null());
    save("a.json", 2, drifting, unknown);
    save("b.json", 1, run());
    open_both(&c);
    assert_true(fabs(c.runs[0].train.unsure - 200.0 / 150 + 1) < 1e-9);
    assert_true(fabs(c.runs[1].train.unsure - 0.1) < 1e-9);
    assert_true(fabs(c.runs[2].train.unsure - 0.02) < 1e-9);
    assert_true(fabs(c.runs[2].infer.unsure - 0.01) < 1e-9); /* never less */
    clfcn_compare_close(&c);
}

static void test_a_noisy_run_is_no_surer_than_its_farthest_repetition(void **state)
{
    struct clfcn_compare c;
    json_t *noisy = run();
    set(noisy, "noisy", json_true());
    set(noisy, "train_spread/lowest_ms", json_real(50));
    set(noisy, "train_spread/highest_ms", json_real(120));
    save("a.json", 1, noisy);
    save("b.json", 1, other("X", 1.9));
    open_both(&c);
    assert_true(fabs(c.runs[0].train.unsure - 1) < 1e-9);
    assert_true(fabs(c.runs[0].infer.unsure - 1) < 1e-9);
    assert_false(clfcn_compare_ratio(&c.runs[0].train, &c.runs[1].train).differs);
    assert_false(clfcn_compare_ratio(&c.runs[1].infer, &c.runs[0].infer).differs);
    clfcn_compare_close(&c);
}

/* A run whose training step did not fit in the budget. */
static json_t *without_step(void)
{
    json_t *o = run();
    set(o, "train_step_ms", json_null());
    set(o, "first_step_s", json_null());
    set(o, "left_out", json_pack("[s]", "training step: too slow, <about> 17 min"));
    return o;
}

static void test_a_step_that_was_not_measured(void **state)
{
    struct clfcn_compare c;
    struct clfcn_err err = { 0 };
    struct clfcn_strbuf page = { 0 };
    save("a.json", 1, without_step());
    save("b.json", 1, run());
    open_both(&c);
    assert_int_equal(c.groups[0].base, 1); /* has a step to be held against */
    const struct clfcn_compare_ratio r =
        clfcn_compare_ratio(&c.runs[1].train, &c.runs[0].train);
    assert_true(isnan(r.value) && !r.differs);
    assert_int_equal(clfcn_compare_slower(&c, 0.05, &err), CLFCN_OK);
    clfcn_compare_page(&page, &c);
    assert_false(page.failed);
    assert_null(strstr(page.str, "nan"));
    assert_non_null(strstr(page.str, "too slow, &lt;about&gt; 17 min"));
    clfcn_strbuf_free(&page);
    clfcn_compare_close(&c);
    save("a.json", 1, run());
    save("b.json", 1, without_step());
    open_both(&c);
    assert_int_equal(clfcn_compare_slower(&c, 0.05, &err), CLFCN_ENUMERIC);
    assert_non_null(strstr(err.msg, "too slow to be measured"));
    clfcn_compare_close(&c);
    json_t *bad = without_step();
    set(bad, "left_out", json_pack("[i]", 7));
    save("b.json", 1, bad);
    assert_int_equal(clfcn_compare_open(&c, files, 2, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "'left_out'"));
    clfcn_compare_close(&c);
}

static int slower(double limit, struct clfcn_err *err)
{
    struct clfcn_compare c;
    open_both(&c);
    const int rc = clfcn_compare_slower(&c, limit, err);
    clfcn_compare_close(&c);
    return rc;
}

static void test_slower_than_the_same_device_fails(void **state)
{
    struct clfcn_err err;
    /* Slow is no slower than it was, whatever Fast does. */
    save("a.json", 2, run(), other("Slow", 3));
    save("b.json", 2, other("Slow", 3.1), other("Fast", 0.9));
    assert_int_equal(slower(0.05, &err), CLFCN_OK);
    save("b.json", 2, other("Slow", 3.1), other("Fast", 1.2));
    assert_int_equal(slower(0.05, &err), CLFCN_ENUMERIC);
    assert_non_null(strstr(err.msg,
                           "b.json: training step of fcns/vgg16 on Fast is 20.0 % "
                           "slower (120 ms, was 100 ms)"));
    assert_non_null(strstr(err.msg, "inference"));
    assert_null(strstr(err.msg, "Slow"));
    assert_int_equal(slower(0.25, &err), CLFCN_OK);
    /* A device that was not there before is held against the first. */
    save("b.json", 1, other("New", 1.2));
    assert_int_equal(slower(0.05, &err), CLFCN_ENUMERIC);
}

static void test_slower_within_noise_passes(void **state)
{
    struct clfcn_err err;
    json_t *noisy = other("Fast", 1.2);
    set(noisy, "train_spread/relative", json_real(0.3));
    set(noisy, "infer_spread/relative", json_real(0.3));
    save("a.json", 1, run());
    save("b.json", 1, noisy);
    assert_int_equal(slower(0.05, &err), CLFCN_OK);
}

static void test_failed_and_wrong_runs_are_no_success(void **state)
{
    struct clfcn_err err;
    json_t *wrong = other("Fast", 0.5), *failed = run(), *alien = run();
    set(wrong, "correct", json_false());
    set(failed, "error", json_string("out of memory"));
    set(alien, "net/batch", json_integer(1));
    save("a.json", 2, run(), json_incref(alien));
    save("b.json", 1, wrong);
    assert_int_equal(slower(0.05, &err), CLFCN_ENUMERIC);
    assert_non_null(strstr(err.msg, "Fast computes wrongly"));
    save("b.json", 1, failed);
    assert_int_equal(slower(0.05, &err), CLFCN_ENUMERIC);
    assert_non_null(strstr(err.msg, "Fast failed"));
    /* Nothing in the first file is like the second. */
    json_t *first = run();
    set(first, "net/batch", json_integer(2));
    save("a.json", 2, run(), run());
    save("b.json", 1, first);
    json_decref(alien);
    assert_int_equal(slower(0.05, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "b.json"));
}

static void assert_bad(const char *word)
{
    struct clfcn_compare c;
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_compare_open(&c, files, 1, &err), CLFCN_EDATA);
    if (!strstr(err.msg, "a.json") || !strstr(err.msg, word)) {
        fail_msg("'%s' does not name a.json and '%s'", err.msg, word);
    }
    clfcn_compare_close(&c);
}

static void assert_field_bad(const char *path, json_t *value)
{
    const char *slash = strrchr(path, '/');
    json_t *o = run();
    set(o, path, value);
    save("a.json", 1, o);
    assert_bad(slash ? slash + 1 : path);
}

static void test_bad_fields_are_named(void **state)
{
    assert_field_bad("train_step_ms", json_string("fast"));
    assert_field_bad("train_step_ms", json_real(0));
    assert_field_bad("infer_ms", json_real(-1));
    assert_field_bad("device", json_integer(5));
    assert_field_bad("device", json_string("\033[2Jgone"));
    assert_field_bad("device", json_string("\xc2\x9b"
                                           "2J"));
    assert_field_bad("device_bytes", json_real(-1));
    assert_field_bad("device_bytes", json_real(1e300));
    assert_field_bad("net", json_string("fcns"));
    assert_field_bad("net/batch", json_integer(0));
    assert_field_bad("net/width", json_integer(1LL << 40));
    assert_field_bad("net/width", json_real(160.5));
    assert_field_bad("noisy", json_integer(1));
    assert_field_bad("correct", json_string("yes"));
    assert_field_bad("checks", json_array());
    assert_field_bad("peak", json_null());
    assert_field_bad("layers", json_object());
    assert_field_bad("layers/0/passes", json_null());
    assert_field_bad("layers/0/passes/0/bytes", json_array());
    char *longest = calloc(2000, 1);
    memset(longest, 'x', 1999);
    assert_field_bad("hardware/name", json_string(longest));
    free(longest);
}

static void test_bad_files_are_named(void **state)
{
    put("a.json", "");
    assert_bad("empty");
    put("a.json", "{\"device\":");
    assert_bad("run 1");
    put("a.json", "[1]\n");
    assert_bad("no object");
    put("a.json", "\x00\x01");
    assert_bad("a.json");
    json_t *o = json_array();
    for (int i = 0; i < 600; ++i) {
        json_array_append_new(o, json_object());
    }
    json_t *many = run();
    set(many, "layers", o);
    save("a.json", 1, many);
    assert_bad("layers");
    o = run();
    char *good = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    struct clfcn_strbuf text = { 0 };
    for (int i = 0; i <= CLFCN_BENCH_RUNS; ++i) {
        clfcn_strbuf_add(&text, "%s", good);
    }
    put("a.json", text.str);
    assert_bad("more than");
    clfcn_strbuf_free(&text);
    free(good);
}

static char *page(void)
{
    struct clfcn_compare c;
    struct clfcn_strbuf out = { 0 };
    open_both(&c);
    clfcn_compare_page(&out, &c);
    clfcn_compare_close(&c);
    assert_false(out.failed);
    return out.str;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, word)); s += strlen(word)) {
        ++n;
    }
    return n;
}

static void test_hostile_texts_stay_text(void **state)
{
    static const char script[] = "\"><script>alert(1)</script>&'";
    static const char *const fields[] = {
        "device",
        "hardware/name",
        "hardware/platform",
        "hardware/driver",
        "system/cpu",
        "system/os",
        "system/date",
        "net/arch",
        "checks/worst_at",
        "layers/0/name",
        "layers/0/passes/0/algorithm",
        "options/gemm",
        "layers/0/passes/0/pass",
    };
    json_t *hostile = run();
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); ++i) {
        set(hostile, fields[i], json_string(script));
    }
    json_t *failed = json_deep_copy(hostile);
    set(failed, "error", json_string(script));
    save("a.json", 1, hostile);
    save("b.json", 1, failed);
    char *html = page();
    assert_int_equal(count(html, "<script>"), 1); /* the page's own */
    assert_null(strstr(html, "\"><script"));
    assert_true(count(html, "&lt;script&gt;alert(1)") > 10);
    free(html);
}

static void test_page_stands_alone(void **state)
{
    json_t *failed = run();
    set(failed, "error", json_string("no memory"));
    save("a.json", 2, run(), other("Slow", 2));
    save("b.json", 1, failed);
    char *html = page();
    static const char *const outside[] = { "http:", "https:",  "src=",
                                           "url(",  "@import", "<link" };
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); ++i) {
        assert_null(strstr(html, outside[i]));
    }
    assert_int_equal(count(html, "Roofline of run"), 2);
    assert_int_equal(count(html, "class=\"point"), 2);
    assert_int_equal(count(html, "Failed: no memory"), 1);
    assert_int_equal(count(html, "0.5\xc3\x97 as fast"), 2);
    assert_int_equal(count(html, "<svg"), count(html, "</svg>"));
    assert_null(strstr(html, "nan"));
    assert_null(strstr(html, "inf\""));
    free(html);
}

/* Whatever a file says, no point lies above the roof. */
static void assert_below_roof(json_t *o, bool raised)
{
    struct clfcn_compare c;
    struct clfcn_compare_roof roof;
    double intensity, gflops;
    save("a.json", 1, o);
    assert_int_equal(clfcn_compare_open(&c, files, 1, NULL), CLFCN_OK);
    clfcn_compare_roof(&c.runs[0], &roof);
    assert_true(clfcn_compare_point(&c.runs[0].layers[0].passes[0], &intensity, &gflops));
    assert_true(gflops <= roof.gflops * (1 + 1e-12));
    assert_true(gflops <= roof.cache_gbps * intensity * (1 + 1e-12));
    assert_int_equal(roof.raised_by != NULL, raised);
    clfcn_compare_close(&c);
}

static void test_points_lie_below_the_roof(void **state)
{
    assert_below_roof(run(), false); /* 360 GFLOP/s direct, 90 of its own, peak 201 */
    json_t *fast = run(), *near = run();
    set(fast, "layers/0/passes/0/ms", json_real(0.1)); /* 900 GFLOP/s */
    assert_below_roof(fast, true);
    set(near, "layers/0/passes/0/bytes", json_real(90e6)); /* 90 GB/s */
    assert_below_roof(near, true);
}

static void test_impossible_numbers_draw_nothing(void **state)
{
    json_t *o = run();
    set(o, "layers/0/passes/0/ms", json_real(1e-300));
    set(o, "layers/0/passes/0/own_flop", json_real(1e18));
    set(o, "peak/gbps", json_real(1e18));
    set(o, "peak/gflops", json_real(1e-9));
    save("a.json", 1, o);
    save("b.json", 1, run());
    char *html = page();
    assert_int_equal(count(html, "class=\"point"), 1);
    free(html);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_like_is_compared_with_like),
        TEST(test_nothing_alike_is_an_error),
        TEST(test_only_what_exceeds_the_noise_differs),
        TEST(test_drift_and_clock_count_as_noise),
        TEST(test_a_noisy_run_is_no_surer_than_its_farthest_repetition),
        TEST(test_a_step_that_was_not_measured),
        TEST(test_slower_than_the_same_device_fails),
        TEST(test_slower_within_noise_passes),
        TEST(test_failed_and_wrong_runs_are_no_success),
        TEST(test_bad_fields_are_named),
        TEST(test_bad_files_are_named),
        TEST(test_hostile_texts_stay_text),
        TEST(test_page_stands_alone),
        TEST(test_points_lie_below_the_roof),
        TEST(test_impossible_numbers_draw_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
