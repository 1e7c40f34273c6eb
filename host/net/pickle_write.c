#include "pickle_write.h"

#include <string.h>

/* The low n bytes of number, the lowest first. */
static void put_bytes(struct clfcn_strbuf *out, uint64_t number, int n)
{
    unsigned char bytes[8];
    for (int i = 0; i < n; ++i) {
        bytes[i] = (unsigned char)(number >> (8 * i));
    }
    clfcn_strbuf_add_bytes(out, bytes, (size_t)n);
}

void clfcn_pickle_put_header(struct clfcn_strbuf *out)
{
    clfcn_strbuf_add_bytes(out, "\x80\x02", 2);
}

void clfcn_pickle_put_op(struct clfcn_strbuf *out, enum clfcn_pickle_op op)
{
    put_bytes(out, (uint64_t)op, 1);
}

/* As short as Python has it, but for what needs more than four bytes: LONG1 of eight. */
void clfcn_pickle_put_int(struct clfcn_strbuf *out, int64_t number)
{
    if (number >= 0 && number <= UINT8_MAX) {
        clfcn_strbuf_add_bytes(out, "K", 1);
        put_bytes(out, (uint64_t)number, 1);
    } else if (number >= 0 && number <= UINT16_MAX) {
        clfcn_strbuf_add_bytes(out, "M", 1);
        put_bytes(out, (uint64_t)number, 2);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        clfcn_strbuf_add_bytes(out, "J", 1);
        put_bytes(out, (uint64_t)number, 4);
    } else {
        clfcn_strbuf_add_bytes(out, "\x8a\x08", 2);
        put_bytes(out, (uint64_t)number, 8);
    }
}

void clfcn_pickle_put_text(struct clfcn_strbuf *out, const char *text)
{
    const size_t n = strlen(text);
    clfcn_strbuf_add_bytes(out, "X", 1);
    put_bytes(out, n, 4);
    clfcn_strbuf_add_bytes(out, text, n);
}

void clfcn_pickle_put_global(struct clfcn_strbuf *out, const char *module,
                             const char *name)
{
    clfcn_strbuf_add(out, "c%s\n%s\n", module, name);
}

void clfcn_pickle_put_ints(struct clfcn_strbuf *out, const int64_t *numbers, int count)
{
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_MARK);
    for (int i = 0; i < count; ++i) {
        clfcn_pickle_put_int(out, numbers[i]);
    }
    clfcn_pickle_put_op(out, CLFCN_PICKLE_OP_TUPLE);
}
