/* test_report.c - the report of run folders: whole, young, damaged, hostile. */
#include "../../host/data/image.h"
#include "../../host/report/history.h"
#include "../../host/report/html.h"
#include "../../host/report/page.h"
#include "../../host/report/report.h"
#include "../../host/report/svg.h"
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char config[] =
    "{\"arch\":\"fcns\",\"backbone\":\"vgg16\",\"size\":\"160x160\",\"batch\":4,"
    "\"epochs\":3,"
    "\"max-steps\":-1,\"augment\":\"flip,scale=0.5-2\","
    "\"optimizer\":\"sgd\",\"loss\":\"bce\",\"data\":\"</dd><script>alert(1)</script>\","
    "\"classes-text\":\"ground 0\\n<i>box 1 #ff8000\\n\"}";

static const char log_lines[] =
    "{\"event\":\"start\",\"device\":\"A & <B>\",\"driver\":\"1.0\"}\n"
    "{\"event\":\"step\",\"epoch\":0,\"step\":1,\"loss\":0.7,\"lr\":0.01,\"ms\":12}\n"
    "{\"event\":\"step\",\"epoch\":0,\"step\":2,\"loss\":0.5,\"lr\":0.01,\"ms\":10}\n"
    "{\"event\":\"epoch\",\"epoch\":0,\"train_loss\":0.6,\"val_loss\":0.55,\"pixel_acc\":"
    "0.9,"
    "\"mean_acc\":0.8,\"mean_iou\":0.625,\"fw_iou\":0.7,\"iou\":[0.75,0.5],\"seconds\":1."
    "5}\n"
    "not JSON\n[1,2]\n{\"event\":5}\n"
    "{\"event\":\"step\",\"epoch\":1,\"step\":3,\"loss\":0.4,\"lr\":0.005,\"ms\":11}\n"
    "{\"event\":\"epoch\",\"epoch\":1,\"train_loss\":0.4,\"val_loss\":0.5,\"pixel_acc\":"
    "0.9,"
    "\"mean_acc\":0.8,\"mean_iou\":0.5,\"fw_iou\":0.7,\"iou\":[0.5,null],\"seconds\":1.5}"
    "\n"
    "{\"event\":\"step\",\"ep";

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

static void put_run(const char *log)
{
    assert_int_equal(clfcn_path_mkdir("run/samples", 0700, NULL), CLFCN_OK);
    put("run/config.json", config);
    put("run/log.jsonl", log);
}

static char *report(void)
{
    struct clfcn_err err = { 0 };
    char *page = NULL;
    size_t size = 0;
    assert_int_equal(clfcn_report_write("run", NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_file_read("run/report.html", 0, &page, &size, NULL), CLFCN_OK);
    return page;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, word)) != NULL; s += strlen(word)) {
        ++n;
    }
    return n;
}

static void test_configuration_can_be_read(void **state)
{
    put_run(log_lines);
    char *page = report();
    assert_non_null(strstr(page, "<dt>augment</dt><dd>flip,<wbr>scale=0.5-2</dd>"));
    assert_non_null(strstr(page, "<dt>batch</dt><dd>4</dd>"));
    assert_null(strstr(page, "max-steps"));
    free(page);
}

static void test_ranks_are_shown(void **state)
{
    put_run(
        "{\"event\":\"start\",\"ranks\":[{\"rank\":0,\"host\":\"a\",\"device\":\"<D>\","
        "\"batch\":3},{\"rank\":1,\"host\":\"b\",\"device\":\"E\",\"batch\":1}]}\n"
        "{\"event\":\"epoch\",\"epoch\":0,\"train_loss\":1,\"ranks\":[{\"rank\":0,"
        "\"images_per_s\":12.25,\"wait_s\":0.5,\"bytes\":2500000}]}\n");
    char *page = report();
    assert_non_null(strstr(page, "<tr><td>0</td><td>a</td><td>&lt;D&gt;</td><td>3</td>"
                                 "<td>12.2</td><td>0.5</td><td>2.5</td></tr>"));
    /* What the log does not tell is left open. */
    assert_non_null(strstr(page, "<tr><td>1</td><td>b</td><td>E</td><td>1</td>"
                                 "<td>\xe2\x80\x93</td><td>\xe2\x80\x93</td>"
                                 "<td>\xe2\x80\x93</td></tr>"));
    free(page);
}

static void test_history_reads_what_is_whole(void **state)
{
    struct clfcn_history h;
    put_run(log_lines);
    put("run/samples/epoch-0002-a.png", "x");
    put("run/samples/other.png", "x");
    put("run/samples/epoch-0001-a.txt", "x");
    assert_int_equal(clfcn_history_read(&h, "run/", NULL), CLFCN_OK);
    assert_string_equal(h.name, "run");
    assert_int_equal(h.step_count, 3);
    assert_true(h.stretches[1].loss.sum == 0.5 && h.stretches[2].lr.hi == 0.005 &&
                h.stretches[0].ms.lo == 12);
    assert_int_equal(h.epoch_count, 2);
    assert_int_equal(h.epochs[0].step, 2);
    assert_int_equal(h.epochs[1].number, 2);
    assert_true(h.epochs[0].iou[1] == 0.5 && isnan(h.epochs[1].iou[1]));
    assert_true(isnan(h.epochs[0].wait_s));
    assert_int_equal(h.classes.count, 2);
    assert_int_equal(h.sample_count, 1);
    assert_int_equal(h.samples[0].epoch, 2);
    assert_ptr_equal(clfcn_history_best(&h), &h.epochs[0]);
    clfcn_history_close(&h);
}

static void put_lines(const char *format, int count, struct clfcn_strbuf *to)
{
    for (int i = 0; i < count; ++i) {
        clfcn_strbuf_add(to, format, i, i + 1);
    }
}

/* 10,000 steps whose losses are 1 .. 10,000, with one of 7.5 ms among those of 1 ms. */
static void test_long_runs_are_thinned(void **state)
{
    enum { STEPS = 10000 };
    struct clfcn_history h;
    struct clfcn_strbuf log = { 0 };
    put_lines("{\"event\":\"step\",\"x\":%d,\"loss\":%d,\"ms\":1}\n", STEPS, &log);
    char *one = strstr(log.str, "\"loss\":5000,\"ms\":1");
    assert_non_null(one);
    one[strlen("\"loss\":5000,\"ms\":")] = '7';
    put_run(log.str);
    assert_int_equal(clfcn_history_read(&h, "run", NULL), CLFCN_OK);
    assert_int_equal(h.step_count, STEPS);
    assert_in_range(h.stretch_count, CLFCN_HISTORY_STRETCHES / 2,
                    CLFCN_HISTORY_STRETCHES);
    int64_t next = 1;
    double sum = 0, longest = 0;
    for (int i = 0; i < h.stretch_count; ++i) {
        const struct clfcn_history_stretch *s = &h.stretches[i];
        assert_int_equal(s->first, next);
        assert_true(s->loss.lo == s->first && s->loss.hi == s->first + s->count - 1);
        assert_int_equal(s->lr.count, 0);
        next += s->count;
        sum += s->loss.sum;
        longest = fmax(longest, s->ms.hi);
    }
    assert_int_equal(next, STEPS + 1);
    assert_true(sum == STEPS * (STEPS + 1) / 2);
    assert_true(longest == 7);
    clfcn_history_close(&h);
    free(report());
    clfcn_strbuf_free(&log);
}

static void test_many_epochs_are_thinned(void **state)
{
    enum { EPOCHS = 3000, BEST = 1001 };
    struct clfcn_history h;
    struct clfcn_strbuf log = { 0 };
    for (int i = 0; i < EPOCHS; ++i) {
        clfcn_strbuf_add(&log,
                         "{\"event\":\"epoch\",\"epoch\":%d,\"mean_iou\":%g,"
                         "\"iou\":[0.5],\"seconds\":2}\n",
                         i, i + 1 == BEST ? 0.9 : 0.5);
    }
    put_run(log.str);
    assert_int_equal(clfcn_history_read(&h, "run", NULL), CLFCN_OK);
    assert_int_equal(h.epoch_total, EPOCHS);
    assert_in_range(h.epoch_count, CLFCN_HISTORY_EPOCHS / 2, CLFCN_HISTORY_EPOCHS);
    assert_int_equal(h.epochs[0].number, 1);
    assert_int_equal(h.epochs[h.epoch_count - 1].number, EPOCHS);
    assert_int_equal(clfcn_history_best(&h)->number, BEST);
    assert_true(h.seconds == 2 * EPOCHS);
    for (int i = 1; i < h.epoch_count; ++i) {
        assert_true(h.epochs[i].number > h.epochs[i - 1].number);
    }
    clfcn_history_close(&h);
    char *page = report();
    assert_non_null(strstr(page, "of 3000 epochs are shown"));
    free(page);
    clfcn_strbuf_free(&log);
}

static void append(const char *text)
{
    FILE *f = fopen("run/log.jsonl", "ab");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static void test_a_growing_log_is_followed(void **state)
{
    struct clfcn_history h;
    char buf[CLFCN_PAGE_STATE_LEN];
    put_run("");
    assert_int_equal(clfcn_history_open(&h, "run", NULL), CLFCN_OK);
    assert_int_equal(clfcn_history_follow(&h, -1, NULL), 0);
    assert_int_equal(h.state, CLFCN_HISTORY_EMPTY);
    append("{\"event\":\"start\"}\n{\"event\":\"step\",\"lo");
    assert_int_equal(clfcn_history_follow(&h, -1, NULL), 1);
    assert_int_equal(h.state, CLFCN_HISTORY_RUNNING);
    assert_int_equal(clfcn_history_follow(&h, -1, NULL), 0); /* not whole yet */
    append("ss\":0.25}\n");
    assert_int_equal(clfcn_history_follow(&h, -1, NULL), 1);
    assert_true(h.step_count == 1 && h.last_loss == 0.25);
    append("{\"event\":\"pause\",\"reason\":\"battery\"}\n{\"event\":\"resume\"}\n"
           "{\"event\":\"end\",\"reason\":\"failed\",\"message\":\"no luck\"}\n");
    assert_int_equal(clfcn_history_follow(&h, 1, NULL), 1);
    assert_string_equal(clfcn_page_state(&h, buf), "Paused: on battery");
    assert_int_equal(clfcn_history_follow(&h, 1, NULL), 1);
    assert_int_equal(h.state, CLFCN_HISTORY_RUNNING);
    assert_int_equal(clfcn_history_follow(&h, 7, NULL), 1);
    assert_string_equal(clfcn_page_state(&h, buf), "Failed: no luck");
    clfcn_history_close(&h);
}

static void test_how_a_run_ended(void **state)
{
    static const char *const cases[][2] = {
        { "", "Not started yet" },
        { "{\"event\":\"start\"}\n", "unless it was killed" },
        { "{\"event\":\"end\",\"reason\":\"completed\"}\n", ">Finished<" },
        { "{\"event\":\"end\",\"reason\":\"interrupted\"}\n", ">Stopped; " },
        { "{\"event\":\"end\",\"reason\":\"<patience>\"}\n",
          ">Finished: &lt;patience&gt;<" },
        { "{\"event\":\"end\"}\n", ">Finished: no reason" },
        { "{\"event\":\"pause\"}\n", ">Paused<" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        put_run(cases[i][0]);
        char *page = report();
        assert_non_null(strstr(page, cases[i][1]));
        free(page);
    }
}

static void test_page_is_escaped_and_self_contained(void **state)
{
    put_run(log_lines);
    char *page = report();
    assert_non_null(strstr(page, "A &amp; &lt;B&gt;"));
    assert_non_null(strstr(page, "&lt;i&gt;box"));
    assert_non_null(strstr(page, "background:#ff8000"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<i>box"));
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    assert_null(strstr(page, "nan"));
    assert_int_equal(count(page, "<svg"), count(page, "</svg>"));
    assert_int_equal(count(page, "<svg"), 5); /* loss twice, metrics, time, rate */
    assert_non_null(strstr(page, "best, epoch 1"));
    assert_non_null(strstr(page, "last, epoch 2"));
    free(page);
}

static void test_samples_are_embedded(void **state)
{
    put_run(log_lines);
    put("run/samples/epoch-0001-a.png", "Man");
    put("run/samples/epoch-0002-a\"b.png", "Ma");
    char *page = report();
    assert_non_null(strstr(page, "base64,TWFu\""));
    assert_non_null(strstr(page, "base64,TWE=\""));
    assert_non_null(strstr(page, "epoch-0002-a&quot;b.png"));
    assert_true(strstr(page, "After epoch 2") < strstr(page, "After epoch 1"));
    free(page);
}

static void test_run_without_an_epoch(void **state)
{
    put_run("");
    char *page = report();
    assert_non_null(strstr(page, "No epoch"));
    assert_null(strstr(page, "<svg"));
    free(page);
}

static void test_run_without_validation(void **state)
{
    put_run("{\"event\":\"step\",\"loss\":0.7,\"lr\":0.01,\"ms\":12}\n"
            "{\"event\":\"epoch\",\"epoch\":0,\"train_loss\":0.6,\"val_loss\":null,"
            "\"mean_iou\":null,\"iou\":null,\"seconds\":1.5}\n");
    char *page = report();
    assert_int_equal(count(page, "<svg"), 3);
    assert_null(strstr(page, "IoU of each class"));
    assert_null(strstr(page, "Best mean IoU"));
    free(page);
}

static void test_what_is_no_run(void **state)
{
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_report_write("none", NULL, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "none"));
    put_run(log_lines);
    put("run/config.json", "{ no");
    assert_int_equal(clfcn_report_write("run", NULL, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "config.json"));
    put("run/config.json", "{}");
    assert_int_equal(unlink("run/log.jsonl"), 0);
    assert_int_equal(clfcn_report_write("run", NULL, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "log.jsonl"));
}

static void test_output_that_cannot_be_written(void **state)
{
    struct clfcn_err err = { 0 };
    put_run(log_lines);
    assert_int_equal(clfcn_report_write("run", "none/report.html", &err), CLFCN_EIO);
    assert_non_null(strstr(err.msg, "none/report.html"));
}

static void test_base64(void **state)
{
    static const char *const want[] = {
        "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"
    }; /* RFC 4648, section 10 */
    for (int n = 1; n <= 6; ++n) {
        struct clfcn_strbuf sb = { 0 };
        clfcn_html_base64(&sb, "foobar", (size_t)n);
        assert_string_equal(sb.str, want[n]);
        clfcn_strbuf_free(&sb);
    }
}

static void test_names_in_urls(void **state)
{
    struct clfcn_strbuf sb = { 0 };
    clfcn_html_url(&sb, "a-1_b.png %/?#\xc3\xa9\"");
    assert_string_equal(sb.str, "a-1_b.png%20%25%2F%3F%23%C3%A9%22");
    clfcn_strbuf_free(&sb);
}

static void test_ticks_are_round(void **state)
{
    const double cases[][2] = {
        { 1, 0.2 }, { 0.9, 0.2 }, { 7, 2 }, { 24, 5 }, { 3e-4, 1e-4 }
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        double tick = clfcn_svg_tick(cases[i][0], 5);
        assert_true(fabs(tick - cases[i][1]) < 1e-9 * cases[i][1]);
    }
}

static void test_charts_of_many_points(void **state)
{
    enum { POINTS = 500 };
    struct clfcn_svg_point points[POINTS];
    for (int i = 0; i < POINTS; ++i) {
        points[i] = (struct clfcn_svg_point){ .x = 4000.0 * (i + 1), .y = i };
    }
    struct clfcn_svg_series series = {
        .name = "s", .points = points, .count = POINTS, .dots = true
    };
    struct clfcn_svg_chart chart = {
        .title = "t", .x_label = "x", .series = &series, .count = 1, .y_max = NAN
    };
    struct clfcn_strbuf sb = { 0 };
    clfcn_svg_chart(&sb, &chart);
    assert_int_equal(count(sb.str, "<circle"), 0);
    assert_int_equal(count(sb.str, ">500k<"), 1);
    assert_int_equal(count(sb.str, ">1.5M<"), 1);
    assert_int_equal(count(sb.str, ">2M<"), 1);
    clfcn_strbuf_free(&sb);
}

static void test_charts_of_odd_data(void **state)
{
    struct clfcn_svg_point points[] = {
        { 1, NAN, 0, 0 }, { 2, 3, 0, 0 }, { 3, NAN, 0, 0 }, { 4, 3, 0, 0 }
    };
    struct clfcn_svg_series series = {
        .name = "<", .points = points, .count = 1, .dots = true
    };
    struct clfcn_svg_chart chart = {
        .title = "t", .x_label = "x", .series = &series, .count = 1, .y_max = NAN
    };
    struct clfcn_strbuf sb = { 0 };
    clfcn_svg_chart(&sb, &chart);
    assert_int_equal(sb.len, 0); /* nothing to show */
    series.count = 4;
    clfcn_svg_chart(&sb, &chart); /* constant, with gaps: two separate strokes */
    const char *path = strstr(sb.str, "<path");
    assert_non_null(path);
    assert_int_equal(count(path, "M"), 2);
    assert_int_equal(count(sb.str, "<circle"), 2);
    assert_null(strstr(sb.str, "nan"));
    assert_null(strstr(sb.str, "inf"));
    clfcn_strbuf_free(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)
        IN_FOLDER(test_configuration_can_be_read),
        IN_FOLDER(test_ranks_are_shown),
        IN_FOLDER(test_history_reads_what_is_whole),
        IN_FOLDER(test_long_runs_are_thinned),
        IN_FOLDER(test_many_epochs_are_thinned),
        IN_FOLDER(test_a_growing_log_is_followed),
        IN_FOLDER(test_how_a_run_ended),
        IN_FOLDER(test_page_is_escaped_and_self_contained),
        IN_FOLDER(test_samples_are_embedded),
        IN_FOLDER(test_run_without_an_epoch),
        IN_FOLDER(test_run_without_validation),
        IN_FOLDER(test_what_is_no_run),
        IN_FOLDER(test_output_that_cannot_be_written),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_names_in_urls),
        cmocka_unit_test(test_ticks_are_round),
        cmocka_unit_test(test_charts_of_many_points),
        cmocka_unit_test(test_charts_of_odd_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
