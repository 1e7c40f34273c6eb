/* test_program.c - kernels: built, cached, launched; every way in which the cache can be
 * bad.
 *
 * This program's table of embedded sources holds the kernels of this folder, not those
 * of cl/. */
#include "../../host/device/buffer.h"
#include "../../host/device/cache.h"
#include "../../host/device/program.h"
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include "../skip.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 37 };

static bool positive(const int *values, const struct clfcn_device_info *info)
{
    return values[0] > 0;
}

static const struct clfcn_kernel_desc scale_desc = {
    .stem = "scale",
    .entry = "scale",
    .params = { { "FACTOR", .dflt = 3, .choices = { 3, 5 } } },
    .legal = positive,
};
static const struct clfcn_kernel_desc sum_desc = {
    .stem = "scale",
    .entry = "group_sum",
    .params = { { "FACTOR", .dflt = 3 } },
};
static const struct clfcn_kernel_desc broken_desc = { .stem = "broken",
                                                      .entry = "broken" };
static const struct clfcn_kernel_desc wide_desc = {
    .stem = "wide",
    .entry = "wide",
    .options = "-DOFFSET=2.5f",
};

struct rig {
    struct clfcn_dev *dev;
    char cache[64];
};

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct clfcn_err err;
    snprintf(rig->cache, sizeof(rig->cache), "/tmp/clfcn-test-XXXXXX");
    if (!mkdtemp(rig->cache) || clfcn_dev_open(NULL, &rig->dev, &err) != CLFCN_OK) {
        return -1;
    }
    setenv("CLFCN_CACHE_DIR", rig->cache, 1);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    const int live = atomic_load(&rig->dev->live_objects);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", rig->cache);
    clfcn_dev_close(&rig->dev);
    free(rig);
    return system(command) == 0 && live == 0 ? 0 : -1;
}

/* y = factor * x by the kernel, with a guard behind y. */
static void check_scale(struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                        float factor)
{
    enum { GUARD = 8 };
    float x[N], y[N + GUARD];
    cl_mem mx, my;
    struct clfcn_err err;
    for (int i = 0; i < N; ++i) {
        x[i] = (float)i - 7.5f;
    }
    for (int i = 0; i < N + GUARD; ++i) {
        y[i] = -1234.0f;
    }
    assert_int_equal(clfcn_buffer_create(dev, sizeof(x), "x", &mx, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_create(dev, sizeof(y), "y", &my, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_write(dev, mx, 0, sizeof(x), x, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_write(dev, my, 0, sizeof(y), y, &err), CLFCN_OK);
    const cl_int n = N;
    const size_t global = N, local = 16;
    const struct clfcn_arg args[] = { CLFCN_ARG(mx), CLFCN_ARG(my), CLFCN_ARG(n) };
    assert_int_equal(clfcn_launch(dev, kernel, 1, &global, &local, args, 3, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_buffer_read(dev, my, 0, sizeof(y), y, &err), CLFCN_OK);
    for (int i = 0; i < N + GUARD; ++i) {
        assert_true(y[i] == (i < N ? factor * x[i] : -1234.0f));
    }
    clfcn_buffer_release(dev, &mx);
    clfcn_buffer_release(dev, &my);
}

/* Build scale.cl in a new set, check what it computes, and say where it came from. */
static struct clfcn_programs_stats build_scale(struct clfcn_dev *dev)
{
    struct clfcn_programs *set;
    struct clfcn_kernel kernel;
    struct clfcn_err err;
    assert_int_equal(clfcn_programs_create(dev, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &kernel, &scale_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_OK);
    check_scale(dev, &kernel, 3.0f);
    const struct clfcn_programs_stats stats = clfcn_programs_get_stats(set);
    clfcn_programs_destroy(&set);
    assert_null(set);
    assert_null(kernel.handle);
    return stats;
}

/* Equal programs are shared, kernels are not; later wishes join in. */
static void test_sets(void **state)
{
    struct rig *rig = *state;
    struct clfcn_programs *set;
    struct clfcn_kernel three, again, five, sum, wide, late;
    const int values[] = { 5 };
    struct clfcn_err err;
    assert_int_equal(clfcn_programs_create(rig->dev, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_OK); /* nothing wanted yet */
    assert_int_equal(clfcn_kernel_want(set, &three, &scale_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &again, &scale_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &five, &scale_desc, values, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &sum, &sum_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &wide, &wide_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(three.values[0], 3);
    assert_int_equal(five.values[0], 5);
    assert_null(three.handle);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_get_stats(set).compiled, 3);
    assert_int_equal(clfcn_programs_get_stats(set).cached, 0);
    assert_ptr_not_equal(three.handle, again.handle);
    check_scale(rig->dev, &three, 3.0f);
    check_scale(rig->dev, &five, 5.0f);

    assert_int_equal(clfcn_kernel_want(set, &late, &scale_desc, values, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_get_stats(set).compiled, 3);
    check_scale(rig->dev, &late, 5.0f);
    clfcn_programs_destroy(&set);
    clfcn_programs_destroy(&set);
}

static void test_want_refuses(void **state)
{
    static const struct clfcn_kernel_desc absent = { .stem = "absent", .entry = "f" };
    static const struct clfcn_kernel_desc no_entry = {
        .stem = "scale", .entry = "nothing", .params = { { "FACTOR", .dflt = 1 } }
    };
    struct rig *rig = *state;
    struct clfcn_programs *set;
    struct clfcn_kernel kernel;
    const int values[] = { -2 };
    struct clfcn_err err;
    assert_int_equal(clfcn_programs_create(rig->dev, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &kernel, &scale_desc, values, &err),
                     CLFCN_EINVAL);
    assert_memory_equal(err.msg, "kernel 'scale' cannot have -DFACTOR=-2 on ", 42);
    assert_int_equal(clfcn_kernel_want(set, &kernel, &absent, NULL, &err), CLFCN_EINVAL);
    assert_string_equal(err.msg, "kernel 'f': cl/absent.cl is not part of this build");
    assert_int_equal(clfcn_kernel_want(set, &kernel, &no_entry, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_ECL);
    assert_memory_equal(err.msg, "cl/scale.cl: kernel 'nothing' cannot be created: CL_",
                        52);
    clfcn_programs_destroy(&set);
}

struct heard {
    bool name, line, level;
};

static void hear(void *user, enum clfcn_log_level level, const char *msg)
{
    struct heard *heard = user;
    heard->name |= strstr(msg, "undeclared_name") != NULL;
    heard->line |= strstr(msg, "cl/broken.cl:6") != NULL;
    heard->level |= level != CLFCN_LOG_ERROR;
}

/* The device's log reaches the user, with file and line as the author of the kernel
 * knows them. */
static void test_build_error(void **state)
{
    struct rig *rig = *state;
    struct clfcn_programs *set;
    struct clfcn_kernel good, bad;
    struct clfcn_err err;
    struct heard heard = { 0 };
    assert_int_equal(clfcn_programs_create(rig->dev, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &good, &scale_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &bad, &broken_desc, NULL, &err), CLFCN_OK);
    clfcn_log_set(CLFCN_LOG_ERROR, hear, &heard);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_ECL);
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
    assert_memory_equal(err.msg, "cl/broken.cl does not build for '", 33);
    assert_non_null(strstr(err.msg, "CL_BUILD_PROGRAM_FAILURE"));
    assert_int_equal(err.native, CL_BUILD_PROGRAM_FAILURE);
    assert_true(heard.name);
    if (!strstr(rig->dev->info.name, "Oclgrind")) { /* which takes no notice of #line */
        assert_true(heard.line);
    }
    assert_false(heard.level);
    assert_null(bad.handle);
    clfcn_programs_destroy(&set);
}

/* Names of the files in the cache; the caller frees them. */
static int cache_files(const struct rig *rig, char ***names)
{
    char dir[128];
    int count;
    snprintf(dir, sizeof(dir), "%s/kernels", rig->cache);
    assert_int_equal(clfcn_path_list(dir, names, &count, NULL), CLFCN_OK);
    return count;
}

/* The path of the only cache file; false where the runtime gives no binaries. */
static bool only_cache_file(const struct rig *rig, char *path, size_t n)
{
    char **names;
    const int count = cache_files(rig, &names);
    if (count == 1) {
        snprintf(path, n, "%s/kernels/%s", rig->cache, names[0]);
    }
    clfcn_path_list_free(names, count);
    assert_in_range(count, 0, 1);
    return count == 1;
}

/* The key under which build_scale()'s program is kept; to be freed. */
static char *scale_key(const struct clfcn_dev *dev)
{
    const char *source = "";
    for (int i = 0; i < clfcn_embedded_source_count; ++i) {
        if (strcmp(clfcn_embedded_sources[i].stem, "scale") == 0) {
            source = clfcn_embedded_sources[i].text;
        }
    }
    char *key = clfcn_cache_key(
        dev, source, "-cl-std=CL1.2 -cl-mad-enable -cl-no-signed-zeros -DFACTOR=3");
    assert_non_null(key);
    return key;
}

static void test_cache(void **state)
{
    struct rig *rig = *state;
    char path[192];
    assert_int_equal(build_scale(rig->dev).compiled, 1);
    if (!only_cache_file(rig, path, sizeof(path))) {
        SKIP_TEST("this device gives no binaries");
    }
    const struct clfcn_programs_stats stats = build_scale(rig->dev);
    assert_int_equal(stats.compiled, 0);
    assert_int_equal(stats.cached, 1);

    /* A new driver has another key; what another driver made is not loaded. */
    strcat(rig->dev->info.driver, "-new");
    assert_int_equal(build_scale(rig->dev).compiled, 1);
    char **names;
    const int count = cache_files(rig, &names);
    clfcn_path_list_free(names, count);
    assert_int_equal(count, 2);
}

/* Cut at many places, or with a byte changed at many places, a file is refused and
 * replaced. */
static void test_damaged_cache(void **state)
{
    struct rig *rig = *state;
    char path[192], *data;
    size_t size, got;
    build_scale(rig->dev);
    if (!only_cache_file(rig, path, sizeof(path))) {
        SKIP_TEST("this device gives no binaries");
    }
    assert_int_equal(clfcn_file_read(path, 0, &data, &size, NULL), CLFCN_OK);

    char *key = scale_key(rig->dev); /* stands behind 32 bytes of header */
    assert_memory_equal(data + 32, key, strlen(key));
    void *program = clfcn_cache_load(key, &got);
    assert_non_null(program);
    assert_int_equal(got, size - 32 - strlen(key));
    free(program);

    for (int i = 0; i < 80; ++i) { /* all over the file, and closely in its header */
        const size_t at = i < 40 ? (size_t)i * size / 40 : (size_t)i - 40;
        assert_int_equal(clfcn_file_write(path, data, at, NULL), CLFCN_OK);
        assert_null(clfcn_cache_load(key, &got));
        data[at] ^= 0x10;
        assert_int_equal(clfcn_file_write(path, data, size, NULL), CLFCN_OK);
        assert_null(clfcn_cache_load(key, &got));
        data[at] ^= 0x10;
    }
    char *longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, data, size);
    assert_int_equal(clfcn_file_write(path, longer, size + 1, NULL), CLFCN_OK);
    assert_null(clfcn_cache_load(key, &got));
    free(longer);

    assert_int_equal(clfcn_file_write(path, data, size / 2, NULL), CLFCN_OK);
    assert_int_equal(build_scale(rig->dev).compiled, 1);
    assert_int_equal(build_scale(rig->dev).cached, 1);
    free(data);
    free(key);
}

/* A whole file whose program the device refuses: built from source, and replaced. */
static void test_refused_binary(void **state)
{
    struct rig *rig = *state;
    if (strcmp(rig->dev->info.platform, "rusticl") == 0) {
        SKIP_TEST("Mesa 22.3 ends the process on a binary that it does not know");
    }
    char *key = scale_key(rig->dev);
    clfcn_cache_store(key, "no program at all", 17);
    size_t size;
    void *program = clfcn_cache_load(key, &size);
    assert_int_equal(size, 17);
    free(program);
    free(key);
    assert_int_equal(build_scale(rig->dev).compiled, 1);
    char path[192];
    if (!only_cache_file(rig, path, sizeof(path))) {
        SKIP_TEST("this device gives no binaries");
    }
    assert_int_equal(build_scale(rig->dev).cached, 1);
}

/* A cache folder that cannot be written costs time only. */
static void test_no_cache_folder(void **state)
{
    struct rig *rig = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/file", rig->cache);
    assert_int_equal(clfcn_file_write(path, "x", 1, NULL), CLFCN_OK);
    setenv("CLFCN_CACHE_DIR", path, 1);
    assert_int_equal(build_scale(rig->dev).compiled, 1);
    assert_int_equal(build_scale(rig->dev).compiled, 1);
}

static void test_launch(void **state)
{
    struct rig *rig = *state;
    struct clfcn_programs *set;
    struct clfcn_kernel sum;
    struct clfcn_err err;
    cl_mem mem;
    cl_int out[4] = { -1, -1, -1, -1 };
    assert_int_equal(clfcn_programs_create(rig->dev, &set, &err), CLFCN_OK);
    assert_int_equal(clfcn_kernel_want(set, &sum, &sum_desc, NULL, &err), CLFCN_OK);
    assert_int_equal(clfcn_programs_build(set, &err), CLFCN_OK);
    assert_int_equal(clfcn_buffer_create(rig->dev, sizeof(out), "y", &mem, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_buffer_write(rig->dev, mem, 0, sizeof(out), out, &err),
                     CLFCN_OK);

    const struct clfcn_arg args[] = { CLFCN_ARG(mem),
                                      CLFCN_ARG_LOCAL(8 * sizeof(cl_int)) };
    const size_t nothing = 0, global = 17, local = 8, huge = (size_t)1 << 30;
    assert_int_equal(clfcn_launch(rig->dev, &sum, 1, &nothing, &local, args, 2, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_launch(rig->dev, &sum, 1, &global, &local, args, 2, &err),
                     CLFCN_OK);
    assert_int_equal(clfcn_buffer_read(rig->dev, mem, 0, sizeof(out), out, &err),
                     CLFCN_OK);
    assert_int_equal(out[0], 28);  /* 0 + ... + 7 */
    assert_int_equal(out[1], 92);  /* 8 + ... + 15 */
    assert_int_equal(out[2], 156); /* 17 is rounded up to 24 */
    assert_int_equal(out[3], -1);

    assert_int_equal(clfcn_launch(rig->dev, &sum, 1, &huge, &huge, args, 2, &err),
                     CLFCN_ECL);
    assert_memory_equal(err.msg, "kernel 'group_sum': CL_INVALID_WORK_", 36);
    const struct clfcn_arg wrong[] = { { 1, &global, false } };
    assert_int_equal(clfcn_launch(rig->dev, &sum, 1, &global, &local, wrong, 1, &err),
                     CLFCN_ECL);
    assert_memory_equal(err.msg, "kernel 'group_sum': argument 0 of 1 bytes: CL_INVALID_",
                        54);
    assert_int_equal(clfcn_launch(rig->dev, &sum, 4, &global, &local, args, 2, &err),
                     CLFCN_EINVAL);
    clfcn_buffer_release(rig->dev, &mem);
    clfcn_programs_destroy(&set);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sets),
        TEST(test_want_refuses),
        TEST(test_build_error),
        TEST(test_cache),
        TEST(test_damaged_cache),
        TEST(test_refused_binary),
        TEST(test_no_cache_folder),
        TEST(test_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
