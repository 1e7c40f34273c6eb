/* test_nozip.c - what a build without libzip says. Compiled with its own copy of the
 * readers. */
#include "../../host/net/weights_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_archives_are_refused_with_advice(void **state)
{
    struct clfcn_weights_file f;
    struct clfcn_err err;
    assert_int_equal(clfcn_weights_open_memory("PK\3\4 and so on", 14, &f, &err),
                     CLFCN_EDATA);
    assert_non_null(strstr(err.msg, "libzip"));
    assert_non_null(strstr(err.msg, "_use_new_zipfile_serialization=False"));
    assert_int_equal(f.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archives_are_refused_with_advice),
    };
    return cmocka_run_group_tests_name("nozip", tests, NULL, NULL);
}
