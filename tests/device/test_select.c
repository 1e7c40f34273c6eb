/* test_select.c - which device a --device argument means, over tables of made-up
 * devices. */
#include "../../host/device/cl.h"
#include "../../host/device/dev.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define CPU .is_cpu = true, .unified_memory = true
#define INTEGRATED .is_gpu = true, .unified_memory = true
#define DISCRETE .is_gpu = true

static const struct clfcn_device_info lab[] = {
    { .name = "Xeon", .vendor = "Intel", .platform = "PoCL", CPU, .usable = true },
    { .name = "Iris", .vendor = "Intel", .platform = "NEO", INTEGRATED, .usable = true },
    { .name = "Radeon Old",
      .vendor = "AMD",
      .platform = "Clover",
      DISCRETE,
      .why_not = "it has OpenCL 1.1, and 1.2 is needed" },
    { .name = "Radeon Old Two",
      .vendor = "AMD",
      .platform = "ROCm",
      DISCRETE,
      .usable = true },
    { .name = "Radeon", .vendor = "AMD", .platform = "ROCm", DISCRETE, .usable = true },
    { .name = "FPGA", .vendor = "Intel", .platform = "SDK", .usable = true },
};
enum { LAB = sizeof(lab) / sizeof(lab[0]) };

static const struct {
    int count; /* of the lab's devices */
    const char *spec;
    int want; /* < 0: refused */
} cases[] = {
    { LAB, NULL, 3 }, /* the first of two usable discrete GPUs */
    { LAB, "", 3 },        { LAB, "auto", 3 },
    { LAB, "AUTO", 3 },    { LAB, "gpu", 3 },
    { LAB, "cpu", 0 },     { LAB, "CPU", 0 },
    { 3, "auto", 1 }, /* integrated before CPU; the discrete one is not usable */
    { 3, "gpu", 1 },       { 1, "auto", 0 },
    { 1, "gpu", -1 },      { LAB, "0", 0 },
    { LAB, "1", 1 },       { LAB, "5", 5 },
    { LAB, "2", -1 }, /* exists, not usable */
    { LAB, "6", -1 },      { LAB, "99999999999999999999999", -1 },
    { LAB, "-1", -1 },     { LAB, "iris", 1 },
    { LAB, "INTEL", 0 },   /* a vendor; the first of three */
    { LAB, "rocm", 3 },    /* a platform */
    { LAB, "radeon", 4 },  /* the whole name before a part of an earlier one */
    { LAB, "old", 3 },     /* the first usable one with that part */
    { LAB, "clover", -1 }, /* matches one that is not usable */
    { LAB, "nvidia", -1 }, { 0, "auto", -1 },
    { 0, "0", -1 },        { 0, "cpu", -1 },
};

static void test_table(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        struct clfcn_err err = { 0 };
        int chosen;
        const int rc = clfcn_select(lab, cases[i].count, cases[i].spec, &chosen, &err);
        const int want_rc = cases[i].want < 0 ? CLFCN_ENODEV : CLFCN_OK;
        if (rc != want_rc || chosen != cases[i].want) {
            fail_msg("'%s' of %d devices gives %d (%s)", cases[i].spec, cases[i].count,
                     chosen, err.msg);
        }
    }
}

/* An accelerator comes before a CPU, and devices that are not usable never count. */
static void test_auto_rank(void **state)
{
    const struct clfcn_device_info few[] = { lab[0], lab[5] };
    const struct clfcn_device_info none[] = { lab[2] };
    struct clfcn_err err;
    int chosen;
    assert_int_equal(clfcn_select(few, 2, "auto", &chosen, &err), CLFCN_OK);
    assert_int_equal(chosen, 1);
    assert_int_equal(clfcn_select(none, 1, "auto", &chosen, &err), CLFCN_ENODEV);
    assert_string_equal(err.msg,
                        "no usable OpenCL device; there is 0: Radeon Old (not usable: "
                        "it has OpenCL 1.1, and 1.2 is needed)");
}

static void test_messages(void **state)
{
    struct clfcn_err err;
    int chosen;
    clfcn_select(lab, 2, "7", &chosen, &err);
    assert_string_equal(err.msg, "there is no device 7; there are 0: Xeon, 1: Iris");
    clfcn_select(lab, 2, "geforce", &chosen, &err);
    assert_string_equal(err.msg,
                        "no usable device matches 'geforce'; there are 0: Xeon, 1: Iris");
    clfcn_select(lab, LAB, "2", &chosen, &err);
    assert_non_null(strstr(err.msg, "device 2 cannot be used"));
    assert_non_null(strstr(err.msg, "2: Radeon Old (not usable: it has OpenCL 1.1"));
    clfcn_select(lab, 0, "auto", &chosen, &err);
    assert_non_null(strstr(err.msg, "pocl-opencl-icd"));
    assert_non_null(strstr(err.msg, "mesa-opencl-icd"));
    assert_non_null(strstr(err.msg, "intel-opencl-icd"));
    assert_int_equal(clfcn_select(lab, 0, "auto", &chosen, NULL), CLFCN_ENODEV);
}

static void test_error_names(void **state)
{
    struct clfcn_err err;
    assert_string_equal(clfcn_cl_error_name(-5), "CL_OUT_OF_RESOURCES");
    assert_string_equal(clfcn_cl_error_name(-1009), "CLBlastInsufficientMemoryC");
    assert_string_equal(clfcn_cl_error_name(-2046), "CLBlastInvalidLocalMemUsage");
    assert_non_null(clfcn_cl_error_name(-31337));
    assert_int_equal(clfcn_cl_err(&err, -54, "kernel '%s'", "pool_fwd"), CLFCN_ECL);
    assert_string_equal(err.msg, "kernel 'pool_fwd': CL_INVALID_WORK_GROUP_SIZE");
    assert_int_equal(err.native, -54);
    assert_int_equal(clfcn_cl_err(&err, -4, "x"), CLFCN_EDEVMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_auto_rank),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_error_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
