/* html.c - pieces of HTML. */
#include "html.h"

void clfcn_html_text(struct clfcn_strbuf *out, const char *text)
{
    for (const char *s = text ? text : ""; *s; ++s) {
        switch (*s) {
        case '&':
            clfcn_strbuf_add(out, "&amp;");
            break;
        case '<':
            clfcn_strbuf_add(out, "&lt;");
            break;
        case '>':
            clfcn_strbuf_add(out, "&gt;");
            break;
        case '"':
            clfcn_strbuf_add(out, "&quot;");
            break;
        case '\'':
            clfcn_strbuf_add(out, "&#39;");
            break;
        default:
            clfcn_strbuf_add_bytes(out, s, 1);
        }
    }
}

void clfcn_html_url(struct clfcn_strbuf *out, const char *name)
{
    for (const char *s = name; *s; ++s) {
        const bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                           (*s >= '0' && *s <= '9') || *s == '-' || *s == '.' ||
                           *s == '_';
        clfcn_strbuf_add(out, plain ? "%c" : "%%%02X", (unsigned char)*s);
    }
}

void clfcn_html_base64(struct clfcn_strbuf *out, const void *data, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = data;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)in[i] << 16;
        v |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        v |= left > 2 ? in[i + 2] : 0;
        const char quad[4] = {
            digits[v >> 18],
            digits[v >> 12 & 63],
            left > 1 ? digits[v >> 6 & 63] : '=',
            left > 2 ? digits[v & 63] : '=',
        };
        clfcn_strbuf_add_bytes(out, quad, sizeof(quad));
    }
}
