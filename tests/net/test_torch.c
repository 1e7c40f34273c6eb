/* The unpickler and the older stream of torch.save(), on handmade bytes: good ones, cut
 * at every byte, damaged at every byte, and hostile. */
#include "../../host/net/torch_pickle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(literal) (const unsigned char *)(literal), sizeof(literal) - 1

/* Bytes under construction. */
struct bytes {
    unsigned char data[4096];
    size_t size;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    assert_true(b->size + n <= sizeof(b->data));
    memcpy(b->data + b->size, data, n);
    b->size += n;
}
#define PUT(b, literal) put((b), (literal), sizeof(literal) - 1)

static void put_text(struct bytes *b, const char *text)
{
    const uint32_t n = (uint32_t)strlen(text);
    PUT(b, "X");
    put(b, &n, 4);
    put(b, text, n);
}

static void put_int(struct bytes *b, int32_t number)
{
    PUT(b, "J");
    put(b, &number, 4);
}

/* --- plain pickles --- */

/* Copied to the heap, so that a sanitizer sees a read past the end. */
static int unpickle(struct clfcn_torch_objects *o, const unsigned char *data, size_t size,
                    unsigned char **copy, const struct clfcn_pickle_value **out,
                    struct clfcn_err *err)
{
    size_t used;
    *copy = malloc(size + (size == 0));
    memcpy(*copy, data, size);
    return clfcn_torch_unpickle(o, *copy, size, &used, out, err);
}

static void assert_refused(const unsigned char *data, size_t size, const char *words)
{
    struct clfcn_torch_objects o = { 0 };
    const struct clfcn_pickle_value *v;
    struct clfcn_err err = { 0 };
    unsigned char *copy;
    assert_int_equal(unpickle(&o, data, size, &copy, &v, &err), CLFCN_EDATA);
    assert_null(v);
    if (!strstr(err.msg, words)) {
        fail_msg("'%s' does not say '%s'", err.msg, words);
    }
    clfcn_torch_free(&o);
    free(copy);
}

static const unsigned char plain[] = "\x80\x02}q\x00(X\x01\x00\x00\x00"
                                     "a]q\x01(K\x05M\x01\x02J\xfe\xff\xff\xff\x8a\x01\xff"
                                     "\x8a\x00\x88N"
                                     "eX\x01\x00\x00\x00"
                                     "b(G?\xf0\x00\x00\x00\x00\x00\x00h\x01t\x8c\x01"
                                     "c)\x85u.";
enum { PLAIN = sizeof(plain) - 1 };

static void test_plain_values(void **state)
{
    static const int64_t numbers[] = { 5, 513, -2, -1, 0, 1 };
    struct clfcn_torch_objects o = { 0 };
    const struct clfcn_pickle_value *v;
    unsigned char *copy;
    struct clfcn_err err;
    assert_int_equal(unpickle(&o, plain, PLAIN, &copy, &v, &err), 0);
    const struct clfcn_pickle_value *a = clfcn_pickle_get(v, "a"),
                                    *b = clfcn_pickle_get(v, "b"),
                                    *c = clfcn_pickle_get(v, "c");
    assert_int_equal(a->kind, CLFCN_PICKLE_LIST);
    assert_int_equal(a->count, 7);
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(a->items[i]->number, numbers[i]);
    }
    assert_int_equal(a->items[5]->kind, CLFCN_PICKLE_BOOL);
    assert_int_equal(a->items[6]->kind, CLFCN_PICKLE_NONE);
    assert_int_equal(b->kind, CLFCN_PICKLE_TUPLE);
    assert_ptr_equal(b->items[1], a); /* by way of the memo */
    assert_int_equal(c->items[0]->kind, CLFCN_PICKLE_TUPLE);
    assert_int_equal(c->items[0]->count, 0);
    assert_null(clfcn_pickle_get(v, "d"));
    clfcn_torch_free(&o);
    free(copy);
}

static void test_cut_pickles_are_refused(void **state)
{
    for (size_t n = 0; n < PLAIN; ++n) {
        assert_refused(plain, n, "ends too early");
    }
}

/* A list that holds itself is legal; nothing may follow it for ever. */
static void test_circles(void **state)
{
    struct clfcn_torch_objects o = { 0 };
    const struct clfcn_pickle_value *v;
    unsigned char *copy;
    assert_int_equal(unpickle(&o,
                              BYTES("]q\x00h\x00"
                                    "a."),
                              &copy, &v, NULL),
                     0);
    assert_ptr_equal(v->items[0], v);
    struct clfcn_weights_file f = { 0 };
    assert_int_equal(clfcn_torch_collect(&o, v, &f, NULL), CLFCN_EDATA);
    clfcn_torch_free(&o);
    free(copy);
}

static void test_code_is_refused(void **state)
{
    static const char *const hostile[] = {
        "cnt\nsystem\n(X\x02\x01\x01\x01idtR.",
        "cposix\nsystem\n.",
        "cbuiltins\neval\n)R.",
        "cbuiltins\nexec\n)R.",
        "c__builtin__\ngetattr\n.",
        "ctorch\nload\n.",
        "ctorch.serialization\nload\n.",
        "ctorch._utils\n__builtins__\n.",
        "ctorch.cuda\nos.system\n.",
        "ccollections\nOrderedDict.__init__\n.",
        "\x8c\x02os\x8c\x06system\x93.",
    };
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); ++i) {
        const size_t n = strlen(hostile[i]);
        assert_refused((const unsigned char *)hostile[i], n, "holds the Python object '");
    }
    assert_refused(BYTES("cos\nsystem\n."), "'os.system', and clfcn runs no Python");
    assert_refused(BYTES("c\x1b[2J\nx\n."), "'?[2J.x'");
}

static void test_nonsense_is_refused(void **state)
{
    assert_refused(BYTES(""), "too early");
    assert_refused(BYTES("."), "one value");
    assert_refused(BYTES("NN."), "one value");
    assert_refused(BYTES("(."), "one value");
    assert_refused(BYTES("t."), "mark is missing");
    assert_refused(BYTES("\x86."), "stack is empty");
    assert_refused(BYTES("N(\x85."), "stack is empty");
    assert_refused(BYTES("Na."), "stack is empty");
    assert_refused(BYTES("NNa."), "does not take");
    assert_refused(BYTES("(e."), "stack is empty");
    assert_refused(BYTES("((e."), "does not take");
    assert_refused(BYTES("}(Nu."), "does not take");
    assert_refused(BYTES("q\x01."), "stack is empty");
    assert_refused(BYTES("h\x01."), "recalls");
    assert_refused(BYTES("j\xff\xff\xff\xff."), "recalls");
    assert_refused(BYTES("Nr\xff\xff\xff\xff."), "too large");
    assert_refused(BYTES("Nr\x07\0\0\0."), "too large");
    assert_refused(BYTES("N)R."), "no function");
    assert_refused(BYTES("NNb."), "attributes");
    assert_refused(BYTES("NQ."), "storage's description");
    assert_refused(BYTES("NN\x93."), "named by other than text");
    assert_refused(BYTES("ctorch\nFloatStorage\n)R."), "made by a call");
    assert_refused(BYTES("ccollections\nOrderedDict\n](NNNt"
                         "a\x85R."),
                   "dictionary is damaged");
    assert_refused(BYTES("I1\n."), "operation 0x49");
    assert_refused(BYTES("X\xff\xff\xff\xff"), "too early");
    assert_refused(BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), "too early");
    assert_refused(BYTES("\x8b\xff\xff\xff\xff"), "too early");
    assert_refused(BYTES("cos"), "too early");
    assert_refused(BYTES("pickle, byte"), "operation");
}

static void test_limits(void **state)
{
    const size_t n = (size_t)CLFCN_PICKLE_MAX_VALUES + 10;
    unsigned char *many = malloc(n);
    memset(many, 'N', n);
    assert_refused(many, n, "more than");
    memset(many, '(', n);
    assert_refused(many, n, "too large");
    free(many);
    const size_t text = (size_t)CLFCN_PICKLE_MAX_BYTES + 10;
    unsigned char *big = calloc(text, 1);
    const uint32_t length = CLFCN_PICKLE_MAX_BYTES;
    big[0] = 'X';
    memcpy(big + 1, &length, 4);
    assert_refused(big, text, "longer than 16 MiB");
    free(big);
}

/* Bytes of any number, to be freed. */
struct long_bytes {
    unsigned char *data;
    size_t size;
};

static void repeat(struct long_bytes *b, const char *bytes, size_t n, int times)
{
    b->data = realloc(b->data, b->size + n * (size_t)times);
    for (int i = 0; i < times; ++i, b->size += n) {
        memcpy(b->data + b->size, bytes, n);
    }
}
#define REPEAT(b, literal, times) repeat((b), (literal), sizeof(literal) - 1, (times))

static void assert_long_refused(struct long_bytes *b, const char *words)
{
    assert_refused(b->data, b->size, words);
    free(b->data);
}

/* A few bytes that copy what is there already, again and again. */
static void test_copies_are_limited(void **state)
{
    struct long_bytes b = { NULL, 0 };
    REPEAT(&b, "NN\x86q\x00](", 1);
    REPEAT(&b, "h\x00", 20000);
    REPEAT(&b,
           "e\x85q\x01"
           "0ccollections\nOrderedDict\nq\x02"
           "0",
           1);
    REPEAT(&b, "h\x02h\x01R0", 110); /* each a dictionary of 20000 keys */
    assert_long_refused(&b, "more than 4194304 items");
}

/* Each reference to a storage is looked for among all of them. */
static void test_references_are_limited(void **state)
{
    struct long_bytes b = { NULL, 0 };
    REPEAT(&b,
           "(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
           "X\x01\x00\x00\x00"
           "0NK\x08tq\x00"
           "0",
           1);
    REPEAT(&b, "h\x00Q0", CLFCN_TORCH_MAX_TENSORS);
    assert_refused(b.data, b.size, "too early");
    REPEAT(&b, "h\x00Q0", 1);
    assert_long_refused(&b, "more than 16384 tensors");
}

/* One tensor under many names. */
static void test_names_are_limited(void **state)
{
    struct long_bytes b = { NULL, 0 };
    struct clfcn_torch_objects o = { 0 };
    struct clfcn_weights_file f = { 0 };
    struct clfcn_err err = { 0 };
    const struct clfcn_pickle_value *v;
    size_t used;
    REPEAT(&b,
           "X\x01\x00\x00\x00xq\x00"
           "0ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
           "ctorch\nFloatStorage\nX\x01\x00\x00\x00"
           "0NK\x08tQK\x00K\x08\x85K\x01\x85tRq\x01"
           "0}(",
           1);
    REPEAT(&b, "h\x00h\x01", CLFCN_TORCH_MAX_TENSORS + 1);
    REPEAT(&b, "u.", 1);
    assert_int_equal(clfcn_torch_unpickle(&o, b.data, b.size, &used, &v, &err), 0);
    assert_int_equal(clfcn_torch_collect(&o, v, &f, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "more than 16384 tensors"));
    assert_null(f.tensors);
    clfcn_torch_free(&o);
    free(b.data);
}

/* --- the stream --- */

/* What changes from case to case; elements of the storage are 0.5, 1.5, ... */
struct layout {
    const char *type, *rebuild;
    int64_t claimed, elements; /* of the storage: in the pickle, in its header */
    int offset, sizes[2], strides[2];
};
static const struct layout good = {
    .type = "torch\nFloatStorage\n",
    .rebuild = "torch._utils\n_rebuild_tensor_v2\n",
    .claimed = 8,
    .elements = 8,
    .offset = 1,
    .sizes = { 2, 3 },
    .strides = { 1, 2 },
};

static void put_tensor(struct bytes *b, const struct layout *l)
{
    PUT(b, "c");
    put(b, l->rebuild, strlen(l->rebuild));
    PUT(b, "((");
    put_text(b, "storage");
    PUT(b, "c");
    put(b, l->type, strlen(l->type));
    put_text(b, "17");
    put_text(b, "cpu");
    PUT(b, "\x8a\x08");
    put(b, &l->claimed, 8);
    PUT(b, "NtQ");
    put_int(b, l->offset);
    put_int(b, l->sizes[0]);
    put_int(b, l->sizes[1]);
    PUT(b, "\x86");
    put_int(b, l->strides[0]);
    put_int(b, l->strides[1]);
    PUT(b, "\x86\x89Nt"
           "R");
}

static void put_stream(struct bytes *b, const struct layout *l)
{
    b->size = 0;
    PUT(b, "\x80\x02\x8a\x0al\xfc\x9c"
           "F\xf9 j\xa8P\x19.");
    PUT(b, "\x80\x02M\xe9\x03.");
    PUT(b, "\x80\x02}");
    put_text(b, "little_endian");
    PUT(b, "\x88s.");
    PUT(b, "\x80\x02"
           "ccollections\nOrderedDict\n)R(");
    put_text(b, "a.weight");
    put_tensor(b, l);
    PUT(b, "u}b.");
    PUT(b, "\x80\x02]");
    put_text(b, "17");
    PUT(b, "a.");
    put(b, &l->elements, 8);
    for (int i = 0; i < 8; ++i) {
        const float x = (float)i + 0.5f;
        put(b, &x, 4);
    }
}

/* In memory of its own, so that a sanitizer sees a read past the end. */
static int open_bytes(const struct bytes *b, size_t size, unsigned char **copy,
                      struct clfcn_weights_file *f, struct clfcn_err *err)
{
    *copy = malloc(size + (size == 0));
    memcpy(*copy, b->data, size);
    return clfcn_weights_open_memory(*copy, size, f, err);
}

static void assert_stream(const struct layout *l, const float *want)
{
    struct bytes b;
    struct clfcn_weights_file f;
    struct clfcn_err err = { .msg = "" };
    unsigned char *copy;
    float got[6];
    put_stream(&b, l);
    if (open_bytes(&b, b.size, &copy, &f, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    const struct clfcn_weights_tensor *t = clfcn_weights_find(&f, "a.weight");
    assert_non_null(t);
    assert_int_equal(t->count, 6);
    assert_int_equal(clfcn_weights_floats(&f, t, got, &err), 0);
    for (int i = 0; i < 6; ++i) {
        assert_true(got[i] == want[i]);
    }
    clfcn_weights_close(&f);
    free(copy);
}

static void test_stream(void **state)
{
    const float transposed[] = { 1.5f, 3.5f, 5.5f, 2.5f, 4.5f, 6.5f };
    const float in_a_row[] = { 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f };
    const float expanded[] = { 0.5f, 1.5f, 2.5f, 0.5f, 1.5f, 2.5f };
    struct layout l = good;
    assert_stream(&l, transposed);
    l.rebuild = "torch._utils\n_rebuild_tensor\n";
    l.strides[0] = 3;
    l.strides[1] = 1;
    l.offset = 2; /* to the last element */
    assert_stream(&l, in_a_row);
    l.strides[0] = 0;
    l.offset = 0;
    assert_stream(&l, expanded);
}

static void assert_stream_refused(const struct layout *l, const char *words)
{
    struct bytes b;
    struct clfcn_weights_file f;
    struct clfcn_err err = { .msg = "" };
    unsigned char *copy;
    put_stream(&b, l);
    assert_int_equal(open_bytes(&b, b.size, &copy, &f, &err), CLFCN_EDATA);
    if (!strstr(err.msg, words)) {
        fail_msg("'%s' does not say '%s'", err.msg, words);
    }
    free(copy);
}

static void test_lies_about_sizes_are_refused(void **state)
{
    struct layout l = good;
    l.offset = 4;
    assert_stream_refused(&l, "past its storage");
    l.offset = -1;
    assert_stream_refused(&l, "description is damaged");
    l = good;
    l.strides[0] = INT32_MAX;
    assert_stream_refused(&l, "past its storage");
    l.sizes[0] = l.sizes[1] = l.strides[1] = INT32_MAX;
    assert_stream_refused(&l, "too large");
    l = good;
    l.sizes[1] = -3;
    assert_stream_refused(&l, "description is damaged");
    l = good;
    l.elements = 7;
    assert_stream_refused(&l, "7 elements where 8");
    l.claimed = l.elements = 9;
    assert_stream_refused(&l, "truncated");
    l.claimed = l.elements = INT64_MAX / 8;
    assert_stream_refused(&l, "truncated");
    l.claimed = l.elements = INT64_MAX;
    assert_stream_refused(&l, "too large for any file");
    l.claimed = l.elements = -1;
    assert_stream_refused(&l, "description is damaged");
    l = good;
    l.type = "torch\nDoubleStorage\n";
    assert_stream_refused(&l, "truncated");
    l.type = "torch\nTensor\n";
    assert_stream_refused(&l, "torch.Tensor");
}

static void test_cut_streams_are_refused(void **state)
{
    struct bytes b;
    put_stream(&b, &good);
    for (size_t n = 0; n < b.size; ++n) {
        struct clfcn_weights_file f;
        unsigned char *copy;
        assert_int_equal(open_bytes(&b, n, &copy, &f, NULL), CLFCN_EDATA);
        assert_int_equal(f.count, 0);
        free(copy);
    }
}

/* Whatever a damaged file is taken for, its tensors can be read. */
static void test_damaged_streams_are_safe(void **state)
{
    static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, '.', 'h', 't' };
    struct bytes b;
    put_stream(&b, &good);
    for (size_t at = 0; at < b.size; ++at) {
        const unsigned char was = b.data[at];
        for (size_t v = 0; v < sizeof(values); ++v) {
            struct clfcn_weights_file f;
            unsigned char *copy;
            b.data[at] = values[v];
            const int rc = open_bytes(&b, b.size, &copy, &f, NULL);
            assert_true(rc == CLFCN_OK || rc == CLFCN_EDATA);
            for (int i = 0; i < f.count; ++i) {
                if (f.tensors[i].count <= 4096) {
                    float out[4096];
                    clfcn_weights_floats(&f, &f.tensors[i], out, NULL);
                }
            }
            clfcn_weights_close(&f);
            free(copy);
        }
        b.data[at] = was;
    }
}

/* Before version 0.4 a parameter was made of its class, and told its state. */
static void test_parameters_of_old_versions(void **state)
{
    struct clfcn_torch_objects o = { 0 };
    const struct clfcn_pickle_value *v;
    struct bytes b = { .size = 0 };
    unsigned char *copy;
    struct clfcn_err err;
    PUT(&b, "}");
    put_text(&b, "w");
    PUT(&b, "ctorch.nn.parameter\nParameter\n");
    put_tensor(&b, &good);
    PUT(&b, "\x85\x81(\x88\x89Ntbs.");
    assert_int_equal(unpickle(&o, b.data, b.size, &copy, &v, &err), 0);
    assert_int_equal(clfcn_pickle_get(v, "w")->kind, CLFCN_PICKLE_OBJECT);
    struct clfcn_weights_file f = { 0 };
    o.storages[0].found = true; /* with numbers somewhere */
    o.storages[0].data = copy;
    assert_int_equal(clfcn_torch_collect(&o, v, &f, &err), 0);
    assert_int_equal(f.count, 1);
    clfcn_weights_close(&f);
    clfcn_torch_free(&o);
    free(copy);
}

static void test_tensors_without_numbers_are_refused(void **state)
{
    struct clfcn_torch_objects o = { 0 };
    const struct clfcn_pickle_value *v;
    struct bytes b = { .size = 0 };
    struct clfcn_weights_file f = { 0 };
    unsigned char *copy;
    struct clfcn_err err;
    PUT(&b, "}");
    put_text(&b, "w");
    put_tensor(&b, &good);
    PUT(&b, "s.");
    assert_int_equal(unpickle(&o, b.data, b.size, &copy, &v, &err), 0);
    assert_int_equal(clfcn_torch_collect(&o, v, &f, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "numbers of tensor 'w' are missing"));
    clfcn_weights_close(&f);
    clfcn_torch_free(&o);
    free(copy);
}

static void test_other_files_are_told_apart(void **state)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    assert_int_equal(clfcn_weights_open_memory("\x80\x02N.", 4, &f, &err), CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "none of torch.save()"));
    assert_int_equal(clfcn_weights_open_memory("PK\3\4garbage", 11, &f, &err),
                     CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "zip archive"));
    /* A header of 640 bytes begins like a pickle. */
    unsigned char *header = malloc(8 + 640);
    memcpy(header, "\x80\x02\0\0\0\0\0\0{}", 10);
    memset(header + 10, ' ', 638);
    assert_int_equal(clfcn_weights_open_memory(header, 648, &f, &err), CLFCN_OK);
    clfcn_weights_close(&f);
    free(header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_values),
        cmocka_unit_test(test_cut_pickles_are_refused),
        cmocka_unit_test(test_circles),
        cmocka_unit_test(test_code_is_refused),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_copies_are_limited),
        cmocka_unit_test(test_references_are_limited),
        cmocka_unit_test(test_names_are_limited),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_lies_about_sizes_are_refused),
        cmocka_unit_test(test_cut_streams_are_refused),
        cmocka_unit_test(test_damaged_streams_are_safe),
        cmocka_unit_test(test_parameters_of_old_versions),
        cmocka_unit_test(test_tensors_without_numbers_are_refused),
        cmocka_unit_test(test_other_files_are_told_apart),
    };
    return cmocka_run_group_tests_name("torch", tests, NULL, NULL);
}
