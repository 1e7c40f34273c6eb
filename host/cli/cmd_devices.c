/* cmd_devices.c - clfcn devices: what there is, and which of it --device chooses. */
#include "../device/driver.h"
#include "../ops/certificate.h"
#include "../util/json.h"
#include "../util/strbuf.h"
#include "options.h"
#include <stdlib.h>
#include <string.h>

static const char *class_name(enum clfcn_device_class c)
{
    switch (c) {
    case CLFCN_CLASS_CPU:
        return "cpu";
    case CLFCN_CLASS_NVIDIA:
        return "nvidia";
    case CLFCN_CLASS_AMD:
        return "amd";
    case CLFCN_CLASS_INTEL:
        return "intel";
    case CLFCN_CLASS_OTHER:
        break;
    }
    return "other";
}

static const char *type_name(const struct clfcn_device_info *d)
{
    return d->is_gpu ? "gpu" : d->is_cpu ? "cpu" : "other";
}

/* What self-tests found on a device: nothing, where it cannot be opened. */
static struct clfcn_certificate certificate_of(const struct clfcn_device_info *d)
{
    struct clfcn_certificate c = { 0 };
    struct clfcn_dev *dev = NULL;
    struct clfcn_err err;
    char index[16];
    snprintf(index, sizeof(index), "%d", d->index);
    if (d->usable && clfcn_dev_open(index, &dev, &err) == CLFCN_OK) {
        clfcn_certificate_load(dev, &c);
        clfcn_dev_close(&dev);
    }
    return c;
}

/* "forward of winograd4" of each that is wrong, as a list. A new reference. */
static json_t *faults_of(const struct clfcn_certificate *c)
{
    json_t *list = json_array();
    for (int i = 0; i < c->count; ++i) {
        if (!c->list[i].correct) {
            clfcn_json_append(
                &list, json_sprintf("%s of %s", c->list[i].pass, c->list[i].subject));
        }
    }
    return list;
}

static void print_certificate(const struct clfcn_device_info *d)
{
    struct clfcn_certificate c = certificate_of(d);
    json_t *faults = faults_of(&c);
    const size_t wrong = json_array_size(faults);
    printf("      tested    ");
    if (c.count == 0) {
        printf("nothing yet with this driver; 'clfcn selftest' does it\n");
    } else {
        printf("%d passes of kernels, %s", c.count,
               wrong > 0 ? "of which these are wrong and never used:" : "all right\n");
    }
    for (size_t i = 0; i < wrong; ++i) {
        printf("%s %s%s", i > 0 ? "," : "", json_string_value(json_array_get(faults, i)),
               i + 1 == wrong ? "\n" : "");
    }
    json_decref(faults);
    clfcn_certificate_free(&c);
}

static int print_json(const struct clfcn_device_info *d, bool chosen,
                      struct clfcn_err *err)
{
    json_t *o = json_pack("{si ss ss ss ss ss ss ss}", "index", d->index, "name", d->name,
                          "vendor", d->vendor, "platform", d->platform, "driver",
                          d->driver, "version", d->version, "type", type_name(d), "class",
                          class_name(d->device_class));
    struct clfcn_certificate certificate = certificate_of(d);
    json_t *rest = json_pack(
        "{si so sI sI sI sI sI sb sb sb sI sI sb so sb}", "tested", certificate.count,
        "wrong", faults_of(&certificate), "compute_units", (json_int_t)d->compute_units,
        "clock_mhz", (json_int_t)d->clock_mhz, "global_bytes",
        (json_int_t)d->global_bytes, "max_alloc_bytes", (json_int_t)d->max_alloc_bytes,
        "local_bytes", (json_int_t)d->local_bytes, "unified_memory", d->unified_memory,
        "fp16", d->fp16, "fp64", d->fp64, "vector_width", (json_int_t)d->vector_width,
        "max_work_group", (json_int_t)d->max_work_group, "usable", d->usable, "why_not",
        d->usable ? json_null() : json_string(d->why_not), "chosen", chosen);
    clfcn_certificate_free(&certificate);
    if (!o || !rest || json_object_update(o, rest) < 0) {
        json_decref(o);
        o = NULL; /* cli_print_json() reports it */
    }
    json_decref(rest);
    return cli_print_json(o, err);
}

static void print_text(const struct clfcn_device_info *d, bool chosen)
{
    char total[CLI_BYTES_LEN], largest[CLI_BYTES_LEN], local[CLI_BYTES_LEN];
    printf("%c %-3d %s%s%s\n", chosen ? '*' : ' ', d->index, d->name,
           d->usable ? "" : "  NOT USABLE: ", d->usable ? "" : d->why_not);
    printf("      vendor    %s\n", d->vendor);
    printf("      platform  %s, driver %s, %s\n", d->platform, d->driver, d->version);
    printf("      compute   %s (class %s), %u units, %u MHz, vectors of %u, work-groups "
           "up to "
           "%zu\n",
           type_name(d), class_name(d->device_class), d->compute_units, d->clock_mhz,
           d->vector_width, d->max_work_group);
    printf("      memory    %s%s, largest buffer %s, local %s\n",
           cli_format_bytes(d->global_bytes, total),
           d->unified_memory ? " shared with the host" : "",
           cli_format_bytes(d->max_alloc_bytes, largest),
           cli_format_bytes(d->local_bytes, local));
    printf("      floats    fp32%s%s\n", d->fp16 ? ", fp16" : "",
           d->fp64 ? ", fp64" : "");
    print_certificate(d);
    printf("\n");
}

/* A driver that is left out or offers nothing, where that is a fault of its own. */
static int print_driver(const struct clfcn_driver *driver, bool json,
                        struct clfcn_err *err)
{
    if (driver->why[0] == '\0') {
        return CLFCN_OK;
    }
    if (json) {
        return cli_print_json(json_pack("{ss ss? sb ss sb}", "library",
                                        driver->icd.library, "file", driver->icd.file,
                                        "usable", 0, "why_not", driver->why, "chosen", 0),
                              err);
    }
    char line[1024];
    printf("! %s\n", clfcn_driver_describe(driver, line, sizeof(line)));
    return CLFCN_OK;
}

int cmd_devices(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_option options[] = { { 0 } };
    struct cli_line line;
    struct clfcn_device_info *list = NULL;
    const struct clfcn_driver *drivers;
    int count = 0, driver_count, chosen = -1;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    /* Before the list, which would be content with what earlier runs found. */
    rc = clfcn_drivers_vet(true, &drivers, &driver_count, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_device_list(&list, &count, err);
    }
    if (rc < 0) {
        goto out;
    }
    /* The list is worth printing also where nothing in it can be chosen. */
    int selected = clfcn_select(list, count, env->device, &chosen, err);
    if (selected < 0) {
        chosen = -1;
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (env->json) {
            rc = print_json(&list[i], i == chosen, err);
        } else {
            print_text(&list[i], i == chosen);
        }
    }
    for (int i = 0; i < driver_count && rc == CLFCN_OK; ++i) {
        rc = print_driver(&drivers[i], env->json, err);
    }
    if (rc == CLFCN_OK) {
        rc = selected;
    }
    if (rc == CLFCN_OK && !env->json && !env->quiet) {
        printf(
            "* is what --device %s chooses; choose by number, by part of a name, or cpu, "
            "gpu.\n",
            env->device);
    }
out:
    free(list);
    cli_line_free(&line);
    return rc;
}
