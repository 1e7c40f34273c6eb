/* What options say in little languages of their own, by the input's first byte:
 * augmentations, and shares of ranks. What is accepted must mean the same when it is
 * written and read again. */
#include "../../host/data/augment.h"
#include "../../host/train/shares.h"
#include "fuzz.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* They are wrong usage, not bad input. */
static void check_usage(int rc, struct clfcn_err *err)
{
    if (rc == CLFCN_EINVAL) {
        FUZZ_ASSERT(err->code == rc);
        err->code = rc = CLFCN_EDATA;
    }
    fuzz_check_message(rc, err);
}

static void check_augment(const char *text)
{
    struct clfcn_augment augment, again;
    struct clfcn_err err;
    char list[CLFCN_AUGMENT_TEXT];
    const int rc = clfcn_augment_parse(text, &augment, &err);
    check_usage(rc, &err);
    if (rc < 0) {
        return;
    }
    FUZZ_ASSERT(clfcn_augment_check(&augment, NULL) == CLFCN_OK);
    clfcn_augment_text(&augment, list);
    const bool read = clfcn_augment_parse(list, &again, NULL) == CLFCN_OK;
    FUZZ_ASSERT(read || fuzz_memory_refused());
    FUZZ_ASSERT(!read || memcmp(&augment, &again, sizeof(again)) == 0);
    const struct clfcn_draw draw = clfcn_augment_draw(&augment, 1, 2, 3);
    FUZZ_ASSERT(draw.zoom > 0 && draw.zoom <= clfcn_augment_max_zoom(&augment));
    FUZZ_ASSERT(isfinite(draw.degrees) && draw.left >= 0 && draw.left <= 1);
}

static void check_balance(const char *text)
{
    enum clfcn_balance kind;
    struct clfcn_err err;
    double weights[3];
    int shares[3];
    const int rc = clfcn_balance_parse(text, 3, weights, &kind, &err);
    check_usage(rc, &err);
    if (rc == CLFCN_OK) {
        clfcn_shares_divide(7, weights, 3, shares);
        FUZZ_ASSERT(shares[0] + shares[1] + shares[2] == 7);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    char *text = fuzz_text(data + 1, size - 1);
    if (*data % 4 == 0) {
        check_balance(text);
    } else {
        check_augment(text);
    }
    free(text);
}
