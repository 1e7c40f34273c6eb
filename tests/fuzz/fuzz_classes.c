/* classes.txt: what is accepted must mean the same when it is written and read again. */
#include "../../host/data/classes.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

static void check_same(const struct clfcn_classes *a, const struct clfcn_classes *b)
{
    FUZZ_ASSERT(a->count == b->count && a->rule_count == b->rule_count);
    for (int i = 0; i < a->count; ++i) {
        FUZZ_ASSERT(strcmp(a->list[i].name, b->list[i].name) == 0);
        FUZZ_ASSERT(memcmp(a->list[i].color, b->list[i].color, 3) == 0);
    }
}

static void apply(const struct clfcn_classes *classes)
{
    static uint8_t values[] = { 0, 1, 2, 10, 10, 10, 255, 255, 255, 128, 0, 7 };
    const struct clfcn_image gray = {
        .width = 4, .height = 3, .channels = 1, .depth = 8, .px.u8 = values
    };
    const struct clfcn_image rgb = {
        .width = 2, .height = 2, .channels = 3, .depth = 8, .px.u8 = values
    };
    uint8_t labels[12];
    struct clfcn_unknown unknown = { 0 };
    struct clfcn_err err;
    fuzz_check_message(clfcn_classes_apply(classes, &gray, "mask", labels, &err), &err);
    fuzz_check_message(clfcn_classes_apply(classes, &rgb, "mask", labels, &err), &err);
    const int rc = clfcn_classes_survey(classes, &gray, "mask", labels, &unknown, &err);
    FUZZ_ASSERT(rc == CLFCN_OK || fuzz_memory_refused());
    for (int i = 0; rc == CLFCN_OK && i < 12; ++i) {
        FUZZ_ASSERT(labels[i] < classes->count || labels[i] == CLFCN_IGNORE);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct clfcn_classes classes, again;
    struct clfcn_err err;
    char *text = fuzz_text(data, size);
    const int rc = clfcn_classes_parse(text, "classes.txt", &classes, &err);
    fuzz_check_message(rc, &err);
    free(text);
    if (rc < 0) {
        return;
    }
    text = clfcn_classes_to_text(&classes);
    if (text && clfcn_classes_parse(text, "again", &again, NULL) == CLFCN_OK) {
        check_same(&classes, &again);
        clfcn_classes_free(&again);
    } else {
        FUZZ_ASSERT(fuzz_memory_refused());
    }
    apply(&classes);
    free(text);
    clfcn_classes_free(&classes);
}
