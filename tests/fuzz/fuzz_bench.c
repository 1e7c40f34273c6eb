/* Results of bench, laid beside themselves. No text from there gets into the page as
 * markup. */
#include "../../host/report/compare.h"
#include "fuzz.h"
#include <stdio.h>
#include <string.h>

void fuzz_one(const uint8_t *data, size_t size)
{
    static struct clfcn_compare compare; /* large */
    struct clfcn_err err;
    const char *const path = fuzz_file("bench.json", data, size);
    const char *const files[] = { path, path };
    int rc = clfcn_compare_open(&compare, files, 2, &err);
    fuzz_check_message(rc, &err);
    if (rc == CLFCN_OK) {
        struct clfcn_strbuf page = { 0 };
        clfcn_compare_page(&page, &compare);
        FUZZ_ASSERT(!page.failed || fuzz_memory_refused());
        FUZZ_ASSERT(page.failed || !strstr(page.str, "<hostile"));
        clfcn_strbuf_free(&page);
        rc = clfcn_compare_slower(&compare, 0.05, &err);
        FUZZ_ASSERT(rc == CLFCN_OK || err.msg[0]);
    }
    clfcn_compare_close(&compare);
}
