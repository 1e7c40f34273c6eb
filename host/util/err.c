/* err.c - recording why something failed, and adding context on the way out. */
#include "err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *clfcn_status_name(int status)
{
    switch (status) {
    case CLFCN_OK:
        return "CLFCN_OK";
    case CLFCN_EINVAL:
        return "CLFCN_EINVAL";
    case CLFCN_ENOMEM:
        return "CLFCN_ENOMEM";
    case CLFCN_ECL:
        return "CLFCN_ECL";
    case CLFCN_EIO:
        return "CLFCN_EIO";
    case CLFCN_ENODEV:
        return "CLFCN_ENODEV";
    case CLFCN_EDATA:
        return "CLFCN_EDATA";
    case CLFCN_ENUMERIC:
        return "CLFCN_ENUMERIC";
    case CLFCN_EINTR:
        return "CLFCN_EINTR";
    case CLFCN_EDEVMEM:
        return "CLFCN_EDEVMEM";
    case CLFCN_ECOMM:
        return "CLFCN_ECOMM";
    case CLFCN_EWRONG:
        return "CLFCN_EWRONG";
    default:
        return "unknown status";
    }
}

const char *clfcn_version(void)
{
    return CLFCN_VERSION;
}

/* Mark the end of a text that was cut to fit buf, without splitting a UTF-8 character. */
static void mark_cut(char *buf, size_t n)
{
    size_t end = n - sizeof("...");
    while (end > 0 && ((unsigned char)buf[end] & 0xc0) == 0x80) {
        --end;
    }
    memcpy(buf + end, "...", sizeof("..."));
}

static void format_cut(char *buf, size_t n, const char *fmt, va_list args)
{
    const int len = vsnprintf(buf, n, fmt, args);
    if (len < 0) {
        snprintf(buf, n, "(message cannot be formatted)");
    } else if ((size_t)len >= n) {
        mark_cut(buf, n);
    }
}

/* The bytes of a control character at s, 0 if there is none. */
static int control_bytes(const char *s)
{
    const unsigned char c = (unsigned char)*s, next = c ? (unsigned char)s[1] : 0;
    if ((c > 0 && c < 0x20) || c == 0x7f) {
        return 1;
    }
    return c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0; /* U+0080 to U+009F */
}

bool clfcn_is_one_line(const char *s)
{
    while (*s && control_bytes(s) == 0) {
        ++s;
    }
    return !*s;
}

void clfcn_one_line(char *s)
{
    size_t len = strlen(s);
    while (len > 0 && strchr(" \t\r\n", s[len - 1])) {
        s[--len] = '\0';
    }
    for (; *s; ++s) {
        memset(s, ' ', (size_t)control_bytes(s));
    }
}

static void record(struct clfcn_err *err, int code, int native, const char *text)
{
    err->code = code;
    err->native = native;
    snprintf(err->msg, sizeof(err->msg), "%s", text);
    clfcn_one_line(err->msg);
    if (err->msg[0] == '\0') {
        snprintf(err->msg, sizeof(err->msg), "%s", clfcn_status_name(code));
    }
}

int clfcn_err_set(struct clfcn_err *err, int code, int native, const char *fmt, ...)
{
    if (err) {
        char text[sizeof(err->msg)]; /* the arguments may point into err->msg */
        va_list args;
        va_start(args, fmt);
        format_cut(text, sizeof(text), fmt, args);
        va_end(args);
        record(err, code, native, text);
    }
    return code;
}

int clfcn_err_errno(struct clfcn_err *err, int errnum, const char *fmt, ...)
{
    if (err) {
        char text[sizeof(err->msg)], reason[128];
        va_list args;
        va_start(args, fmt);
        format_cut(text, sizeof(text), fmt, args);
        va_end(args);
        if (strerror_r(errnum, reason, sizeof(reason)) != 0) {
            snprintf(reason, sizeof(reason), "error %d", errnum);
        }
        record(err, CLFCN_EIO, errnum, reason);
        clfcn_err_note(err, "%s", text);
    }
    return CLFCN_EIO;
}

void clfcn_err_note(struct clfcn_err *err, const char *fmt, ...)
{
    if (!err) {
        return;
    }
    /* The cause stands last and matters most: a long context may take half of the
     * room. */
    char context[sizeof(err->msg) / 2], cause[sizeof(err->msg)];
    va_list args;
    va_start(args, fmt);
    format_cut(context, sizeof(context), fmt, args);
    va_end(args);
    memcpy(cause, err->msg, sizeof(cause));
    const int len = snprintf(err->msg, sizeof(err->msg), "%s: %s", context, cause);
    if ((size_t)len >= sizeof(err->msg)) {
        mark_cut(err->msg, sizeof(err->msg));
    }
    clfcn_one_line(err->msg);
}

void clfcn_err_add(struct clfcn_err *err, const char *fmt, ...)
{
    if (err == NULL) {
        return;
    }
    const size_t used = strlen(err->msg);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg + used, sizeof(err->msg) - used, fmt, args);
    va_end(args);
}
