/* Tuning files and the self-test's certificates, by the input's first byte; as they are,
 * or sealed first for this device, as nearly every change would end at the check sum. */
#include "../../host/ops/certificate.h"
#include "../../host/ops/choice.h"
#include "../../host/ops/stored.h"
#include "../../host/util/file.h"
#include "fuzz.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CERTIFICATE = 1, SEALED = 2 };
enum { FORMATS = 8 }; /* numbers of formats to seal with */

static struct clfcn_dev dev = {
    .info = { .name = "Fast", .driver = "1.0", .platform = "P", .compute_units = 2 }
};

/* In the place of the loader's, which would start every driver there is. */
cl_int clGetPlatformInfo(cl_platform_id platform, cl_platform_info name, size_t n,
                         void *value, size_t *needed)
{
    snprintf(value, n, "OpenCL 3.0");
    return CL_SUCCESS;
}

/* The file's text, to be freed by the caller. */
static char *make(const uint8_t *data, size_t size, int format)
{
    json_t *json = json_loadb((const char *)data, size, 0, NULL);
    json = json_is_object(json) ? clfcn_stored_seal(json, format, &dev) : json;
    char *text = json ? json_dumps(json, JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    return text;
}

static void check_choices(void)
{
    struct clfcn_choices choices;
    clfcn_choices_load(&dev, CLFCN_LOG_DEBUG, &choices);
    for (int i = 0; i < choices.count; ++i) {
        const struct clfcn_choice *c = &choices.list[i];
        FUZZ_ASSERT(c->pass >= 0 && c->pass < CLFCN_PASS_COUNT);
        FUZZ_ASSERT(strlen(c->algorithm) < sizeof(c->algorithm));
        FUZZ_ASSERT(clfcn_choices_find(&choices, &c->shape, c->pass, c->gemm) == c);
    }
    clfcn_choices_free(&choices);
    clfcn_choices_stored(&dev);
}

static void check_certificate(const char *path)
{
    struct clfcn_certificate c;
    struct clfcn_err err;
    json_t *origin = NULL;
    clfcn_certificate_load(&dev, &c);
    for (int i = 0; i < c.count; ++i) {
        FUZZ_ASSERT(clfcn_certificate_find(&c, c.list[i].subject, c.list[i].pass));
        FUZZ_ASSERT(isnan(c.list[i].error) || c.list[i].error >= 0);
    }
    clfcn_certificate_free(&c);
    fuzz_check_message(clfcn_certificate_read(path, &c, &origin, &err), &err);
    clfcn_certificate_free(&c);
    json_decref(origin);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    const int how = *data;
    const bool held = fuzz_memory_hold(true);
    char *path = NULL, *text = how & SEALED ? make(data + 1, size - 1, how / 4 % FORMATS)
                                            : fuzz_text(data + 1, size - 1);
    setenv("CLFCN_CACHE_DIR", fuzz_path(""), 1);
    const char *folder = how & CERTIFICATE ? "selftest" : "tuning";
    FUZZ_ASSERT(clfcn_stored_path(&dev, folder, &path, NULL) == CLFCN_OK);
    if (text) {
        const size_t n = how & SEALED ? strlen(text) : size - 1;
        FILE *f = fopen(path, "wb");
        FUZZ_ASSERT(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
    }
    fuzz_memory_hold(held);
    if (text && how & CERTIFICATE) {
        check_certificate(path);
    } else if (text) {
        check_choices();
    }
    free(text);
    free(path);
}
