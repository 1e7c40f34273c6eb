/* A process that opens a device, trains and closes it again and again keeps nothing.
 *
 * An argument says how often; the figures of each cycle are printed then. */
#include <clfcn/clfcn.h>

#include "../../host/device/dev.h"
#include "scratch.h"
#include <dirent.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* The first cycles fill caches of the runtime and the allocator. Memory is compared by
 * the most of SOME cycles after them and the least of the last: threads of the runtime
 * let go of theirs when it suits them. */
enum { PICTURES = 4, SIDE = 32, BATCH = 2, STEPS = 2, FIRST = 2, SOME = 3 };

static int cycles = 10;
static bool told;

struct held {
    long kib; /* resident, of what is in use */
    int descriptors, threads;
};

static int entries(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) {
        ++n;
    }
    closedir(dir);
    return n - 3; /* without . and .. and, of descriptors, this one */
}

static struct held measure(void)
{
    long pages = 0;
#ifdef __GLIBC__
    malloc_trim(0); /* what was freed is no leak, wherever it lies */
#endif
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return (struct held){ pages * (sysconf(_SC_PAGESIZE) / 1024),
                          entries("/proc/self/fd"), entries("/proc/self/task") };
}

static int make_set(struct clfcn_dataset **set, struct clfcn_err *err)
{
    static const char *const names[] = { "dark", "bright" };
    static uint8_t rgb[SIDE][SIDE][3], labels[SIDE][SIDE];
    struct clfcn_labelled pictures[PICTURES];
    for (int p = 0; p < SIDE * SIDE; ++p) {
        labels[p / SIDE][p % SIDE] = p % SIDE > 10;
        rgb[p / SIDE][p % SIDE][p % 3] = (uint8_t)(7 * p);
    }
    for (int i = 0; i < PICTURES; ++i) {
        pictures[i] = (struct clfcn_labelled){ SIDE, SIDE, rgb[0][0], 0, labels[0], 0 };
    }
    return clfcn_dataset_from_memory(names, 2, pictures, PICTURES, set, err);
}

static int train_once(struct clfcn_err *err)
{
    struct clfcn_train_config config;
    struct clfcn_dataset *set = NULL;
    struct clfcn_dev *dev = NULL;
    char out[SCRATCH_PATH];
    clfcn_train_defaults(&config);
    int rc = make_set(&set, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_dev_open("auto", &dev, err);
    }
    if (rc == CLFCN_OK) {
        config.set = set;
        config.val_fraction = 0;
        config.out = scratch_path(out, "run");
        config.arch = CLFCN_FCN32S;
        config.backbone = CLFCN_VGG11;
        config.width = config.height = SIDE;
        config.batch = BATCH;
        config.momentum = 0;
        config.epochs = 1;
        config.max_steps = STEPS;
        rc = clfcn_train(dev, &config, false, NULL, err);
        assert_int_equal(atomic_load(&dev->live_objects), 0);
    }
    clfcn_dev_close(&dev);
    clfcn_dataset_destroy(&set);
    return rc;
}

static void test_nothing_is_kept(void **state)
{
    struct held first = { 0 }, now = { 0 };
    long most = 0, least = LONG_MAX;
    for (int i = 0; i < cycles; ++i) {
        struct clfcn_err err;
        assert_int_equal(scratch_make(state), 0);
        if (train_once(&err) < 0) {
            fail_msg("%s", err.msg);
        }
        assert_int_equal(scratch_remove(state), 0);
        now = measure();
        if (told) {
            print_message("cycle %d: %ld KiB, %d descriptors, %d threads\n", i + 1,
                          now.kib, now.descriptors, now.threads);
        }
        if (i == FIRST) {
            first = now;
        }
        if (i >= FIRST && i < FIRST + SOME && now.kib > most) {
            most = now.kib;
        }
        if (i >= cycles - SOME && now.kib < least) {
            least = now.kib;
        }
    }
    assert_int_equal(now.descriptors, first.descriptors);
    assert_int_equal(now.threads, first.threads);
#ifdef CLFCN_RSS_TELLS
    const long grown = (least - most) / (cycles - FIRST - SOME);
    if (grown > 1024) {
        fail_msg("%ld KiB more after each cycle", grown);
    }
#endif
}

int main(int argc, char **argv)
{
    told = argc > 1;
    cycles = told ? atoi(argv[1]) : cycles;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_kept) };
    return cycles > FIRST + SOME ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
