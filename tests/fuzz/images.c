/* images.c - pictures through the front end of the codecs, and masks to labels. */
#include "images.h"
#include "../../host/data/classes.h"
#include "fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_PIXELS = 1 << 18 };

static const char classes_text[] = "a 0-9\nb 10 200,0,0\nc 40-255 1,2,3\nignore 300\n";

static void apply(const struct clfcn_image *mask)
{
    struct clfcn_classes classes;
    struct clfcn_unknown unknown = { 0 };
    struct clfcn_err err;
    const size_t pixels = (size_t)mask->width * (size_t)mask->height;
    const bool held = fuzz_memory_hold(true);
    uint8_t *labels = malloc(pixels);
    FUZZ_ASSERT(clfcn_classes_parse(classes_text, "classes", &classes, NULL) == CLFCN_OK);
    fuzz_memory_hold(held);
    fuzz_check_message(clfcn_classes_apply(&classes, mask, "mask", labels, &err), &err);
    const int rc = clfcn_classes_survey(&classes, mask, "mask", labels, &unknown, &err);
    fuzz_check_message(rc, &err);
    FUZZ_ASSERT(unknown.pixels <= pixels);
    for (size_t i = 0; rc == CLFCN_OK && i < pixels; ++i) {
        FUZZ_ASSERT(labels[i] < classes.count || labels[i] == CLFCN_IGNORE);
    }
    clfcn_classes_free(&classes);
    free(labels);
}

void fuzz_decode(const struct clfcn_codec *codec, const uint8_t *data, size_t size)
{
    int width = 0, height = 0;
    struct clfcn_err err;
    if (!codec->sniff(data, size)) {
        return;
    }
    const int sized = codec->size(data, size, "input", &width, &height, &err);
    const int64_t pixels = (int64_t)width * height;
    fuzz_check_message(sized, &err);
    if (sized == CLFCN_ENOMEM) {
        return; /* it may be too large */
    }
    if (pixels > MAX_PIXELS && pixels <= CLFCN_IMAGE_MAX_PIXELS) {
        return;
    }
    for (int as = CLFCN_AS_RGB; as <= CLFCN_AS_MASK; ++as) {
        struct clfcn_image im;
        const int rc =
            clfcn_image_decode(data, size, "input", (enum clfcn_image_as)as, &im, &err);
        fuzz_check_message(rc, &err);
        FUZZ_ASSERT((rc < 0) == (im.px.u8 == NULL));
        FUZZ_ASSERT(rc != CLFCN_EDATA ||
                    !strstr(err.msg, "memory")); /* it is no damage */
        if (rc == CLFCN_OK) {
            FUZZ_ASSERT(sized == CLFCN_OK || fuzz_memory_refused());
            FUZZ_ASSERT(sized < 0 || (im.width == width && im.height == height));
            FUZZ_ASSERT(im.channels == 3 || (im.channels == 1 && as == CLFCN_AS_MASK));
            apply(&im);
        }
        clfcn_image_free(&im);
    }
}
