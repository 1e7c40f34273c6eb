/* assign.c - which device, and which part of it, each of the ranks on a host takes. */
#include "share.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool holds(const char *text, const char *part)
{
    const size_t len = strlen(part);
    for (; *text; ++text) {
        if (strncasecmp(text, part, len) == 0) {
            return true;
        }
    }
    return false;
}

int clfcn_list_entries(const struct clfcn_device_info *list, int count, const char *names)
{
    int entries = 1;
    for (const char *p = names; p && *p; ++p) {
        entries += *p == ',';
    }
    for (int i = 0; i < count && entries > 1; ++i) {
        if (holds(list[i].name, names) || holds(list[i].vendor, names) ||
            holds(list[i].platform, names)) {
            return 1;
        }
    }
    return entries;
}

/* Cut the entry that starts at *rest off and trim it; "" if there is nothing in it. */
static char *next_entry(char **rest)
{
    char *entry = *rest, *end = entry + strcspn(entry, ",");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    while (isspace((unsigned char)*entry)) {
        ++entry;
    }
    while (end > entry && isspace((unsigned char)end[-1])) {
        *--end = '\0';
    }
    return entry;
}

/* chosen [entries] receives the device of each. */
static int resolve(const struct clfcn_device_info *list, int count, const char *names,
                   int entries, int *chosen, struct clfcn_err *err)
{
    char *text = strdup(names), *rest = text;
    int rc = text ? CLFCN_OK : clfcn_err_nomem(err);
    for (int i = 0; i < entries && rc == CLFCN_OK; ++i) {
        const char *entry = next_entry(&rest);
        rc = *entry ? clfcn_select(list, count, entry, &chosen[i], err)
                    : clfcn_err_set(err, CLFCN_EINVAL, 0,
                                    "--device '%s': entry %d of the list is empty", names,
                                    i + 1);
    }
    free(text);
    return rc;
}

int clfcn_assign(const struct clfcn_device_info *list, int count, const char *names,
                 int ranks, int *device, struct clfcn_err *err)
{
    int n = clfcn_list_entries(list, count, names), rc;
    int *chosen = calloc((size_t)(n > count ? n : count) + 1, sizeof(*chosen));
    if (!chosen) {
        return clfcn_err_nomem(err);
    }
    rc = n > 1 ? resolve(list, count, names, n, chosen, err)
               : clfcn_select_all(list, count, names, chosen, &n, err);
    for (int i = 0; i < ranks && rc == CLFCN_OK; ++i) {
        device[i] = chosen[i % n];
    }
    free(chosen);
    return rc;
}

struct clfcn_dev_part clfcn_dev_part_of(const struct clfcn_device_info *list,
                                        const int *device,
                                        const struct clfcn_seats *seats, int cpus)
{
    const int own = device[seats->rank];
    const struct clfcn_device_info *info = &list[own];
    struct clfcn_dev_part part = { .count = 0 };
    for (int i = 0; i < seats->ranks; ++i) {
        const bool same_cpus = !seats->cpus || seats->cpus[i] == seats->cpus[seats->rank];
        part.others += i != seats->rank && device[i] == own;
        if (info->is_cpu && list[device[i]].is_cpu && same_cpus) {
            part.index += i < seats->rank;
            ++part.count;
        }
    }
    /* Some drivers count the processors of the machine, whatever the process may use. */
    const unsigned usable = (unsigned)cpus, units = info->compute_units;
    if (!info->is_cpu || (part.count == 1 && units <= usable)) {
        return part;
    }
    const unsigned index = (unsigned)part.index, count = (unsigned)part.count;
    part.crowded = count > usable;
    if (part.crowded) {
        part.first = index % units;
        part.units = 1;
    } else {
        part.first = usable * index / count;
        part.units = usable * (index + 1) / count - part.first;
    }
    if (part.units > units) {
        part.units = units;
    }
    if (part.first > units - part.units) {
        part.first = units - part.units;
    }
    part.left = units - part.first - part.units;
    return part;
}
