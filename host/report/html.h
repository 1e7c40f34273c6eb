/* html.h - pieces of HTML. */
#ifndef CLFCN_REPORT_HTML_H
#define CLFCN_REPORT_HTML_H

#include "../util/strbuf.h"

/* Text from anywhere, escaped for content and for quoted attributes. NULL is "". */
void clfcn_html_text(struct clfcn_strbuf *out, const char *text);

/* A file's name as a part of a URL's path. */
void clfcn_html_url(struct clfcn_strbuf *out, const char *name);

/* Bytes as base64 (RFC 4648, section 4). */
void clfcn_html_base64(struct clfcn_strbuf *out, const void *data, size_t n);

/* report.css and dashboard.js, embedded when clfcn is built. */
extern const char clfcn_report_css[];
extern const char clfcn_dashboard_js[];

#endif
