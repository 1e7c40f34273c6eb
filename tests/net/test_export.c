/* Pieces of writing weights for others: pickles, read back by our own reader, and floats
 * in fewer bits. */
#include "../../host/net/narrow.h"
#include "../../host/net/pickle.h"
#include "../../host/net/pickle_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- pickles --- */

static int find(void *user, const struct clfcn_pickle_value *module,
                const struct clfcn_pickle_value *name, struct clfcn_pickle_value *out,
                struct clfcn_err *err)
{
    assert_true(clfcn_pickle_is(module, "some.module"));
    assert_true(clfcn_pickle_is(name, "Name"));
    return CLFCN_OK;
}

/* Calls make empty dictionaries, persistent ids stand for the length of their tuple. */
static int call(void *user, const struct clfcn_pickle_value *callee,
                const struct clfcn_pickle_value *args, struct clfcn_pickle_value *out,
                struct clfcn_err *err)
{
    assert_int_equal(args->count, 0);
    out->kind = CLFCN_PICKLE_DICT;
    return CLFCN_OK;
}

static int persistent(void *user, const struct clfcn_pickle_value *id,
                      struct clfcn_pickle_value *out, struct clfcn_err *err)
{
    *out = (struct clfcn_pickle_value){ .kind = CLFCN_PICKLE_INT,
                                        .number = (int64_t)id->count };
    return CLFCN_OK;
}

static const struct clfcn_pickle_value *read_back(struct clfcn_pickle *p,
                                                  const struct clfcn_strbuf *text)
{
    const struct clfcn_pickle_hooks hooks = { NULL, find, call, persistent };
    const struct clfcn_pickle_value *v;
    struct clfcn_err err = { .msg = "" };
    size_t used;
    assert_false(text->failed);
    if (clfcn_pickle_read(p, (const unsigned char *)text->str, text->len, &hooks, &used,
                          &v, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(used, text->len);
    return v;
}

/* At both sides of every change of opcode. */
static void test_integers(void **state)
{
    static const int64_t numbers[] = { 0,
                                       255,
                                       256,
                                       65535,
                                       65536,
                                       INT32_MAX,
                                       INT32_MAX + 1LL,
                                       -1,
                                       INT32_MIN,
                                       INT32_MIN - 1LL,
                                       INT64_MAX,
                                       INT64_MIN };
    enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
    struct clfcn_strbuf text = { 0 };
    struct clfcn_pickle p = { 0 };
    clfcn_pickle_put_header(&text);
    clfcn_pickle_put_ints(&text, numbers, COUNT);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_STOP);
    const struct clfcn_pickle_value *v = read_back(&p, &text);
    assert_int_equal(v->kind, CLFCN_PICKLE_TUPLE);
    assert_int_equal(v->count, COUNT);
    for (int i = 0; i < COUNT; ++i) {
        assert_int_equal(v->items[i]->kind, CLFCN_PICKLE_INT);
        assert_true(v->items[i]->number == numbers[i]);
    }
    clfcn_pickle_free(&p);
    clfcn_strbuf_free(&text);
}

static void test_calls_and_dictionaries(void **state)
{
    struct clfcn_strbuf text = { 0 };
    struct clfcn_pickle p = { 0 };
    clfcn_pickle_put_header(&text);
    clfcn_pickle_put_global(&text, "some.module", "Name");
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_EMPTY_TUPLE);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_REDUCE);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_MARK);
    clfcn_pickle_put_text(&text, "id");
    clfcn_pickle_put_ints(&text, (const int64_t[]){ 7, 8, 9 }, 3);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_PERSISTENT);
    clfcn_pickle_put_text(&text, "no");
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_FALSE);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_SETITEMS);
    clfcn_pickle_put_op(&text, CLFCN_PICKLE_OP_STOP);
    const struct clfcn_pickle_value *v = read_back(&p, &text);
    assert_int_equal(v->kind, CLFCN_PICKLE_DICT);
    assert_int_equal(v->count, 4);
    assert_int_equal(clfcn_pickle_get(v, "id")->number, 3);
    assert_int_equal(clfcn_pickle_get(v, "no")->kind, CLFCN_PICKLE_BOOL);
    assert_int_equal(clfcn_pickle_get(v, "no")->number, 0);
    clfcn_strbuf_free(&text);
    clfcn_pickle_free(&p);
}

/* --- fewer bits --- */

static uint16_t narrow(float x, enum clfcn_dtype dtype)
{
    uint16_t bits;
    assert_int_equal(clfcn_narrow(&x, 1, dtype), 2);
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static float from_half(unsigned bits)
{
    const int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
    const float x = exponent ? ldexpf((float)(mantissa + 1024), exponent - 25)
                             : ldexpf((float)mantissa, -24);
    return bits & 0x8000 ? -x : x;
}

/* Each finite half comes back, and what lies between two goes to the nearer one; from the
 * middle to the even one. */
static void test_every_half(void **state)
{
    for (unsigned sign = 0; sign <= 0x8000; sign += 0x8000) {
        for (unsigned h = 0; h < 0x7bff; ++h) {
            const float low = from_half(sign | h), high = from_half(sign | (h + 1));
            const float middle = (low + high) / 2;
            assert_int_equal(narrow(low, CLFCN_F16), sign | h);
            assert_int_equal(narrow(middle, CLFCN_F16), sign | (h + (h & 1)));
            assert_int_equal(narrow(nextafterf(middle, low), CLFCN_F16), sign | h);
            assert_int_equal(narrow(nextafterf(middle, high), CLFCN_F16), sign | (h + 1));
        }
    }
}

static void test_ends_of_half(void **state)
{
    assert_int_equal(narrow(65504.0f, CLFCN_F16), 0x7bff);
    assert_int_equal(narrow(65519.0f, CLFCN_F16), 0x7bff);
    assert_int_equal(narrow(65520.0f, CLFCN_F16), 0x7c00);
    assert_int_equal(narrow(-1e30f, CLFCN_F16), 0xfc00);
    assert_int_equal(narrow(INFINITY, CLFCN_F16), 0x7c00);
    assert_int_equal(narrow(1e-30f, CLFCN_F16), 0);
    assert_int_equal(narrow(-0.0f, CLFCN_F16), 0x8000);
    assert_true((narrow(NAN, CLFCN_F16) & 0x7fff) > 0x7c00);
}

static void test_bfloat(void **state)
{
    static const struct {
        uint32_t wide;
        uint16_t want;
    } rows[] = {
        { 0x3f800000, 0x3f80 }, { 0x3f808000, 0x3f80 }, { 0x3f808001, 0x3f81 },
        { 0x3f818000, 0x3f82 }, { 0xbf817fff, 0xbf81 }, { 0x7f7fffff, 0x7f80 },
        { 0xff800000, 0xff80 }, { 0x7f800001, 0x7fc0 }, { 0x00000001, 0x0000 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        float x;
        memcpy(&x, &rows[i].wide, sizeof(x));
        assert_int_equal(narrow(x, CLFCN_BF16), rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),   cmocka_unit_test(test_calls_and_dictionaries),
        cmocka_unit_test(test_every_half), cmocka_unit_test(test_ends_of_half),
        cmocka_unit_test(test_bfloat),
    };
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
