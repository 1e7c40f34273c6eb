/* html.h - pieces of HTML. */
#ifndef CLFCN_REPORT_HTML_H
#define CLFCN_REPORT_HTML_H

#include "../util/strbuf.h"

/* Text from anywhere, escaped for content and for quoted attributes. NULL is "". */
void clfcn_html_text(struct clfcn_strbuf *out, const char *text);

/* Bytes as base64 (RFC 4648, section 4). */
void clfcn_html_base64(struct clfcn_strbuf *out, const void *data, size_t n);

/* The page's style sheet (style.c). */
extern const char clfcn_report_css[];

#endif
