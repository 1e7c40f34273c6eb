/* test_driver.c - a broken driver beside a good one, seen by a user of the library.
 *
 *     test_driver LIBRARY      one that crashes whoever loads it
 *
 * One test: a process meets its drivers once. */
#include "../../host/device/driver.h"
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include "../skip.h"
#include <clfcn/device.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const good_icd = "/etc/OpenCL/vendors/pocl.icd";
static const char *broken;

static int warnings;

static void count_warning(void *user, enum clfcn_log_level level, const char *msg)
{
    ++warnings;
    assert_non_null(strstr(msg, broken));
}

/* Register PoCL and the broken driver in a folder. */
static char *make_vendors(const char *temp)
{
    char *text, *vendors = clfcn_path_join(temp, "vendors");
    size_t size;
    assert_int_equal(clfcn_path_mkdir(vendors, 0700, NULL), CLFCN_OK);
    assert_int_equal(clfcn_file_read(good_icd, 0, &text, &size, NULL), CLFCN_OK);
    char *path = clfcn_path_join(vendors, "good.icd");
    assert_int_equal(clfcn_file_write(path, text, size, NULL), CLFCN_OK);
    free(path);
    path = clfcn_path_join(vendors, "broken.icd");
    assert_int_equal(clfcn_file_write(path, broken, strlen(broken), NULL), CLFCN_OK);
    free(path);
    free(text);
    return vendors;
}

static void remove_vendors(const char *vendors)
{
    static const char *const names[] = { "good.icd", "broken.icd" };
    for (int i = 0; i < 2; ++i) {
        char *path = clfcn_path_join(vendors, names[i]);
        remove(path);
        free(path);
    }
    assert_int_equal(remove(vendors), 0);
}

static void test_a_broken_driver_is_left_out(void **state)
{
    if (!clfcn_path_exists(good_icd)) {
        SKIP_TEST("PoCL is not installed");
    }
    char *temp;
    struct clfcn_device_info *list;
    struct clfcn_dev *dev;
    struct clfcn_err err;
    const struct clfcn_driver *drivers;
    int count, broken_count = 0;
    assert_int_equal(clfcn_path_make_temp(&temp, &err), CLFCN_OK);
    char *vendors = make_vendors(temp);
    setenv("TMPDIR", temp, 1);
    setenv("OCL_ICD_VENDORS", vendors, 1);
    unsetenv("OCL_ICD_FILENAMES");
    clfcn_log_set(CLFCN_LOG_WARN, count_warning, NULL);

    assert_int_equal(clfcn_device_list(&list, &count, &err), CLFCN_OK);
    assert_true(count > 0);
    assert_non_null(strstr(list[0].platform, "Portable"));
    free(list);

    /* The environment is as it was, and no folder is left but the test's own. */
    assert_string_equal(getenv("OCL_ICD_VENDORS"), vendors);
    assert_null(getenv("OCL_ICD_FILENAMES"));
    remove_vendors(vendors);
    assert_int_equal(remove(temp), 0);

    /* The second time nothing is tried, and nothing said. */
    assert_int_equal(clfcn_dev_open("auto", &dev, &err), CLFCN_OK);
    clfcn_dev_close(&dev);
    assert_int_equal(clfcn_dev_open("no such device", &dev, &err), CLFCN_ENODEV);
    assert_non_null(strstr(err.msg, "1 OpenCL driver does not work"));
    assert_int_equal(warnings, 1);

    assert_int_equal(clfcn_drivers_vet(true, &drivers, &count, &err), CLFCN_OK);
    assert_int_equal(count, 2);
    for (int i = 0; i < count; ++i) {
        broken_count += drivers[i].state == CLFCN_DRIVER_BROKEN;
        assert_int_equal(drivers[i].state == CLFCN_DRIVER_BROKEN,
                         strcmp(drivers[i].icd.library, broken) == 0);
    }
    assert_int_equal(broken_count, 1);
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
    free(vendors);
    free(temp);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(
        test_a_broken_driver_is_left_out) };
    if (argc != 2) {
        return 2;
    }
    broken = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
