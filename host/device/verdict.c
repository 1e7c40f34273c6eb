/* verdict.c - drivers that passed, remembered in cache_dir/drivers/HASH.txt.
 *
 * A file holds the key, and a line each of the library's path, that file's stamp, why the
 * driver offers nothing, and a check sum of all that. A broken driver is not remembered:
 * once repaired it is back at once. */
#include "../util/env.h"
#include "../util/file.h"
#include "../util/hash.h"
#include "../util/log.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include "driver.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAMP_LEN = 80 };

/* What drivers, the loader and the dynamic linker let themselves be told. */
static const char *const variables[] = { "CUDA_",   "GALLIUM_", "GPU_",     "HSA_",
                                         "LD_",     "MESA_",    "NEO",      "OCL_",
                                         "OPENCL_", "POCL_",    "RUSTICL_", "ROCR_",
                                         "ZE_",     NULL };

/* What a verdict rests on besides the library's file: a new string, or NULL; and the name
 * of the file that is to hold it, which is that of earlier circumstances, too.
 *
 * The linker's cache changes as soon as packages with libraries come or go, on which the
 * driver may rest; and after a new start the system may have another kernel. */
static char *key_of(const struct clfcn_driver *driver, char name[32])
{
    char linker[STAMP_LEN], *boot = NULL;
    size_t size;
    struct clfcn_strbuf key = { 0 };
    clfcn_strbuf_add(&key, "library %s\nfile %s\nenvironment %016" PRIx64 "\n",
                     driver->icd.library, driver->icd.file ? driver->icd.file : "",
                     clfcn_env_hash(variables));
    if (!key.failed) {
        snprintf(name, 32, "%016" PRIx64 ".txt",
                 clfcn_hash_str(CLFCN_HASH_INIT, key.str));
    }
    clfcn_file_read("/proc/sys/kernel/random/boot_id", 4096, &boot, &size, NULL);
    clfcn_strbuf_add(&key, "clfcn %s\nlinker %s\nboot %s\n", clfcn_version(),
                     clfcn_path_stamp("/etc/ld.so.cache", linker, sizeof(linker)),
                     boot ? boot : "unknown");
    free(boot);
    if (key.failed) {
        clfcn_strbuf_free(&key);
    }
    return key.str;
}

/* The path of a file of that name, its folder created; a new string. */
static int path_of(const char *name, char **path, struct clfcn_err *err)
{
    char *dir = NULL, *drivers = NULL;
    *path = NULL;
    int rc = clfcn_path_cache_dir(&dir, err);
    if (rc < 0) {
        return rc;
    }
    drivers = clfcn_path_join(dir, "drivers");
    *path = drivers ? clfcn_path_join(drivers, name) : NULL;
    rc = *path ? clfcn_path_mkdir(drivers, 0700, err) : clfcn_err_nomem(err);
    if (rc < 0) {
        free(*path);
        *path = NULL;
    }
    free(dir);
    free(drivers);
    return rc;
}

/* Cut the first line off *rest; NULL if there is no whole one. */
static char *next_line(char **rest)
{
    char *line = *rest, *end = strchr(line, '\n');
    if (!end) {
        return NULL;
    }
    *end = '\0';
    *rest = end + 1;
    return line;
}

enum { SUM_BYTES = sizeof("sum 0123456789abcdef\n") - 1 };

/* Write the line that ends a file of that content. */
static void sum_line(const char *content, size_t n, char line[SUM_BYTES + 1])
{
    snprintf(line, SUM_BYTES + 1, "sum %016" PRIx64 "\n",
             clfcn_hash(CLFCN_HASH_INIT, content, n));
}

/* Whether text is as it was written; its last line is cut off. */
static bool cut_sum(char *text, size_t size)
{
    char line[SUM_BYTES + 1];
    if (size < SUM_BYTES) {
        return false;
    }
    size -= SUM_BYTES;
    sum_line(text, size, line);
    const bool intact = memcmp(text + size, line, SUM_BYTES) == 0;
    text[size] = '\0';
    return intact;
}

/* Read what follows the key in a file. False if the library is not as it was. */
static bool read_verdict(struct clfcn_driver *driver, char *rest)
{
    char now[STAMP_LEN];
    const char *path = next_line(&rest), *then = path ? next_line(&rest) : NULL;
    const char *why = then ? next_line(&rest) : NULL;
    if (!why || strcmp(clfcn_path_stamp(path, now, sizeof(now)), then) != 0) {
        return false;
    }
    driver->state = why[0] ? CLFCN_DRIVER_IDLE : CLFCN_DRIVER_SOUND;
    snprintf(driver->why, sizeof(driver->why), "%s", why);
    return true;
}

bool clfcn_verdict_load(struct clfcn_driver *driver)
{
    char name[32], *path = NULL, *text = NULL, *key = key_of(driver, name);
    size_t size;
    bool passed = false;
    if (key && path_of(name, &path, NULL) == CLFCN_OK && clfcn_path_exists(path) &&
        clfcn_file_read_own(path, 64 << 10, &text, &size, NULL) == CLFCN_OK) {
        const size_t len = strlen(key);
        passed = cut_sum(text, size) && strncmp(text, key, len) == 0 &&
                 read_verdict(driver, text + len);
    }
    free(key);
    free(path);
    free(text);
    return passed;
}

void clfcn_verdict_store(const struct clfcn_driver *driver)
{
    char name[32], stamp[STAMP_LEN], *path = NULL, *key = key_of(driver, name);
    struct clfcn_strbuf text = { 0 };
    struct clfcn_err err;
    if (key && driver->path) {
        clfcn_strbuf_add(&text, "%s%s\n%s\n%s\n", key, driver->path,
                         clfcn_path_stamp(driver->path, stamp, sizeof(stamp)),
                         driver->why);
        if (!text.failed) {
            char line[SUM_BYTES + 1];
            sum_line(text.str, text.len, line);
            clfcn_strbuf_add(&text, "%s", line);
        }
        if (!text.failed && (path_of(name, &path, &err) < 0 ||
                             clfcn_file_write_own(path, text.str, text.len, &err) < 0)) {
            clfcn_debug("that an OpenCL driver works is not kept: %s", err.msg);
        }
    }
    clfcn_strbuf_free(&text);
    free(path);
    free(key);
}
