/* page.h - the report's sections. */
#ifndef CLFCN_REPORT_PAGE_H
#define CLFCN_REPORT_PAGE_H

#include "../util/strbuf.h"
#include "history.h"

/* Append the whole page. Whether memory sufficed is in out->failed. */
void clfcn_page_build(struct clfcn_strbuf *out, const struct clfcn_history *h);

/* The charts alone. (charts.c) */
void clfcn_page_charts(struct clfcn_strbuf *out, const struct clfcn_history *h);

#endif
