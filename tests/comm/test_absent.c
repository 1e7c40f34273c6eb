/* test_absent.c - what a build without MPI does. Compiled with its own copy of it. */
#include "../../host/comm/allreduce.h"
#include "../../host/util/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const launchers[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE",
                                         "SLURM_STEP_NUM_TASKS" };
enum { LAUNCHERS = sizeof(launchers) / sizeof(launchers[0]) };

static int clear(void **state)
{
    for (int i = 0; i < LAUNCHERS; ++i) {
        unsetenv(launchers[i]);
    }
    return 0;
}

static void test_alone_is_no_job(void **state)
{
    struct clfcn_comm *comm = NULL;
    struct clfcn_err err;
    assert_int_equal(clfcn_comm_open(&comm, &err), CLFCN_OK);
    assert_null(comm);
    for (int i = 0; i < LAUNCHERS; ++i) {
        setenv(launchers[i], "1", 1);
    }
    assert_int_equal(clfcn_comm_open(&comm, &err), CLFCN_OK);
    assert_null(comm);
    assert_int_equal(clfcn_comm_rank(comm), 0);
    assert_int_equal(clfcn_comm_size(comm), 1);
    assert_true(clfcn_comm_speaks(comm));
}

/* Wrong usage, so that clfcn ends with status 2, in each rank with this one line. */
static void test_one_of_several_is_refused_with_advice(void **state)
{
    for (int i = 0; i < LAUNCHERS; ++i) {
        char anything;
        struct clfcn_comm *comm = (struct clfcn_comm *)&anything;
        struct clfcn_err err;
        setenv(launchers[i], "3", 1);
        assert_int_equal(clfcn_comm_open(&comm, &err), CLFCN_EINVAL);
        unsetenv(launchers[i]);
        assert_null(comm);
        assert_non_null(strstr(err.msg, "one of 3 ranks"));
        assert_non_null(strstr(err.msg, "built without MPI"));
        assert_non_null(strstr(err.msg, "-Dmpi=enabled"));
        assert_null(strchr(err.msg, '\n'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_alone_is_no_job, clear),
        cmocka_unit_test_setup(test_one_of_several_is_refused_with_advice, clear),
    };
    return cmocka_run_group_tests_name("absent", tests, NULL, NULL);
}
