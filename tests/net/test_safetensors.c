/* Safetensors files: what is written reads back, and no damage is taken for a good file.
 */
#include "../../host/net/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/clfcn-st-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/t.safetensors", dir);
    return 0;
}

static int remove_dir(void **state)
{
    unlink(path);
    return rmdir(dir); /* fails if a temporary file was left behind */
}

static void write_bytes(const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A file of that header and n zero bytes of data. */
static void write_file(const char *header, size_t n)
{
    const uint64_t length = strlen(header);
    char *bytes = calloc(1, 8 + (size_t)length + n);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, (size_t)length);
    write_bytes(bytes, 8 + (size_t)length + n);
    free(bytes);
}

static const float values[6] = { 1, -2.5f, 3e-8f, 0, -0.0f, 1e30f };
static const int64_t counter = INT64_C(-3000000000);
#define METADATA "{\"quotes\": \"\\\" and \\\\\", \"newline\": \"\\n\"}"

static void write_sample(void)
{
    struct clfcn_st_writer *w;
    const int64_t dims[2] = { 2, 3 }, none[1] = { 0 };
    assert_int_equal(clfcn_st_writer_create(&w, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "a.weight", CLFCN_F32, 2, dims, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "n", CLFCN_I64, 0, NULL, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "empty", CLFCN_F32, 1, none, NULL), 0);
    assert_int_equal(clfcn_st_writer_begin(w, path, METADATA, NULL), 0);
    assert_int_equal(clfcn_st_writer_data(w, values, 8, NULL), 0); /* in parts */
    assert_int_equal(clfcn_st_writer_data(w, values + 2, 16, NULL), 0);
    assert_int_equal(clfcn_st_writer_data(w, &counter, 8, NULL), 0);
    assert_int_equal(clfcn_st_writer_commit(w, NULL), 0);
    clfcn_st_writer_destroy(&w);
    assert_null(w);
}

static void test_round_trip(void **state)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    float read[6];
    write_sample();
    assert_int_equal(clfcn_weights_open(path, &f, &err), 0);
    assert_int_equal(f.count, 3);
    assert_string_equal(f.metadata, METADATA);
    const struct clfcn_weights_tensor *a = clfcn_weights_find(&f, "a.weight");
    assert_non_null(a);
    assert_int_equal(a->ndim, 2);
    assert_int_equal(a->dims[0], 2);
    assert_int_equal(a->dims[1], 3);
    assert_int_equal(a->count, 6);
    assert_int_equal(clfcn_weights_floats(&f, a, read, &err), 0);
    assert_memory_equal(read, values, sizeof(values));
    const struct clfcn_weights_tensor *n = clfcn_weights_find(&f, "n");
    assert_int_equal(n->ndim, 0);
    assert_int_equal(n->count, 1);
    int64_t stored = 0;
    assert_int_equal(clfcn_weights_integers(&f, n, &stored, &err), 0);
    assert_memory_equal(&stored, &counter, 8);
    assert_int_equal(clfcn_weights_floats(&f, n, read, &err), CLFCN_EDATA);
    assert_int_equal(clfcn_weights_find(&f, "empty")->bytes, 0);
    assert_null(clfcn_weights_find(&f, "a"));
    clfcn_weights_close(&f);
    clfcn_weights_close(&f); /* harmless */
}

/* The rules of the reference implementation that our own reader does not need. */
static void test_layout(void **state)
{
    uint64_t length;
    size_t size;
    char *data;
    write_sample();
    assert_int_equal(clfcn_file_read(path, 0, &data, &size, NULL), 0);
    memcpy(&length, data, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(size, 8 + length + 32);
    const char want[] = "{\"__metadata__\":{\"format\":\"pt\",\"clfcn\":";
    assert_memory_equal(data + 8, want, sizeof(want) - 1);
    assert_non_null(
        strstr(data + 8, "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                         "\"data_offsets\":[0,24]},\"n\":{\"dtype\":\"I64\",\"shape\":[],"
                         "\"data_offsets\":[24,32]}"));
    free(data);
}

static void test_truncated_at_every_byte(void **state)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    size_t size;
    char *whole;
    write_sample();
    assert_int_equal(clfcn_file_read(path, 0, &whole, &size, NULL), 0);
    for (size_t n = 0; n < size; ++n) {
        write_bytes(whole, n);
        err.msg[0] = '\0';
        assert_int_equal(clfcn_weights_open(path, &f, &err), CLFCN_EDATA);
        assert_non_null(strstr(err.msg, path));
        assert_non_null(strstr(err.msg, "truncated"));
        assert_null(f.tensors);
    }
    char want[64];
    snprintf(want, sizeof(want),
             "truncated checkpoint: %zu bytes, its header promises %zu", size - 1, size);
    assert_non_null(strstr(err.msg, want));
    free(whole);
}

/* No flipped bit of the header may crash or lead outside the file. */
static void test_flipped_bits(void **state)
{
    struct clfcn_weights_file f;
    size_t size;
    char *bytes;
    write_sample();
    assert_int_equal(clfcn_file_read(path, 0, &bytes, &size, NULL), 0);
    int refused = 0;
    for (size_t bit = 0; bit < 8 * (size - 32); ++bit) {
        struct clfcn_err err = { 0 };
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        write_bytes(bytes, size);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        int rc = clfcn_weights_open(path, &f, &err);
        if (rc < 0) {
            assert_int_equal(rc, CLFCN_EDATA);
            assert_true(err.msg[0] != '\0');
            refused++;
            continue;
        }
        for (int i = 0; i < f.count; ++i) {
            const struct clfcn_weights_tensor *t = &f.tensors[i];
            assert_true(t->offset <= size && t->bytes <= size - t->offset);
        }
        clfcn_weights_close(&f);
    }
    assert_true(refused > 100);
    free(bytes);
}

/* What is there, and told so, when it is opened, may be gone when it is wanted. */
static void test_cut_while_open(void **state)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    float read[6];
    int64_t n;
    write_sample();
    assert_int_equal(clfcn_weights_open(path, &f, &err), 0);
    assert_int_equal(truncate(path, (off_t)(f.size - 20)), 0);
    assert_int_equal(
        clfcn_weights_floats(&f, clfcn_weights_find(&f, "a.weight"), read, &err),
        CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "cut while it was read"));
    assert_int_equal(clfcn_weights_integers(&f, clfcn_weights_find(&f, "n"), &n, &err),
                     CLFCN_EDATA);
    clfcn_weights_close(&f);
}

static void assert_refused(const char *header, size_t data, const char *why)
{
    struct clfcn_weights_file f;
    struct clfcn_err err = { 0 };
    write_file(header, data);
    int rc = clfcn_weights_open(path, &f, &err);
    if (rc != CLFCN_EDATA || strstr(err.msg, why) == NULL) {
        fail_msg("%s gave %d '%s', not '%s'", header, rc, err.msg, why);
    }
}

#define T(name, dtype, shape, offsets)                       \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
    ",\"data_offsets\":" offsets "}"

static void test_bad_headers(void **state)
{
    assert_refused("", 8, "not a safetensors file");
    assert_refused("[]", 8, "no JSON object");
    assert_refused("{} trailing", 8, "damaged");
    assert_refused("{\"a\":3}", 8, "dtype");
    assert_refused("{" T("a", "F31", "[1]", "[0,4]") "}", 8, "dtype");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 8, "shape");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[1]", "[0]") "}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[1]", "[0,4,8]") "}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[1]", "[4,0]") "}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[1]", "[-4,0]") "}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[1]", "[0,4.0]") "}", 8, "data_offsets");
    assert_refused("{" T("a", "F32", "[2]", "[0,4]") "}", 8, "do not fit");
    assert_refused("{" T("a", "F64", "[1]", "[0,4]") "}", 8, "do not fit");
    assert_refused("{" T("a", "F32", "[-1]", "[0,4]") "}", 8, "no size");
    assert_refused("{" T("a", "F32", "[1.5]", "[0,4]") "}", 8, "no size");
    assert_refused("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 8, "shape");
    /* 2^32 * 2^32 wraps to 0 and 2^62 * 4 bytes to 0. */
    assert_refused("{" T("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 8,
                   "too large");
    assert_refused("{" T("a", "F32", "[4611686018427387904]", "[0,0]") "}", 8,
                   "too large");
    assert_refused("{" T("a", "F32", "[99999999999999999999]", "[0,0]") "}", 8,
                   "damaged");
    assert_refused(
        "{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[1]", "[4,8]") "}", 8,
        "overlaps");
    assert_refused(
        "{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}", 8,
        "overlaps");
    assert_refused(
        "{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8,
        "duplicate");
    assert_refused("{" T("a", "F32", "[3]", "[0,12]") "}", 8, "truncated");
    assert_refused("{" T("a\\u001b[2J", "F32", "[1]", "[0,4]") "}", 8,
                   "has a name that no parameter has");
    assert_refused("{" T("", "F32", "[1]", "[0,4]") "}", 8, "no parameter has");
    assert_refused("{\"__metadata__\":[]}", 8, "__metadata__");
    assert_refused("{\"__metadata__\":{\"a\":1}}", 8, "__metadata__");
    const unsigned char huge[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct clfcn_weights_file f;
    struct clfcn_err err;
    write_bytes(huge, sizeof(huge));
    assert_int_equal(clfcn_weights_open(path, &f, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "not a safetensors file"));
}

static void test_good_headers(void **state)
{
    struct clfcn_weights_file f;
    /* Out of order, with a hole, trailing blanks, members nobody knows, no metadata. */
    write_file(
        "{" T("late", "U8", "[2]", "[6,8]") ",\"x\":{\"dtype\":\"F16\",\"shape\":[1,0],"
                                            "\"data_offsets\":[4,4],\"more\":1}," T(
                                                "early", "F32", "[]", "[0,4]") "}   ",
        8);
    assert_int_equal(clfcn_weights_open(path, &f, NULL), 0);
    assert_int_equal(f.count, 3);
    assert_string_equal(f.tensors[0].name, "early");
    assert_string_equal(f.tensors[2].name, "late");
    assert_int_equal(f.tensors[2].dtype, CLFCN_DTYPE_OTHER);
    assert_null(f.metadata);
    clfcn_weights_close(&f);
    write_file("{}", 0);
    assert_int_equal(clfcn_weights_open(path, &f, NULL), 0);
    assert_int_equal(f.count, 0);
    clfcn_weights_close(&f);
    assert_int_equal(clfcn_weights_open("/nonexistent/x", &f, NULL), CLFCN_EIO);
}

static void test_conversions(void **state)
{
    const uint16_t half[] = { 0x3c00, 0xc100, 0x0001, 0x7bff,
                              0x7c00, 0xfc00, 0x7e00, 0x8000 };
    const float want_half[] = { 1,     -2.5f,    5.9604644775390625e-8f,
                                65504, INFINITY, -INFINITY };
    struct clfcn_weights_tensor t = { .name = (char *)"t",
                                      .dtype = CLFCN_F16,
                                      .ndim = 1,
                                      .dims = { 8 },
                                      .strides = { 1 },
                                      .count = 8,
                                      .bytes = 16,
                                      .data = (const unsigned char *)half };
    const struct clfcn_weights_file f = { 0 };
    float out[8];
    assert_int_equal(clfcn_weights_floats(&f, &t, out, NULL), 0);
    for (int i = 0; i < 6; ++i) {
        assert_true(out[i] == want_half[i]);
    }
    assert_true(isnan(out[6]));
    assert_true(out[7] == 0 && signbit(out[7]));
    const uint16_t brain[] = { 0x3f80, 0xc020, 0x7f80 };
    t.dtype = CLFCN_BF16;
    t.count = 3;
    t.dims[0] = 3;
    t.data = (const unsigned char *)brain;
    assert_int_equal(clfcn_weights_floats(&f, &t, out, NULL), 0);
    assert_true(out[0] == 1 && out[1] == -2.5f && isinf(out[2]));
    const double wide[] = { 0.1, -1e300 };
    t.dtype = CLFCN_F64;
    t.count = 2;
    t.dims[0] = 2;
    t.data = (const unsigned char *)wide;
    assert_int_equal(clfcn_weights_floats(&f, &t, out, NULL), 0);
    assert_true(out[0] == 0.1f && isinf(out[1]));
}

static void test_writer_refuses(void **state)
{
    struct clfcn_st_writer *w;
    const int64_t one[1] = { 1 };
    write_bytes("old", 3);
    assert_int_equal(clfcn_st_writer_create(&w, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "a", CLFCN_F32, 1, one, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "a", CLFCN_F32, 1, one, NULL),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_declare(w, "__metadata__", CLFCN_F32, 1, one, NULL),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_declare(w, "b", CLFCN_I64, 1, one, NULL),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_declare(w, "c", CLFCN_DTYPE_OTHER, 1, one, NULL),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_begin(w, path, NULL, NULL), 0);
    assert_int_equal(clfcn_st_writer_declare(w, "d", CLFCN_F32, 1, one, NULL),
                     CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_commit(w, NULL), CLFCN_EINVAL);
    assert_int_equal(clfcn_st_writer_data(w, values, 8, NULL), CLFCN_EINVAL);
    clfcn_st_writer_destroy(&w);
    clfcn_st_writer_destroy(&w);
    char *data;
    size_t size;
    assert_int_equal(clfcn_file_read(path, 0, &data, &size, NULL), 0);
    assert_string_equal(data, "old"); /* what was there survives an unfinished write */
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_cut_while_open),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_good_headers),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_writer_refuses),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
