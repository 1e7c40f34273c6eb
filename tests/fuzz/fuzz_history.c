/* A run folder read back: the first line of the input is config.json, the others are the
 * log. No text from there gets into the page as markup. */
#include "../../host/report/history.h"
#include "../../host/report/page.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

static void check_page(const struct clfcn_history *h)
{
    struct clfcn_strbuf page = { 0 };
    clfcn_page_report(&page, h);
    FUZZ_ASSERT(!page.failed || fuzz_memory_refused());
    FUZZ_ASSERT(page.failed || !strstr(page.str, "<hostile"));
    clfcn_strbuf_free(&page);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static struct clfcn_history history; /* large */
    struct clfcn_err err;
    const uint8_t *end = memchr(data, '\n', size);
    const size_t first = end ? (size_t)(end - data) : size;
    fuzz_file("config.json", data, first);
    fuzz_file("log.jsonl", data + first, size - first);
    const int rc = clfcn_history_read(&history, fuzz_path(""), &err);
    fuzz_check_message(rc, &err);
    if (rc == CLFCN_OK) {
        check_page(&history);
    }
    clfcn_history_close(&history);
}
