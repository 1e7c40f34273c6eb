/* select.c - which of the devices the user means. */
#include "../util/nearest.h"
#include "../util/strbuf.h"
#include "share.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How much --device auto wants a kind of device. */
enum rank { RANK_CPU, RANK_OTHER, RANK_INTEGRATED, RANK_DISCRETE };

static enum rank rank_of(const struct clfcn_device_info *info)
{
    if (info->is_gpu) {
        return info->unified_memory ? RANK_INTEGRATED : RANK_DISCRETE;
    }
    return info->is_cpu ? RANK_CPU : RANK_OTHER;
}

static bool any(const struct clfcn_device_info *info, const char *spec)
{
    return true;
}

static bool is_cpu(const struct clfcn_device_info *info, const char *spec)
{
    return info->is_cpu;
}

static bool is_gpu(const struct clfcn_device_info *info, const char *spec)
{
    return info->is_gpu;
}

static bool has_name(const struct clfcn_device_info *info, const char *spec)
{
    return strcasecmp(info->name, spec) == 0;
}

static bool contains(const char *text, const char *part)
{
    const size_t len = strlen(part);
    for (; *text; ++text) {
        if (strncasecmp(text, part, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool matches(const struct clfcn_device_info *info, const char *spec)
{
    return contains(info->name, spec) || contains(info->vendor, spec) ||
           contains(info->platform, spec);
}

typedef bool (*fits_fn)(const struct clfcn_device_info *info, const char *spec);

/* The usable device of the highest rank that fits; the first one if ranked is false.
 * -1: none. */
static int best(const struct clfcn_device_info *list, int count, fits_fn fits,
                const char *spec, bool ranked)
{
    int chosen = -1;
    for (int i = 0; i < count; ++i) {
        if (list[i].usable && fits(&list[i], spec) &&
            (chosen < 0 || (ranked && rank_of(&list[i]) > rank_of(&list[chosen])))) {
            chosen = i;
        }
    }
    return chosen;
}

/* The reason, with what there is to choose from: "REASON; there are 0: NAME, 1: NAME". */
static int refuse(const struct clfcn_device_info *list, int count, const char *reason,
                  struct clfcn_err *err)
{
    struct clfcn_strbuf there = { 0 };
    for (int i = 0; i < count; ++i) {
        clfcn_strbuf_add(&there, "%s%d: %s", i ? ", " : "", i, list[i].name);
        if (!list[i].usable) {
            clfcn_strbuf_add(&there, " (not usable: %s)", list[i].why_not);
        }
    }
    if (there.failed) {
        clfcn_strbuf_free(&there);
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_err_set(err, CLFCN_ENODEV, 0, "%s; %s %s", reason,
                                 count == 1 ? "there is" : "there are", there.str);
    clfcn_strbuf_free(&there);
    return rc;
}

static bool is_number(const char *spec)
{
    return spec[strspn(spec, "0123456789")] == '\0';
}

static int select_number(const struct clfcn_device_info *list, int count,
                         const char *spec, int *chosen, struct clfcn_err *err)
{
    char reason[256];
    const unsigned long n =
        strtoul(spec, NULL, 10); /* ULONG_MAX if too large: no such index */
    if (n >= (unsigned long)count) {
        snprintf(reason, sizeof(reason), "there is no device %.20s", spec);
        return refuse(list, count, reason, err);
    }
    if (!list[n].usable) {
        snprintf(reason, sizeof(reason), "device %lu cannot be used", n);
        return refuse(list, count, reason, err);
    }
    *chosen = (int)n;
    return CLFCN_OK;
}

/* A spec that matches nothing, with the word of a usable device's name, vendor or
 * platform that it is nearest to. */
static int refuse_name(const struct clfcn_device_info *list, int count, const char *spec,
                       struct clfcn_err *err)
{
    static const char separators[] = " ,;:()[]/@-_";
    struct clfcn_nearest near = { .word = spec };
    struct clfcn_strbuf names = { 0 };
    char reason[256];
    clfcn_strbuf_add(&names, "auto cpu gpu");
    for (int i = 0; i < count; ++i) {
        if (list[i].usable) {
            clfcn_strbuf_add(&names, " %s %s %s", list[i].name, list[i].vendor,
                             list[i].platform);
        }
    }
    char *rest = NULL;
    for (char *word = names.failed ? NULL : strtok_r(names.str, separators, &rest); word;
         word = strtok_r(NULL, separators, &rest)) {
        if (isalpha((unsigned char)*word)) { /* "2.50GHz" means no device */
            clfcn_nearest_offer(&near, word);
        }
    }
    snprintf(reason, sizeof(reason), "no usable device matches '%.100s'%s%s%s", spec,
             near.best ? " (did you mean '" : "", near.best ? near.best : "",
             near.best ? "'?)" : "");
    clfcn_strbuf_free(&names);
    return refuse(list, count, reason, err);
}

/* What a word asks of a device. */
static fits_fn fits_of(const struct clfcn_device_info *list, int count, const char *word)
{
    if (strcasecmp(word, "auto") == 0) {
        return any;
    }
    if (strcasecmp(word, "cpu") == 0) {
        return is_cpu;
    }
    if (strcasecmp(word, "gpu") == 0) {
        return is_gpu;
    }
    return best(list, count, has_name, word, false) >= 0 ? has_name : matches;
}

int clfcn_select_all(const struct clfcn_device_info *list, int count, const char *word,
                     int *chosen, int *n, struct clfcn_err *err)
{
    *n = 0;
    if (!word || !*word) {
        word = "auto";
    }
    const int rc = clfcn_select(list, count, word, chosen, err);
    if (rc < 0) {
        return rc;
    }
    const int first = chosen[0];
    *n = 1;
    if (is_number(word) || list[first].is_cpu) {
        return CLFCN_OK;
    }
    const fits_fn fits = fits_of(list, count, word);
    for (int i = 0; i < count; ++i) {
        if (i != first && list[i].usable && fits(&list[i], word) &&
            rank_of(&list[i]) == rank_of(&list[first])) {
            chosen[(*n)++] = i;
        }
    }
    return CLFCN_OK;
}

int clfcn_select(const struct clfcn_device_info *list, int count, const char *spec,
                 int *chosen, struct clfcn_err *err)
{
    *chosen = -1;
    if (!spec || !*spec) {
        spec = "auto";
    }
    if (count == 0) {
        return clfcn_err_set(
            err, CLFCN_ENODEV, 0,
            "no OpenCL device found; install a driver: on Debian or Ubuntu the package "
            "pocl-opencl-icd for the CPU, mesa-opencl-icd for an AMD GPU, "
            "intel-opencl-icd for an "
            "Intel GPU; NVIDIA's comes with its graphics driver");
    }
    const int entries = clfcn_list_entries(list, count, spec);
    if (entries > 1) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0,
            "--device '%.100s' names %d devices; start clfcn train under "
            "mpirun, one rank a device, or name one",
            spec, entries);
    }
    if (is_number(spec)) {
        return select_number(list, count, spec, chosen, err);
    }
    char reason[256];
    if (strcasecmp(spec, "auto") == 0) {
        *chosen = best(list, count, any, spec, true);
        snprintf(reason, sizeof(reason), "no usable OpenCL device");
    } else if (strcasecmp(spec, "cpu") == 0) {
        *chosen = best(list, count, is_cpu, spec, true);
        snprintf(reason, sizeof(reason),
                 "no usable CPU among the OpenCL devices (Debian and "
                 "Ubuntu have one in the package pocl-opencl-icd)");
    } else if (strcasecmp(spec, "gpu") == 0) {
        *chosen = best(list, count, is_gpu, spec, true);
        snprintf(reason, sizeof(reason), "no usable GPU among the OpenCL devices");
    } else {
        *chosen = best(list, count, has_name, spec, false);
        if (*chosen < 0) {
            *chosen = best(list, count, matches, spec, false);
        }
        return *chosen >= 0 ? CLFCN_OK : refuse_name(list, count, spec, err);
    }
    return *chosen >= 0 ? CLFCN_OK : refuse(list, count, reason, err);
}
