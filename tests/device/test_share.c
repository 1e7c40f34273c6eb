/* test_share.c - parts of a real device: PoCL's CPU, which has sub-devices. */
#include "../../host/device/buffer.h"
#include "../../host/device/share.h"
#include "../../host/util/cpus.h"
#include "../../host/util/thread.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Whether PoCL is there with as many compute units and processors as a split takes. */
static bool can_split(void)
{
    struct clfcn_device_info *list;
    int count;
    bool found = false;
    assert_int_equal(clfcn_device_list(&list, &count, NULL), CLFCN_OK);
    for (int i = 0; i < count; ++i) {
        found = found || (strncmp(list[i].name, "pthread", strlen("pthread")) == 0 &&
                          list[i].compute_units >= 2);
    }
    free(list);
    return found && clfcn_cpu_count() >= 2;
}

static struct clfcn_dev *open_seat(const char *names, int rank, int ranks)
{
    const struct clfcn_seats seats = { rank, ranks, NULL };
    struct clfcn_dev *dev;
    struct clfcn_err err;
    if (clfcn_dev_open_seat(names, &seats, &dev, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return dev;
}

/* A device works: what is written comes back. */
static void check_works(struct clfcn_dev *dev)
{
    unsigned char out[64];
    cl_mem a;
    struct clfcn_err err;
    assert_int_equal(clfcn_buffer_create(dev, 64, "a", &a, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, a, 0, 64, &err), CLFCN_OK);
    memset(out, 1, sizeof(out));
    assert_int_equal(clfcn_buffer_read(dev, a, 0, 64, out, &err), CLFCN_OK);
    for (int i = 0; i < 64; ++i) {
        assert_int_equal(out[i], 0);
    }
    clfcn_buffer_release(dev, &a);
}

static void test_one_rank_has_all(void **state)
{
    if (!can_split()) {
        skip();
    }
    const int cpus = clfcn_cpu_count();
    struct clfcn_dev *dev = open_seat("pthread", 0, 1);
    char title[256];
    clfcn_dev_title(dev, title, sizeof(title));
    assert_string_equal(title, dev->info.name);
    assert_true(dev->info.compute_units >= 2 && !dev->sub_device && !dev->is_part);
    assert_int_equal(clfcn_cpu_count(), cpus);
    clfcn_dev_close(&dev);
}

static void test_list_of_devices(void **state)
{
    const struct clfcn_seats seats = { 0, 2, NULL };
    struct clfcn_dev *dev;
    struct clfcn_err err;
    assert_int_equal(clfcn_dev_open_seat("cpu,no such", &seats, &dev, &err),
                     CLFCN_ENODEV);
    assert_null(dev);
    assert_int_equal(clfcn_dev_open_seat("cpu,", &seats, &dev, &err), CLFCN_EINVAL);
    assert_int_equal(clfcn_dev_open("cpu,cpu", &dev, &err), CLFCN_EINVAL);
    assert_null(dev);
}

/* Keeps the process to its half, as a rank's. */
static void test_second_half(void **state)
{
    if (!can_split()) {
        skip();
    }
    const int cpus = clfcn_cpu_count();
    const uint64_t before = clfcn_cpus_hash();
    struct clfcn_dev *whole = open_seat("pthread", 0, 1);
    struct clfcn_dev *dev = open_seat("pthread", 1, 2);
    cl_device_id parent = NULL;
    cl_uint units = 0;
    clGetDeviceInfo(dev->id, CL_DEVICE_PARENT_DEVICE, sizeof(cl_device_id), &parent,
                    NULL);
    clGetDeviceInfo(dev->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    assert_ptr_equal(parent, whole->id);
    assert_int_equal(units, dev->info.compute_units);
    assert_true(units < whole->info.compute_units && dev->is_part);
    assert_int_equal(dev->info.global_bytes, whole->info.global_bytes / 2);
    assert_string_equal(dev->info.name, whole->info.name);
    assert_memory_equal(dev->part, "part 2 of 2: ", strlen("part 2 of 2: "));
    assert_int_equal(clfcn_cpu_count(), cpus - cpus / 2);
    assert_true(clfcn_cpus_hash() != before);
    check_works(dev);
    clfcn_dev_close(&dev);
    clfcn_dev_close(&whole);
}

/* Runs in what the test before has left. */
static void test_more_ranks_than_processors(void **state)
{
    if (clfcn_cpu_count() != 1) {
        skip();
    }
    struct clfcn_dev *dev = open_seat("pthread", 2, 3);
    assert_int_equal(dev->info.compute_units, 1);
    check_works(dev);
    clfcn_dev_close(&dev);
}

int main(void)
{
    setenv("POCL_DEVICES", "pthread basic", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank_has_all),
        cmocka_unit_test(test_list_of_devices),
        cmocka_unit_test(test_second_half),
        cmocka_unit_test(test_more_ranks_than_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
