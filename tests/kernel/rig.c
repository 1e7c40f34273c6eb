#include "rig.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A signalling NaN: every computation with it makes a quiet one, so that even its own NaN
 * written back into a guard zone shows. */
static const uint32_t GUARD_BITS = 0x7fadbeefu;
enum { GUARD_FLOATS = 64 };

void rig_ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s: %s", clfcn_status_name(rc), err->msg);
    }
}

/* Let the ops believe in a CPU with wide vectors, or in a GPU, so that the kernels of
 * both are tested on any device. */
static void disguise(struct clfcn_device_info *info, const char *class_name)
{
    if (strncmp(class_name, "cpu", 3) == 0) {
        info->device_class = CLFCN_CLASS_CPU;
        info->is_cpu = true;
        info->is_gpu = false;
        info->vector_width = (unsigned)atoi(class_name + 3);
    } else {
        info->device_class = CLFCN_CLASS_OTHER;
        info->is_cpu = false;
        info->is_gpu = true;
        info->vector_width = 1;
    }
}

int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct clfcn_err err = { 0 };
    const char *spec = getenv("CLFCN_TEST_DEVICE");
    const char *class_name = getenv("CLFCN_TEST_CLASS");
    const char *slice_ms = getenv("CLFCN_TEST_SLICE_MS");
    if (!rig || clfcn_dev_open(spec ? spec : "auto", &rig->dev, &err) < 0) {
        print_error("no device to test on: %s\n", err.msg);
        free(rig);
        return -1;
    }
    if (class_name) {
        disguise(&rig->dev->info, class_name);
    }
    if (slice_ms) {
        rig_ok(clfcn_dev_limit_kernels(rig->dev, atof(slice_ms), &err), &err);
    }
    rig->small = getenv("CLFCN_TEST_SMALL") != NULL;
    rig->exact = getenv("CLFCN_TEST_EXACT") != NULL;
    *state = rig;
    return 0;
}

int rig_close(void **state)
{
    struct rig *rig = *state;
    clfcn_dev_close(&rig->dev);
    free(rig);
    return 0;
}

bool rig_has_vectors(const struct rig *rig)
{
    return rig->dev->info.vector_width >= 4;
}

int rig_begin_test(void **state)
{
    struct rig *rig = *state;
    clfcn_rng_init(&rig->rng, 1, "kernel test", 0, 0);
    rig->objects = atomic_load(&rig->dev->live_objects);
    return 0;
}

int rig_end_test(void **state)
{
    const struct rig *rig = *state;
    const int left = atomic_load(&rig->dev->live_objects) - rig->objects;
    if (left != 0) {
        print_error("%d device objects are left\n", left);
    }
    return left;
}

double *doubles(size_t count)
{
    double *v = malloc((count > 0 ? count : 1) * sizeof(*v));
    assert_non_null(v);
    return v;
}

static void allocate(struct rig *rig, struct vec *v, const char *name, size_t count,
                     size_t front, size_t back)
{
    struct clfcn_err err;
    *v = (struct vec){ .name = name, .count = count, .front = front, .back = back };
    v->host = doubles(count);
    if (count > 0) {
        const size_t bytes = (front + count + back) * sizeof(float);
        rig_ok(clfcn_buffer_create(rig->dev, bytes, name, &v->whole, &err), &err);
        v->mem = v->whole;
    }
}

void vec_open(struct rig *rig, struct vec *v, const char *name, size_t count)
{
    struct clfcn_err err;
    const size_t origin = clfcn_buffer_align(rig->dev, GUARD_FLOATS * sizeof(float));
    if (rig->exact) {
        vec_open_whole(rig, v, name, count);
        return;
    }
    allocate(rig, v, name, count, origin / sizeof(float), GUARD_FLOATS);
    if (count > 0) {
        const size_t bytes = count * sizeof(float);
        rig_ok(clfcn_buffer_view(rig->dev, v->whole, origin, bytes, &v->mem, &err), &err);
    }
    vec_poison(rig, v);
}

void vec_open_whole(struct rig *rig, struct vec *v, const char *name, size_t count)
{
    allocate(rig, v, name, count, 0, rig->exact ? 0 : GUARD_FLOATS);
    vec_poison(rig, v);
}

void vec_close(struct rig *rig, struct vec *v)
{
    if (v->mem != v->whole) {
        clfcn_buffer_release(rig->dev, &v->mem);
    }
    clfcn_buffer_release(rig->dev, &v->whole);
    free(v->host);
    *v = (struct vec){ 0 };
}

void vec_normal(struct rig *rig, struct vec *v, double mean, double deviation)
{
    for (size_t i = 0; i < v->count; ++i) {
        v->host[i] = (float)(mean + deviation * clfcn_rng_normal(&rig->rng));
    }
}

void vec_constant(struct vec *v, double value)
{
    for (size_t i = 0; i < v->count; ++i) {
        v->host[i] = (float)value;
    }
}

/* Floats of the whole allocation. */
static size_t padded_count(const struct vec *v)
{
    return v->front + v->count + v->back;
}

/* The whole allocation's content when nothing has been written: NaN everywhere. */
static uint32_t *guarded_words(const struct vec *v)
{
    uint32_t *words = malloc(padded_count(v) * sizeof(*words));
    assert_non_null(words);
    for (size_t i = 0; i < padded_count(v); ++i) {
        words[i] = GUARD_BITS;
    }
    return words;
}

void vec_poison(struct rig *rig, struct vec *v)
{
    struct clfcn_err err;
    for (size_t i = 0; i < v->count; ++i) {
        v->host[i] = NAN;
    }
    if (v->count == 0) {
        return;
    }
    uint32_t *words = guarded_words(v);
    const size_t bytes = padded_count(v) * sizeof(*words);
    rig_ok(clfcn_buffer_write(rig->dev, v->whole, 0, bytes, words, &err), &err);
    free(words);
}

double *vec_copy(const struct vec *v)
{
    double *copy = doubles(v->count);
    if (v->count > 0) {
        memcpy(copy, v->host, v->count * sizeof(*copy));
    }
    return copy;
}

void vec_upload(struct rig *rig, struct vec *v)
{
    struct clfcn_err err;
    if (v->count == 0) {
        return;
    }
    const size_t bytes = v->count * sizeof(float);
    float *floats = malloc(bytes);
    assert_non_null(floats);
    for (size_t i = 0; i < v->count; ++i) {
        floats[i] = (float)v->host[i];
    }
    rig_ok(clfcn_buffer_write(rig->dev, v->mem, 0, bytes, floats, &err), &err);
    free(floats);
}

void vec_download(struct rig *rig, struct vec *v)
{
    struct clfcn_err err;
    if (v->count == 0) {
        return;
    }
    const size_t bytes = v->count * sizeof(float);
    float *floats = malloc(bytes);
    assert_non_null(floats);
    rig_ok(clfcn_buffer_read(rig->dev, v->mem, 0, bytes, floats, &err), &err);
    for (size_t i = 0; i < v->count; ++i) {
        v->host[i] = floats[i];
    }
    free(floats);
    vec_check_guards(rig, v);
}

void vec_check_guards(struct rig *rig, const struct vec *v)
{
    struct clfcn_err err;
    if (v->back == 0 || v->count == 0) {
        return;
    }
    const size_t count = padded_count(v);
    uint32_t *words = guarded_words(v);
    const size_t bytes = count * sizeof(*words);
    rig_ok(clfcn_buffer_read(rig->dev, v->whole, 0, bytes, words, &err), &err);
    for (size_t i = 0; i < count; ++i) {
        const bool guard = i < v->front || i >= v->front + v->count;
        if (guard && words[i] != GUARD_BITS) {
            fail_msg("%s: element %ld of %zu was written", v->name,
                     (long)i - (long)v->front, v->count);
        }
    }
    free(words);
}

void assert_close(const char *what, const double *got, const double *want, size_t count,
                  struct tolerance tolerance)
{
    double distance = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; ++i) {
        distance += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    const double rms = count > 0 ? sqrt(norm / (double)count) : 0.0;
    for (size_t i = 0; i < count; ++i) {
        /* Written so that NaN fails. */
        if (!(fabs(got[i] - want[i]) <= tolerance.element * (fabs(want[i]) + rms))) {
            fail_msg("%s[%zu] of %zu is %.9g, should be %.9g (rms %.3g)", what, i, count,
                     got[i], want[i], rms);
        }
    }
    if (!(sqrt(distance) <= tolerance.norm * sqrt(norm))) {
        fail_msg("%s: relative norm of the error is %.3g, allowed %.3g", what,
                 sqrt(distance / norm), tolerance.norm);
    }
}
