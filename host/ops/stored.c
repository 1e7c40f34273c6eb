#include "stored.h"

#include "../device/program.h"
#include "../util/err.h"
#include "../util/file.h"
#include "../util/hash.h"
#include "../util/json.h"
#include "../util/path.h"
#include "../util/sys.h"
#include "gemm.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 4 << 20 }; /* no file of ours comes near this */

static uint64_t kernels_hash(void)
{
    uint64_t h = CLFCN_HASH_INIT;
    for (int i = 0; i < clfcn_embedded_source_count; ++i) {
        h = clfcn_hash_str(h, clfcn_embedded_sources[i].stem);
        h = clfcn_hash_str(h, clfcn_embedded_sources[i].text);
    }
    return h;
}

/* All that a measurement depends on besides the shape, by the name to use in messages. A
 * new object. */
static json_t *identity(const struct clfcn_dev *dev)
{
    const struct clfcn_device_info *info = &dev->info;
    char platform[256] = "";
    clGetPlatformInfo(dev->platform, CL_PLATFORM_VERSION, sizeof(platform), platform,
                      NULL);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:i}", "device",
                     info->name, "driver", info->driver, "platform", info->platform,
                     "platform version", platform, "CLBlast",
                     clfcn_gemm_clblast_version(), "clfcn", clfcn_version(), "kernels",
                     json_sprintf("%016" PRIx64, kernels_hash()), "compute units",
                     (int)info->compute_units, "vector width", (int)info->vector_width);
}

/* Of everything in json but the sum itself. 0 if memory is exhausted. */
static uint64_t sum_of(const json_t *json)
{
    json_t *rest = json_copy((json_t *)json);
    char *text = NULL;
    uint64_t h = 0;
    if (rest) {
        json_object_del(rest, "sum");
        text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    }
    if (text) {
        h = clfcn_hash_str(CLFCN_HASH_INIT, text);
    }
    free(text);
    json_decref(rest);
    return h;
}

/* A string or a small number as text. */
static void value_text(const json_t *value, char *buf, size_t n)
{
    if (json_is_string(value)) {
        snprintf(buf, n, "%s", json_string_value(value));
    } else {
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

/* CLFCN_EDATA names the first thing that is not as it was. */
static int check_identity(const json_t *stored, const struct clfcn_dev *dev,
                          struct clfcn_err *err)
{
    json_t *now = identity(dev);
    const char *key;
    json_t *value;
    int rc = now ? CLFCN_OK : clfcn_err_nomem(err);
    json_object_foreach(now, key, value)
    {
        const json_t *was = json_object_get(stored, key);
        if (rc == CLFCN_OK && !json_equal(was, value)) {
            char old[160], new[160];
            value_text(was, old, sizeof(old));
            value_text(value, new, sizeof(new));
            rc =
                clfcn_err_set(err, CLFCN_EDATA, 0,
                              "measured with another %s ('%s', now '%s')", key, old, new);
        }
    }
    json_decref(now);
    return rc;
}

int clfcn_stored_damaged(struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_EDATA, 0, "damaged, or of another version of clfcn");
}

json_t *clfcn_stored_seal(json_t *content, int format, const struct clfcn_dev *dev)
{
    char date[32];
    clfcn_clock_iso(date, sizeof(date));
    if (content && json_object_set_new(content, "format", json_integer(format)) == 0 &&
        json_object_set_new(content, "date", json_string(date)) == 0 &&
        json_object_set_new(content, "measured on", identity(dev)) == 0 &&
        json_object_set_new(content, "sum",
                            json_sprintf("%016" PRIx64, sum_of(content))) == 0) {
        return content;
    }
    json_decref(content);
    return NULL;
}

int clfcn_stored_check_whole(const json_t *json, int format, struct clfcn_err *err)
{
    const char *sum = json_string_value(json_object_get(json, "sum"));
    char want[24];
    snprintf(want, sizeof(want), "%016" PRIx64, sum_of(json));
    if (!sum || strcmp(sum, want) != 0 ||
        json_integer_value(json_object_get(json, "format")) != format) {
        return clfcn_stored_damaged(err);
    }
    return CLFCN_OK;
}

int clfcn_stored_check(const json_t *json, int format, const struct clfcn_dev *dev,
                       struct clfcn_err *err)
{
    const int rc = clfcn_stored_check_whole(json, format, err);
    return rc < 0 ? rc : check_identity(json_object_get(json, "measured on"), dev, err);
}

const char *clfcn_stored_origin(const json_t *json, const char *name)
{
    const char *s =
        json_string_value(json_object_get(json_object_get(json, "measured on"), name));
    return s && clfcn_is_one_line(s) ? s : "?";
}

/* Two runtimes may give one processor the same device name; and ranks that each have a
 * part of a device shall not write over what was measured on the whole. */
int clfcn_stored_path(const struct clfcn_dev *dev, const char *folder, char **path,
                      struct clfcn_err *err)
{
    char name[32], *cache = NULL, *dir = NULL;
    uint64_t h = clfcn_hash_str(clfcn_hash_str(CLFCN_HASH_INIT, dev->info.name),
                                dev->info.platform);
    if (dev->is_part) {
        h = clfcn_hash(h, &dev->info.compute_units, sizeof(dev->info.compute_units));
    }
    snprintf(name, sizeof(name), "%016" PRIx64 ".json", h);
    *path = NULL;
    int rc = clfcn_path_cache_dir(&cache, err);
    if (rc < 0) {
        return rc;
    }
    dir = clfcn_path_join(cache, folder);
    rc = dir ? clfcn_path_mkdir(dir, 0700, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        *path = clfcn_path_join(dir, name);
        rc = *path ? CLFCN_OK : clfcn_err_nomem(err);
    }
    free(dir);
    free(cache);
    return rc;
}

int clfcn_stored_read(const char *path, json_t **json, struct clfcn_err *err)
{
    char *text = NULL;
    size_t size;
    *json = NULL;
    int rc = clfcn_file_read_own(path, MAX_FILE, &text, &size, err);
    if (rc == CLFCN_OK) {
        *json = clfcn_json_read(text, size, JSON_REJECT_DUPLICATES, NULL, &rc, err);
        rc = rc == CLFCN_EDATA ? clfcn_stored_damaged(err) : rc;
        if (rc < 0) {
            clfcn_err_note(err, "%s", path);
        }
    }
    free(text);
    return rc;
}

int clfcn_stored_write(const char *path, json_t *json, struct clfcn_err *err)
{
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    const int rc =
        text ? clfcn_file_write_own(path, text, strlen(text), err) : clfcn_err_nomem(err);
    free(text);
    json_decref(json);
    return rc;
}
