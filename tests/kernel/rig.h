/* rig.h - what every kernel test stands on: a device, guarded buffers, and a comparison.
 *
 *   CLFCN_TEST_DEVICE  the device ("auto")
 *   CLFCN_TEST_CLASS     choose kernels as for such a device, whatever it is: "gpu", or
 *                        "cpu8" and "cpu16", a CPU with vectors of so many floats
 *   CLFCN_TEST_SLICE_MS  cut launches that take longer into slices
 *   CLFCN_TEST_SMALL     if set: few and small cases, for a simulator or a slow device
 *   CLFCN_TEST_EXACT     if set: buffers without guard zones, for a simulator that checks
 *                        every access itself
 *
 * Tests include cmocka's headers through this one. Every failure ends the test. */
#ifndef CLFCN_TESTS_RIG_H
#define CLFCN_TESTS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../host/device/buffer.h"
#include "../../host/ops/op.h"
#include "../../host/util/rng.h"

struct rig {
    struct clfcn_dev *dev;
    struct clfcn_rng rng; /* seeded anew for each test */
    int objects;          /* on the device when the test began: what failed ones left */
    bool small, exact;
};

/* For cmocka_run_group_tests() and the tests in it. The teardown of a test asserts that
 * nothing made on the device is left. */
int rig_open(void **state);
int rig_close(void **state);
int rig_begin_test(void **state);
int rig_end_test(void **state);
#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_begin_test, rig_end_test)
#define RIG_RUN(tests) cmocka_run_group_tests(tests, rig_open, rig_close)

/* Whether kernels are chosen as for a CPU with vectors. */
bool rig_has_vectors(const struct rig *rig);

/* Fail the test with err's message unless rc is CLFCN_OK. */
void rig_ok(int rc, const struct clfcn_err *err);

/* Floats on the device between two guard zones, and their copy on the host.
 * Zero-initialised is closed. */
struct vec {
    const char *name;
    size_t count;
    double *host; /* values that a float can hold, or what vec_download() read */
    cl_mem mem;   /* what kernels are given: a view of whole, or whole itself */
    cl_mem whole;
    size_t front, back; /* floats of the guard zones in whole, before and behind */
};

/* Allocate; the content is NaN on host and device. count 0: mem is NULL. */
void vec_open(struct rig *rig, struct vec *v, const char *name, size_t count);
/* The same without a zone in front, so that mem is no view: OpenCL allows views only of
 * whole buffers, and host code may want to cut one out of this. */
void vec_open_whole(struct rig *rig, struct vec *v, const char *name, size_t count);
void vec_close(struct rig *rig, struct vec *v);
/* Draw the host's values; they are not yet on the device. */
void vec_normal(struct rig *rig, struct vec *v, double mean, double deviation);
void vec_constant(struct vec *v, double value);
void vec_upload(struct rig *rig, struct vec *v);
/* Fill with NaN on host and device, so that what a kernel forgets to write shows. */
void vec_poison(struct rig *rig, struct vec *v);
/* Read back, and assert that the guard zones are untouched. */
void vec_download(struct rig *rig, struct vec *v);
/* Only the assertion. */
void vec_check_guards(struct rig *rig, const struct vec *v);
/* The host's values; a new array, free with free(). */
double *vec_copy(const struct vec *v);

/* A new array of count doubles. Free with free(). */
double *doubles(size_t count);

/* The distance that is allowed, relative: of the whole as |got - want| / |want| in the
 * 2-norm, and of each element, against its own size plus the root mean square of all. */
struct tolerance {
    double norm, element;
};
/* Of long sums in single precision; of a few operations an element; of none. */
#define TOLERANCE_SUM ((struct tolerance){ 2e-5, 2e-4 })
#define TOLERANCE_POINT ((struct tolerance){ 2e-6, 2e-5 })
#define TOLERANCE_EXACT ((struct tolerance){ 0.0, 0.0 })

void assert_close(const char *what, const double *got, const double *want, size_t count,
                  struct tolerance tolerance);

#endif
