/* test_assign.c - which device and which part of it the ranks of a host take, over tables
 * of made-up devices. */
#include "../../host/device/share.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define CPU .is_cpu = true, .unified_memory = true
#define INTEGRATED .is_gpu = true, .unified_memory = true
#define DISCRETE .is_gpu = true

static const struct clfcn_device_info lab[] = {
    { .name = "Xeon, 8 cores", .platform = "PoCL", CPU, .compute_units = 8 },
    { .name = "llvmpipe", .platform = "rusticl", CPU, .compute_units = 8 },
    { .name = "Iris", .vendor = "Intel", INTEGRATED, .compute_units = 24 },
    { .name = "Radeon A", .vendor = "AMD", DISCRETE, .compute_units = 60 },
    { .name = "Radeon B", .vendor = "AMD", DISCRETE, .compute_units = 60 },
    { .name = "Radeon C", .vendor = "AMD", DISCRETE, .compute_units = 60 },
};
enum { LAB = sizeof(lab) / sizeof(lab[0]), MAX_RANKS = 8 };

/* The lab, with all devices but the one called broken usable. */
static void make_lab(struct clfcn_device_info list[LAB], const char *broken)
{
    for (int i = 0; i < LAB; ++i) {
        list[i] = lab[i];
        list[i].index = i;
        list[i].usable = strcmp(lab[i].name, broken) != 0;
    }
}

static const struct {
    const char *names;
    int count; /* of the lab's devices */
    int ranks;
    int want[MAX_RANKS];
} cases[] = {
    { "auto", LAB, 2, { 3, 5 } },          /* B does not work */
    { NULL, LAB, 3, { 3, 5, 3 } },         /* more ranks than GPUs: in turn */
    { "gpu", LAB, 2, { 3, 5 } },           /* never the integrated one beside them */
    { "gpu", 3, 2, { 2, 2 } },
    { "auto", 2, 3, { 0, 0, 0 } },         /* two drivers of the same processors */
    { "cpu", LAB, 2, { 0, 0 } },
    { "radeon", LAB, 2, { 3, 5 } },
    { "Radeon C", LAB, 2, { 5, 5 } },      /* a whole name */
    { "rusticl", LAB, 2, { 1, 1 } },
    { "5", LAB, 2, { 5, 5 } },
    { "3,5", LAB, 2, { 3, 5 } },
    { "5,3", LAB, 3, { 5, 3, 5 } },
    { " 5 , xeon ", LAB, 2, { 5, 0 } },
    { "0,3,5", LAB, 2, { 0, 3 } },         /* a longer list */
    { "pocl,llvmpipe", LAB, 2, { 0, 1 } },
    { "3,3", LAB, 2, { 3, 3 } },
    { "gpu,cpu", LAB, 2, { 3, 0 } },
    { "xeon, 8 cores", LAB, 2, { 0, 0 } }, /* the comma is the name's */
};

static void test_devices(void **state)
{
    struct clfcn_device_info list[LAB];
    make_lab(list, "Radeon B");
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); ++c) {
        int device[MAX_RANKS];
        struct clfcn_err err = { 0 };
        const int rc = clfcn_assign(list, cases[c].count, cases[c].names, cases[c].ranks,
                                    device, &err);
        for (int i = 0; i < cases[c].ranks; ++i) {
            if (rc < 0 || device[i] != cases[c].want[i]) {
                fail_msg("'%s': rank %d of %d takes %d (%s)", cases[c].names, i,
                         cases[c].ranks, rc < 0 ? rc : device[i], err.msg);
            }
        }
    }
}

static const struct {
    const char *names;
    int rc;
    const char *says;
} refused[] = {
    { "3,4", CLFCN_ENODEV, "device 4 cannot be used" },
    { "3,9", CLFCN_ENODEV, "there is no device 9" },
    { "xeon,voodoo", CLFCN_ENODEV, "no usable device matches 'voodoo'" },
    { "3,,5", CLFCN_EINVAL, "entry 2 of the list is empty" },
    { "3, ", CLFCN_EINVAL, "entry 2 of the list is empty" },
    { "voodoo", CLFCN_ENODEV, "no usable device matches 'voodoo'" },
};

static void test_refused(void **state)
{
    struct clfcn_device_info list[LAB];
    make_lab(list, "Radeon B");
    for (size_t c = 0; c < sizeof(refused) / sizeof(refused[0]); ++c) {
        int device[2];
        struct clfcn_err err = { 0 };
        assert_int_equal(clfcn_assign(list, LAB, refused[c].names, 2, device, &err),
                         refused[c].rc);
        if (!strstr(err.msg, refused[c].says)) {
            fail_msg("'%s': %s", refused[c].names, err.msg);
        }
    }
}

/* One process alone takes no list; a comma may belong to a name. */
static void test_alone(void **state)
{
    struct clfcn_device_info list[LAB];
    struct clfcn_err err;
    int chosen;
    make_lab(list, "");
    assert_int_equal(clfcn_select(list, LAB, "3,5", &chosen, &err), CLFCN_EINVAL);
    assert_string_equal(err.msg,
                        "--device '3,5' names 2 devices; start clfcn train under mpirun, "
                        "one rank a device, or name one");
    assert_int_equal(clfcn_select(list, LAB, "XEON, 8", &chosen, &err), CLFCN_OK);
    assert_int_equal(chosen, 0);
}

static struct clfcn_dev_part part_of(const int *device, int rank, int ranks,
                                     const uint64_t *sets, int cpus)
{
    const struct clfcn_seats seats = { rank, ranks, sets };
    return clfcn_dev_part_of(lab, device, &seats, cpus);
}

/* The parts are disjoint, cover the device, and differ by one unit at most. */
static void test_cpu_is_split(void **state)
{
    static const int device[MAX_RANKS] = { 0 };
    for (int ranks = 2; ranks <= 8; ++ranks) {
        unsigned next = 0;
        for (int i = 0; i < ranks; ++i) {
            const struct clfcn_dev_part part = part_of(device, i, ranks, NULL, 8);
            assert_int_equal(part.index, i);
            assert_int_equal(part.count, ranks);
            assert_int_equal(part.others, ranks - 1);
            assert_int_equal(part.first, next);
            assert_true(part.units >= 8u / (unsigned)ranks);
            assert_true(part.units <= 8u / (unsigned)ranks + 1);
            assert_false(part.crowded);
            next += part.units;
            assert_int_equal(part.left, 8 - next);
        }
        assert_int_equal(next, 8);
    }
}

/* Two drivers of the same processors, beside a GPU, which takes no part of them. */
static void test_two_drivers_of_a_cpu(void **state)
{
    static const int device[] = { 0, 3, 1 };
    const struct clfcn_dev_part a = part_of(device, 0, 3, NULL, 8);
    const struct clfcn_dev_part gpu = part_of(device, 1, 3, NULL, 8);
    const struct clfcn_dev_part b = part_of(device, 2, 3, NULL, 8);
    assert_true(a.units == 4 && a.first == 0 && a.count == 2 && a.others == 0);
    assert_true(b.units == 4 && b.first == 4 && b.index == 1);
    assert_true(gpu.units == 0 && gpu.count == 0 && gpu.others == 0);
}

/* What mpirun --bind-to has split is not split again; but no rank starts more threads
 * than it has processors. */
static void test_bound_ranks(void **state)
{
    static const int device[] = { 0, 0, 0, 0 };
    static const uint64_t apart[] = { 11, 22, 33, 44 }, sockets[] = { 11, 11, 22, 22 };
    const struct clfcn_dev_part alone = part_of(device, 3, 4, apart, 2);
    assert_true(alone.units == 2 && alone.count == 1 && alone.index == 0);
    assert_true(alone.first == 0 && alone.left == 6 && !alone.crowded);
    const struct clfcn_dev_part half = part_of(device, 3, 4, sockets, 4);
    assert_true(half.units == 2 && half.count == 2 && half.index == 1);
    /* A driver that has noticed the binding itself. */
    struct clfcn_device_info list[] = { { CPU, .compute_units = 2 } };
    const struct clfcn_seats seats = { 1, 2, apart };
    assert_int_equal(clfcn_dev_part_of(list, device, &seats, 2).units, 0);
}

static void test_shared(void **state)
{
    static const int cpu[MAX_RANKS] = { 0 }, gpu[] = { 3, 5, 3 };
    const struct clfcn_dev_part part = part_of(cpu, 5, 6, NULL, 4);
    assert_true(part.crowded && part.units == 1 && part.first == 5 && part.left == 2);
    assert_int_equal(part_of(gpu, 0, 3, NULL, 8).others, 1);
    assert_int_equal(part_of(gpu, 1, 3, NULL, 8).others, 0);
    assert_int_equal(part_of(gpu, 2, 3, NULL, 8).units, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_cpu_is_split),
        cmocka_unit_test(test_two_drivers_of_a_cpu),
        cmocka_unit_test(test_bound_ranks),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
