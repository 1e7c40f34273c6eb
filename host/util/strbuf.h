/* strbuf.h - a growing string, and sizes as people read them. */
#ifndef CLFCN_UTIL_STRBUF_H
#define CLFCN_UTIL_STRBUF_H

#include <clfcn/common.h>

/* Zero-initialise. After a failed append, failed stays set and further appends do
 * nothing, so a caller may check once at the end. */
struct clfcn_strbuf {
    char *str; /* zero-terminated once anything was appended; NULL before */
    size_t len, cap;
    bool failed;
};

void clfcn_strbuf_add(struct clfcn_strbuf *sb, const char *fmt, ...) CLFCN_PRINTF(2, 3);
void clfcn_strbuf_add_bytes(struct clfcn_strbuf *sb, const void *bytes, size_t n);
void clfcn_strbuf_free(struct clfcn_strbuf *sb);

/* "512 B", "1.5 GiB": bytes with a binary unit and one decimal; 16 characters suffice.
 * Returns buf, so that it can stand among the arguments of a message. */
const char *clfcn_format_bytes(uint64_t bytes, char *buf, size_t n);

/* "92.23", "12938": digits significant digits, or all of a larger number's integer part;
 * exponents for tiny numbers alone. Returns buf. */
enum { CLFCN_NUMBER_LEN = 32 };
const char *clfcn_format_number(double x, int digits, char buf[CLFCN_NUMBER_LEN]);

/* "0.4 s", "35 s", "7 min", "2.5 h". Returns buf. */
enum { CLFCN_DURATION_LEN = 32 };
const char *clfcn_format_duration(double seconds, char buf[CLFCN_DURATION_LEN]);

#endif
