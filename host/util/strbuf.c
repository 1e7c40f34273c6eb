/* strbuf.c - a growing string, and sizes and numbers as people read them. */
#include "strbuf.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Make room for n more bytes and the final zero. */
static bool reserve(struct clfcn_strbuf *sb, size_t n)
{
    if (sb->failed || n >= SIZE_MAX / 2 - sb->len) {
        sb->failed = true;
        return false;
    }
    const size_t need = sb->len + n + 1;
    if (need > sb->cap) {
        size_t cap = sb->cap ? sb->cap : 64;
        while (cap < need) {
            cap *= 2;
        }
        char *str = realloc(sb->str, cap);
        if (!str) {
            sb->failed = true;
            return false;
        }
        sb->str = str;
        sb->cap = cap;
    }
    return true;
}

void clfcn_strbuf_add(struct clfcn_strbuf *sb, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        sb->failed = true;
    } else if (reserve(sb, (size_t)len)) {
        vsnprintf(sb->str + sb->len, (size_t)len + 1, fmt, again);
        sb->len += (size_t)len;
    }
    va_end(again);
}

void clfcn_strbuf_add_bytes(struct clfcn_strbuf *sb, const void *bytes, size_t n)
{
    if (!reserve(sb, n)) {
        return;
    }
    if (n > 0) {
        memcpy(sb->str + sb->len, bytes, n);
    }
    sb->len += n;
    sb->str[sb->len] = '\0';
}

void clfcn_strbuf_free(struct clfcn_strbuf *sb)
{
    free(sb->str);
    *sb = (struct clfcn_strbuf){ 0 };
}

const char *clfcn_format_bytes(uint64_t bytes, char *buf, size_t n)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    if (bytes < 1024) {
        snprintf(buf, n, "%" PRIu64 " B", bytes);
        return buf;
    }
    double value = (double)bytes / 1024.0;
    int unit = 0;
    while (value >= 1023.95 && unit < 5) { /* would print as 1024.0 */
        value /= 1024.0;
        ++unit;
    }
    snprintf(buf, n, "%.1f %s", value, units[unit]);
    return buf;
}

const char *clfcn_format_number(double x, int digits, char buf[CLFCN_NUMBER_LEN])
{
    if (fabs(x) >= pow(10, digits) - 0.5 && fabs(x) < 1e15) {
        snprintf(buf, CLFCN_NUMBER_LEN, "%.0f", x);
    } else {
        snprintf(buf, CLFCN_NUMBER_LEN, "%.*g", digits, x);
    }
    return buf;
}

const char *clfcn_format_duration(double seconds, char buf[CLFCN_DURATION_LEN])
{
    const bool minutes = seconds >= 99.5, hours = seconds >= 99.5 * 60;
    const double value = seconds / (hours ? 3600 : minutes ? 60 : 1);
    snprintf(buf, CLFCN_DURATION_LEN, "%.*f %s", value < 9.95 ? 1 : 0, value,
             hours     ? "h"
             : minutes ? "min"
                       : "s");
    return buf;
}
