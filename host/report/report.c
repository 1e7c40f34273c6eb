/* report.c - a run folder as one self-contained HTML page. */
#include "report.h"
#include "../util/file.h"
#include "../util/path.h"
#include "page.h"
#include <stdlib.h>

int clfcn_report_write(const char *dir, const char *path, struct clfcn_err *err)
{
    struct clfcn_history history;
    struct clfcn_strbuf page = { 0 };
    char *usual = NULL;
    int rc = clfcn_history_read(&history, dir, err);
    if (rc < 0) {
        goto out;
    }
    clfcn_page_report(&page, &history);
    usual = path ? NULL : clfcn_path_join(dir, "report.html");
    if (page.failed || (!path && !usual)) {
        rc = clfcn_err_nomem(err);
        goto out;
    }
    rc = clfcn_file_write(path ? path : usual, page.str, page.len, err);
out:
    free(usual);
    clfcn_strbuf_free(&page);
    clfcn_history_close(&history);
    return rc;
}
