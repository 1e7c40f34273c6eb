/* test_text.c - errors, log, strings, hashes, the order and the parts of names. */
#include "../../host/util/err.h"
#include "../../host/util/hash.h"
#include "../../host/util/log.h"
#include "../../host/util/path.h"
#include "../../host/util/strbuf.h"
#include "../../host/util/sys.h"
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_err_reads_from_the_outside_in(void **state)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_err_set(&err, CLFCN_ECL, -5, "CLBlast %d", -1009), CLFCN_ECL);
    clfcn_err_note(&err, "layer '%s'", "conv3_1");
    assert_int_equal(err.code, CLFCN_ECL);
    assert_int_equal(err.native, -5);
    assert_string_equal(err.msg, "layer 'conv3_1': CLBlast -1009");

    assert_int_equal(clfcn_err_errno(&err, ENOSPC, "cannot write %s", "a.bin"),
                     CLFCN_EIO);
    assert_int_equal(err.native, ENOSPC);
    assert_string_equal(err.msg, "cannot write a.bin: No space left on device");

    /* The old message may be an argument of the new one. */
    clfcn_err_set(&err, CLFCN_EDATA, 0, "<%s>", err.msg);
    assert_string_equal(err.msg, "<cannot write a.bin: No space left on device>");

    assert_int_equal(clfcn_err_set(NULL, CLFCN_EIO, 0, "x"), CLFCN_EIO);
    assert_int_equal(clfcn_err_errno(NULL, EIO, "x"), CLFCN_EIO);
    assert_int_equal(clfcn_err_nomem(NULL), CLFCN_ENOMEM);
    clfcn_err_note(NULL, "x");
}

static void test_err_is_one_line(void **state)
{
    struct clfcn_err err;
    clfcn_err_set(&err, CLFCN_ECL, 0, "error: a\n\tb\r\n");
    assert_string_equal(err.msg, "error: a  b");
    clfcn_err_note(&err, "two\nlines");
    assert_string_equal(err.msg, "two lines: error: a  b");
    clfcn_err_set(&err, CLFCN_ECL, 0, "%s", "\n");
    assert_string_equal(err.msg, "CLFCN_ECL"); /* never empty */
    clfcn_err_set(&err, CLFCN_ECL, 0,
                  "\x1b[2J\xc2\x9b"
                  "2Jü\x7f!");
    assert_string_equal(err.msg, " [2J  2Jü !");
    assert_true(clfcn_is_one_line(err.msg));
    assert_false(clfcn_is_one_line("a\x1b"));
    assert_false(clfcn_is_one_line("a\xc2\x9b"));
    assert_true(clfcn_is_one_line(""));
}

/* 2000 characters neither overflow nor push the cause out; UTF-8 is not cut apart. */
static void test_err_truncates(void **state)
{
    struct clfcn_err err;
    char text[2001];
    memset(text, 'x', 2000);
    text[2000] = '\0';
    clfcn_err_set(&err, CLFCN_EIO, 0, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_string_equal(err.msg + sizeof(err.msg) - 5, "x...");

    clfcn_err_set(&err, CLFCN_EIO, 0, "the cause");
    clfcn_err_note(&err, "%s", text);
    assert_non_null(strstr(err.msg, "x...: the cause"));

    clfcn_err_set(&err, CLFCN_EIO, 0, "the cause");
    for (int i = 0; i < 1000; ++i) {
        clfcn_err_note(&err, "level %d", i);
    }
    assert_memory_equal(err.msg, "level 999: level 998: ", 22);
    assert_true(strlen(err.msg) < sizeof(err.msg));

    for (int i = 0; i < 2000; i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    for (int odd = 0; odd < 2; ++odd) {
        clfcn_err_set(&err, CLFCN_EIO, 0, "%s%s", odd ? "y" : "", text);
        const char *dots = strstr(err.msg, "...");
        assert_non_null(dots);
        assert_int_equal((unsigned char)dots[-1], 0xa9);
    }
}

static void test_status_names(void **state)
{
    assert_string_equal(clfcn_status_name(CLFCN_OK), "CLFCN_OK");
    assert_string_equal(clfcn_status_name(CLFCN_EDEVMEM), "CLFCN_EDEVMEM");
    assert_non_null(clfcn_status_name(-99));
    assert_non_null(strchr(clfcn_version(), '.'));
}

struct heard {
    int count;
    char last[64];
};

static void hear(void *user, enum clfcn_log_level level, const char *msg)
{
    struct heard *heard = user;
    ++heard->count;
    snprintf(heard->last, sizeof(heard->last), "%d %s", (int)level, msg);
}

static void test_log(void **state)
{
    struct heard heard = { 0 };
    clfcn_warn("nobody listens");
    clfcn_log_set(CLFCN_LOG_INFO, hear, &heard);
    clfcn_debug("too fine");
    assert_int_equal(heard.count, 0);
    clfcn_info("step %d\n", 3);
    assert_string_equal(heard.last, "2 step 3");
    clfcn_warn("a file's name: '\x1b[2J\xc2\x9b\xc3\xa9'"); /* terminals shall not obey */
    assert_string_equal(heard.last, "1 a file's name: ' [2J  \xc3\xa9'");
    clfcn_log_set(CLFCN_LOG_DEBUG, NULL, NULL);
    clfcn_log(CLFCN_LOG_ERROR, "silenced");
    assert_int_equal(heard.count, 2);
}

static void test_strbuf(void **state)
{
    struct clfcn_strbuf sb = { 0 };
    for (int i = 0; i < 1000; ++i) {
        clfcn_strbuf_add(&sb, "%d,", i % 10);
    }
    assert_int_equal(sb.len, 2000);
    assert_int_equal(strlen(sb.str), 2000);
    clfcn_strbuf_add_bytes(&sb, "a\0b", 3);
    assert_int_equal(sb.len, 2003);
    assert_memory_equal(sb.str + 1998, "9,a\0b", 6);
    clfcn_strbuf_add_bytes(&sb, NULL, 0);
    assert_false(sb.failed);

    clfcn_strbuf_add_bytes(&sb, "x", SIZE_MAX);
    assert_true(sb.failed);
    clfcn_strbuf_add(&sb, "more");
    assert_int_equal(sb.len, 2003);
    clfcn_strbuf_free(&sb);
    assert_null(sb.str);
}

static void test_format_bytes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *want;
    } cases[] = {
        { 0, "0 B" },
        { 1023, "1023 B" },
        { 1024, "1.0 KiB" },
        { 1048575, "1.0 MiB" }, /* not "1024.0 KiB" */
        { UINT64_C(3) << 29, "1.5 GiB" },
        { UINT64_MAX, "16.0 EiB" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char buf[16];
        assert_string_equal(clfcn_format_bytes(cases[i].bytes, buf, sizeof(buf)),
                            cases[i].want);
    }
}

static void test_format_duration(void **state)
{
    char buf[CLFCN_DURATION_LEN];
    assert_string_equal(clfcn_format_duration(0.44, buf), "0.4 s");
    assert_string_equal(clfcn_format_duration(35.4, buf), "35 s");
    assert_string_equal(clfcn_format_duration(99.4, buf), "99 s");
    assert_string_equal(clfcn_format_duration(99.6, buf), "1.7 min");
    assert_string_equal(clfcn_format_duration(420, buf), "7.0 min");
    assert_string_equal(clfcn_format_duration(5960, buf), "99 min");
    assert_string_equal(clfcn_format_duration(9000, buf), "2.5 h");
}

static void test_format_number(void **state)
{
    char buf[CLFCN_NUMBER_LEN];
    assert_string_equal(clfcn_format_number(92.2345, 4, buf), "92.23");
    assert_string_equal(clfcn_format_number(7, 4, buf), "7");
    assert_string_equal(clfcn_format_number(9999.4, 4, buf), "9999");
    assert_string_equal(clfcn_format_number(9999.6, 4, buf), "10000");
    assert_string_equal(clfcn_format_number(-12938.4, 3, buf), "-12938");
    assert_string_equal(clfcn_format_number(1e300, 4, buf), "1e+300");
    assert_string_equal(clfcn_format_number(NAN, 4, buf), "nan");
}

/* The test vectors of the FNV specification. */
static void test_hash(void **state)
{
    assert_true(clfcn_hash(CLFCN_HASH_INIT, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(clfcn_hash(CLFCN_HASH_INIT, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(clfcn_hash(CLFCN_HASH_INIT, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    const uint64_t ab_c = clfcn_hash_str(clfcn_hash_str(CLFCN_HASH_INIT, "ab"), "c");
    const uint64_t a_bc = clfcn_hash_str(clfcn_hash_str(CLFCN_HASH_INIT, "a"), "bc");
    assert_true(ab_c != a_bc);
}

/* Every pair of a list in the right order must compare so, in both directions. */
static void test_natural_order(void **state)
{
    static const char *const names[] = {
        "",
        "0",
        "00",
        "01",
        "1",
        "1.png",
        "2.png",
        "010.png",
        "10.png",
        "100",
        "99999999999999999998",
        "99999999999999999999",
        "A1",
        "a",
        "a01",
        "a1",
        "a1b2",
        "a01b10",
        "a1b10",
        "a2",
        "a10",
        "aa",
        "b-2",
        "b-10",
        "\xc3\xa9",
    };
    const int n = (int)(sizeof(names) / sizeof(names[0]));
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            const int order = clfcn_path_natural_cmp(names[i], names[j]);
            const bool right = i == j ? order == 0 : (order < 0) == (i < j) && order != 0;
            if (!right) {
                fail_msg("'%s' against '%s' gives %d", names[i], names[j], order);
            }
        }
    }
}

static void test_path_parts(void **state)
{
    static const struct {
        const char *path, *base, *stem, *ext;
    } cases[] = {
        { "a/b.c.png", "b.c.png", "b.c", "png" },
        { "x", "x", "x", "" },
        { "a.b/x", "x", "x", "" },
        { "/d/.hidden", ".hidden", ".hidden", "" },
        { "end.", "end.", "end", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char *stem = clfcn_path_stem(cases[i].path);
        assert_string_equal(clfcn_path_base(cases[i].path), cases[i].base);
        assert_string_equal(clfcn_path_ext(cases[i].path), cases[i].ext);
        assert_string_equal(stem, cases[i].stem);
        free(stem);
    }
    static const char *const joins[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "", "b", "b" }, { "/", "b", "/b" }
    };
    for (int i = 0; i < 4; ++i) {
        char *path = clfcn_path_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        free(path);
    }
}

static void test_clock_and_terminal(void **state)
{
    char iso[32];
    clfcn_clock_iso(iso, sizeof(iso));
    assert_int_equal(strlen(iso), 20);
    assert_true(iso[4] == '-' && iso[10] == 'T' && iso[19] == 'Z');
    const double t = clfcn_clock();
    assert_true(clfcn_clock() >= t);
    assert_true(clfcn_peak_rss_kb() > 100);
    assert_true(clfcn_term_width() > 0);
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_false(clfcn_term_is_tty(f));
    assert_false(clfcn_term_has_color(f));
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_reads_from_the_outside_in),
        cmocka_unit_test(test_err_is_one_line),
        cmocka_unit_test(test_err_truncates),
        cmocka_unit_test(test_status_names),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_strbuf),
        cmocka_unit_test(test_format_bytes),
        cmocka_unit_test(test_format_number),
        cmocka_unit_test(test_format_duration),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_natural_order),
        cmocka_unit_test(test_path_parts),
        cmocka_unit_test(test_clock_and_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
