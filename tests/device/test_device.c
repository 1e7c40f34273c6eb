/* test_device.c - probing, opening, buffers and the account of them, on a real device. */
#include "../../host/device/buffer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int open_device(void **state)
{
    struct clfcn_dev *dev;
    struct clfcn_err err;
    if (clfcn_dev_open(NULL, &dev, &err) != CLFCN_OK) {
        print_error("%s\n", err.msg);
        return -1;
    }
    *state = dev;
    return 0;
}

/* Whatever a test did, nothing of it may be left. */
static int close_device(void **state)
{
    struct clfcn_dev *dev = *state;
    const bool clean = atomic_load(&dev->live_objects) == 0 &&
                       atomic_load(&dev->bytes) == 0;
    clfcn_dev_close(&dev);
    return clean && !dev ? 0 : -1;
}

static void test_list(void **state)
{
    struct clfcn_device_info *list;
    struct clfcn_err err;
    int count;
    assert_int_equal(clfcn_device_list(&list, &count, &err), CLFCN_OK);
    assert_true(count > 0);
    for (int i = 0; i < count; ++i) {
        const struct clfcn_device_info *info = &list[i];
        assert_int_equal(info->index, i);
        assert_true(info->name[0] != '\0' && info->name[0] != ' ');
        assert_int_equal(info->usable, info->why_not[0] == '\0');
        if (info->usable) {
            assert_memory_equal(info->version, "OpenCL ", 7);
            assert_true(info->compute_units > 0 && info->max_work_group > 0);
            assert_true(info->max_work_item[0] > 0);
            assert_true(info->max_alloc_bytes > 0);
            assert_true(info->max_alloc_bytes <= info->global_bytes);
            assert_true(info->base_align > 0);
        }
        if (info->is_cpu) {
            assert_int_equal(info->device_class, CLFCN_CLASS_CPU);
            assert_true(info->unified_memory);
        }
    }
    free(list);
}

static void test_open(void **state)
{
    const struct clfcn_dev *dev = *state;
    char text[512];
    assert_ptr_equal(clfcn_dev_get_info(dev), &dev->info);
    clfcn_dev_describe(&dev->info, text, sizeof(text));
    assert_memory_equal(text, dev->info.name, strlen(dev->info.name));
    assert_non_null(strstr(text, dev->info.platform));

    struct clfcn_dev *none = *state;
    struct clfcn_err err;
    assert_int_equal(clfcn_dev_open("no such device", &none, &err), CLFCN_ENODEV);
    assert_null(none);
    clfcn_dev_close(&none);
}

static void test_account(void **state)
{
    struct clfcn_dev *dev = *state;
    const size_t align = dev->info.base_align;
    cl_mem a, b, view;
    struct clfcn_err err;
    assert_int_equal(clfcn_buffer_create(dev, 1000, "a", &a, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_create(dev, 4 * align, "b", &b, &err), CLFCN_OK);
    assert_int_equal(atomic_load(&dev->bytes), 1000 + 4 * align);
    assert_int_equal(clfcn_buffer_view(dev, b, align, align, &view, &err), CLFCN_OK);
    assert_int_equal(atomic_load(&dev->bytes), 1000 + 4 * align);
    assert_int_equal(atomic_load(&dev->live_objects), 3);
    clfcn_buffer_release(dev, &view);
    assert_null(view);
    clfcn_buffer_release(dev, &view);
    clfcn_buffer_release(dev, &b);
    assert_int_equal(atomic_load(&dev->bytes), 1000);
    clfcn_buffer_release(dev, &a);
    assert_int_equal(atomic_load(&dev->peak_bytes), 1000 + 4 * align);

    assert_int_equal(clfcn_buffer_align(dev, 0), 0);
    assert_int_equal(clfcn_buffer_align(dev, 1), align);
    assert_int_equal(clfcn_buffer_align(dev, align), align);
    assert_int_equal(clfcn_buffer_align(dev, align + 1), 2 * align);
}

/* Limits as a small device has them: the refusal must come before OpenCL is asked. */
static void test_limits(void **state)
{
    struct clfcn_dev *dev = *state;
    const struct clfcn_device_info real = dev->info;
    cl_mem a, b;
    struct clfcn_err err;
    strcpy(dev->info.name, "Tiny");
    dev->info.max_alloc_bytes = 2048;
    dev->info.global_bytes = 3072;
    assert_int_equal(clfcn_buffer_create(dev, 2049, "weights", &a, &err), CLFCN_EDEVMEM);
    assert_string_equal(err.msg,
                        "buffer 'weights' needs 2.0 KiB; 'Tiny' allows at most 2.0 KiB "
                        "in one buffer");
    assert_null(a);
    assert_int_equal(clfcn_buffer_create(dev, SIZE_MAX, "x", &a, &err), CLFCN_EDEVMEM);
    assert_int_equal(clfcn_buffer_create(dev, 0, "x", &a, &err), CLFCN_EINVAL);
    assert_int_equal(clfcn_buffer_create(dev, 2048, "a", &a, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_create(dev, 1025, "x", &b, &err), CLFCN_EDEVMEM);
    assert_string_equal(err.msg,
                        "buffer 'x' needs 1.0 KiB more; 2.0 KiB of the 3.0 KiB of "
                        "'Tiny' are taken");
    assert_int_equal(clfcn_buffer_create(dev, 1024, "b", &b, &err), CLFCN_OK);
    clfcn_buffer_release(dev, &a);
    clfcn_buffer_release(dev, &b);
    dev->info = real;
}

/* The device itself refuses once the check on paper is out of the way. */
static void test_device_refuses(void **state)
{
    struct clfcn_dev *dev = *state;
    const struct clfcn_device_info real = dev->info;
    cl_mem a;
    struct clfcn_err err;
    dev->info.max_alloc_bytes = dev->info.global_bytes = UINT64_MAX;
    assert_int_equal(clfcn_buffer_create(dev, SIZE_MAX / 2, "x", &a, &err),
                     CLFCN_EDEVMEM);
    assert_true(err.native < 0);
    assert_non_null(strstr(err.msg, "CL_"));
    dev->info = real;
}

static void test_transfers(void **state)
{
    struct clfcn_dev *dev = *state;
    unsigned char in[64], out[64];
    cl_mem a, b;
    struct clfcn_err err;
    for (int i = 0; i < 64; ++i) {
        in[i] = (unsigned char)(i + 1);
    }
    assert_int_equal(clfcn_buffer_create(dev, 64, "a", &a, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_create(dev, 64, "b", &b, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_write(dev, a, 0, 64, in, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, b, 0, 64, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_copy(dev, a, 8, b, 16, 24, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, b, 19, 3, &err), CLFCN_OK); /* not words */
    assert_int_equal(clfcn_buffer_read(dev, b, 0, 64, out, &err), CLFCN_OK);
    for (int i = 0; i < 64; ++i) {
        const bool copied = i >= 16 && i < 40 && !(i >= 19 && i < 22);
        assert_int_equal(out[i], copied ? i - 16 + 8 + 1 : 0);
    }
    /* Nothing to do is no error. */
    assert_int_equal(clfcn_buffer_write(dev, a, 0, 0, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_read(dev, a, 0, 0, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, a, 0, 0, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_copy(dev, a, 0, b, 0, 0, &err), CLFCN_OK);

    assert_int_equal(clfcn_buffer_read(dev, a, 60, 5, out, &err), CLFCN_ECL);
    assert_string_equal(err.msg, "cannot read 5 B of device memory: CL_INVALID_VALUE");
    clfcn_buffer_release(dev, &a);
    clfcn_buffer_release(dev, &b);
}

/* What the host writes in place lies in the buffer, between what commands wrote before
 * and what they write afterwards. */
static void test_map(void **state)
{
    struct clfcn_dev *dev = *state;
    unsigned char out[64];
    void *data;
    cl_mem a;
    struct clfcn_err err;
    assert_int_equal(clfcn_buffer_create(dev, 64, "a", &a, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, a, 0, 64, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_map(dev, a, 16, 32, &data, &err), CLFCN_OK);
    memset(data, 7, 31);
    assert_int_equal(clfcn_buffer_unmap(dev, a, data, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, a, 20, 4, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_read(dev, a, 0, 64, out, &err), CLFCN_OK);
    for (int i = 0; i < 64; ++i) {
        assert_int_equal(out[i], i >= 16 && i < 47 && !(i >= 20 && i < 24) ? 7 : 0);
    }
    assert_int_equal(clfcn_buffer_map(dev, a, 60, 5, &data, &err), CLFCN_ECL);
    assert_string_equal(err.msg, "cannot map 5 B of device memory: CL_INVALID_VALUE");
    clfcn_buffer_release(dev, &a);
}

static void test_views(void **state)
{
    struct clfcn_dev *dev = *state;
    const size_t align = dev->info.base_align;
    unsigned char *bytes = malloc(4 * align);
    cl_mem arena, view;
    struct clfcn_err err;
    assert_non_null(bytes);
    assert_int_equal(clfcn_buffer_create(dev, 4 * align, "arena", &arena, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_buffer_zero(dev, arena, 0, 4 * align, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_view(dev, arena, 2 * align, align, &view, &err),
                     CLFCN_OK);
    memset(bytes, 7, align);
    assert_int_equal(clfcn_buffer_write(dev, view, 0, align, bytes, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_read(dev, arena, 0, 4 * align, bytes, &err), CLFCN_OK);
    for (size_t i = 0; i < 4 * align; ++i) {
        assert_int_equal(bytes[i], i / align == 2 ? 7 : 0);
    }
    clfcn_buffer_release(dev, &view);
    assert_int_equal(clfcn_buffer_view(dev, arena, 1, align, &view, &err), CLFCN_EINVAL);
    assert_null(view);
    assert_true(clfcn_buffer_view(dev, arena, 4 * align, align, &view, &err) < 0);
    assert_null(view);
    clfcn_buffer_release(dev, &arena);
    free(bytes);
}

static void test_events(void **state)
{
    struct clfcn_dev *dev = *state;
    cl_event event = NULL;
    clfcn_event_release(dev, &event);
    assert_int_equal(clEnqueueMarkerWithWaitList(dev->compute, 0, NULL, &event),
                     CL_SUCCESS);
    clfcn_event_made(dev);
    assert_int_equal(atomic_load(&dev->live_objects), 1);
    assert_int_equal(clWaitForEvents(1, &event), CL_SUCCESS);
    clfcn_event_release(dev, &event);
    assert_null(event);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_device, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        TEST(test_open),
        TEST(test_account),
        TEST(test_limits),
        TEST(test_device_refuses),
        TEST(test_transfers),
        TEST(test_map),
        TEST(test_views),
        TEST(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
