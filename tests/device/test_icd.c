/* test_icd.c - which libraries the loader would load, and folders that show it others. */
#include "../../host/device/icd.h"
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *folder; /* of this test */

static void write_file(const char *name, const char *text)
{
    char *path = clfcn_path_join(folder, name);
    assert_int_equal(clfcn_file_write(path, text, strlen(text), NULL), CLFCN_OK);
    free(path);
}

static int enter(void **state)
{
    unsetenv("OCL_ICD_VENDORS");
    unsetenv("OCL_ICD_FILENAMES");
    unsetenv("OPENCL_VENDOR_PATH");
    return clfcn_path_make_temp(&folder, NULL);
}

static int leave(void **state)
{
    char **names;
    int count;
    if (clfcn_path_list(folder, &names, &count, NULL) < 0) {
        return -1;
    }
    for (int i = 0; i < count; ++i) {
        char *path = clfcn_path_join(folder, names[i]);
        remove(path);
        free(path);
    }
    clfcn_path_list_free(names, count);
    const int left = remove(folder);
    free(folder);
    return left;
}

/* The libraries listed, joined by blanks, are want. */
static void assert_libraries(const char *want)
{
    struct clfcn_icd *list;
    int count;
    char found[1024] = "";
    assert_int_equal(clfcn_icd_list(&list, &count, NULL), CLFCN_OK);
    for (int i = 0; i < count; ++i) {
        strcat(found, i > 0 ? " " : "");
        strcat(found, list[i].library);
        assert_true(!list[i].file != !list[i].variable);
    }
    clfcn_icd_list_free(list, count);
    assert_string_equal(found, want);
}

static void test_folder(void **state)
{
    write_file("b.icd", "libb.so\n");
    write_file("a.icd", "/opt/a b/liba.so\nlibother.so\n");
    write_file("c.icd", "libc-without-newline.so");
    write_file("empty.icd", "");
    write_file("blank.icd", "\n");
    write_file("d.icd.bak", "libno.so\n");
    setenv("OCL_ICD_VENDORS", folder, 1);
    assert_libraries("/opt/a b/liba.so libb.so libc-without-newline.so");
    unsetenv("OCL_ICD_VENDORS");
    setenv("OPENCL_VENDOR_PATH", folder, 1);
    assert_libraries("/opt/a b/liba.so libb.so libc-without-newline.so");
    setenv("OPENCL_VENDOR_PATH", "/no/such/folder", 1);
    assert_libraries("");
}

static void test_one_file(void **state)
{
    write_file("one.icd", "libone.so\n");
    write_file("two.icd", "libtwo.so\n");
    char *path = clfcn_path_join(folder, "one.icd");
    setenv("OCL_ICD_VENDORS", path, 1);
    assert_libraries("libone.so");
    setenv("OPENCL_VENDOR_PATH", folder, 1);
    setenv("OCL_ICD_VENDORS", "two.icd", 1);
    assert_libraries("libtwo.so");
    setenv("OCL_ICD_VENDORS", "three.icd", 1);
    assert_libraries("");
    free(path);
}

static void test_libraries(void **state)
{
    setenv("OCL_ICD_VENDORS", "libthree.so", 1);
    assert_libraries("libthree.so");
    setenv("OCL_ICD_FILENAMES", "/opt/libfour.so::libfive.so:", 1);
    assert_libraries("libthree.so /opt/libfour.so libfive.so");
}

/* A loader that looks where the view leads it lists what was chosen. */
static void test_view(void **state)
{
    struct clfcn_icd *list;
    int count;
    struct clfcn_icd_view view;
    write_file("one.icd", "libone.so\n");
    write_file("two.icd", "libtwo.so\n");
    setenv("OCL_ICD_VENDORS", folder, 1);
    setenv("OCL_ICD_FILENAMES", "libthree.so:libfour.so:libfive.so", 1);
    assert_int_equal(clfcn_icd_list(&list, &count, NULL), CLFCN_OK);
    assert_int_equal(count, 5);
    const struct clfcn_icd *chosen[] = { &list[1], &list[2], &list[4] };

    assert_int_equal(clfcn_icd_view_create(&view, folder, "view", chosen, 3, NULL),
                     CLFCN_OK);
    assert_string_equal(view.filenames, "OCL_ICD_FILENAMES=libthree.so:libfive.so");
    setenv("OCL_ICD_VENDORS", strchr(view.vendors, '=') + 1, 1);
    setenv("OCL_ICD_FILENAMES", strchr(view.filenames, '=') + 1, 1);
    assert_libraries("libtwo.so libthree.so libfive.so");
    clfcn_icd_view_destroy(&view);

    assert_int_equal(clfcn_icd_view_create(&view, folder, "view", chosen, 1, NULL),
                     CLFCN_OK);
    assert_string_equal(view.filenames, "OCL_ICD_FILENAMES"); /* is to be removed */
    clfcn_icd_view_destroy(&view);
    clfcn_icd_view_destroy(&view);
    clfcn_icd_list_free(list, count);
}

static void test_view_that_cannot_be_made(void **state)
{
    struct clfcn_icd_view view;
    struct clfcn_err err;
    write_file("file", "");
    char *path = clfcn_path_join(folder, "file");
    assert_int_equal(clfcn_icd_view_create(&view, path, "view", NULL, 0, &err),
                     CLFCN_EIO);
    assert_non_null(strstr(err.msg, path));
    assert_null(view.folder);
    free(path);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_folder),
        TEST(test_one_file),
        TEST(test_libraries),
        TEST(test_view),
        TEST(test_view_that_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
