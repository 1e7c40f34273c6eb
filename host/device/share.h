/* share.h - the devices of one host shared out to the ranks that run on it. */
#ifndef CLFCN_DEVICE_SHARE_H
#define CLFCN_DEVICE_SHARE_H

#include "dev.h"

/* The ranks on this host, as one of them sees them. */
struct clfcn_seats {
    int rank, ranks; /* 0 <= rank < ranks */
    /* [ranks]: clfcn_cpus_hash() of each; ranks of one hash run on the same processors.
     * Borrowed; NULL: all do. */
    const uint64_t *cpus;
};

/* The devices that names gives each of the ranks. names is a list as "0,2" or "gpu,cpu",
 * whose entries name a device each, as clfcn_select() takes them: rank i takes the i-th,
 * and they begin anew where there are more ranks. Or it is one word, and the ranks take
 * what clfcn_select_all() gives in turn. A text with commas that is part of a device's
 * name is one word. Pure: touches no OpenCL.
 *
 * device [ranks] receives indices in list. CLFCN_EINVAL if an entry is empty;
 * CLFCN_ENODEV as clfcn_select(). (assign.c) */
int clfcn_assign(const struct clfcn_device_info *list, int count, const char *names,
                 int ranks, int *device, struct clfcn_err *err);

/* How many entries names has; 1 if it has a comma that is part of a device's name.
 * (assign.c) */
int clfcn_list_entries(const struct clfcn_device_info *list, int count,
                       const char *names);

/* The compute units and processors of one rank. */
struct clfcn_dev_part {
    int index, count;     /* which of how many ranks that have the same processors */
    int others;           /* ranks besides this one on the same device */
    unsigned units;       /* 0: the device is not to be split */
    unsigned first, left; /* units of the device before these, and behind them */
    bool crowded;         /* more ranks than processors: several have the same */
};

/* The part of its device that rank seats->rank gets. CPUs are split among the ranks that
 * drive one and run on the same processors, of which this process may use cpus; other
 * devices are not split. device [ranks]: from clfcn_assign(). Pure. (assign.c) */
struct clfcn_dev_part clfcn_dev_part_of(const struct clfcn_device_info *list,
                                        const int *device,
                                        const struct clfcn_seats *seats, int cpus);

/* Open the device of rank seats->rank, its part of a CPU: a sub-device where the driver
 * has them; and in any case the process is from now on kept to its part of the
 * processors, which clfcn_cpu_count() then counts, unless it is alone on them. One rank
 * that may use all processors gets the whole device. The description's compute units and
 * memory are the rank's. Warns where ranks share what cannot be split. Errors as
 * clfcn_dev_open(). */
int clfcn_dev_open_seat(const char *names, const struct clfcn_seats *seats,
                        struct clfcn_dev **out, struct clfcn_err *err);

#endif
