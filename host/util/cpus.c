/* cpus.c - the processors that this process runs on. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "cpus.h"
#include "hash.h"
#include "machine.h"
#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

/* A processor, and the first one of the core that it belongs to. */
struct cpu {
    int number, core;
};

/* The calling thread's processors: an array to be freed; NULL if they cannot be told. */
static struct cpu *own_cpus(int *count)
{
    /* The kernel's mask may be wider than cpu_set_t's 1024 processors. */
    for (size_t max = CPU_SETSIZE; max <= (size_t)64 * CPU_SETSIZE; max *= 4) {
        cpu_set_t *set = CPU_ALLOC(max);
        const size_t size = CPU_ALLOC_SIZE(max);
        if (!set) {
            return NULL;
        }
        if (sched_getaffinity(0, size, set) != 0) {
            CPU_FREE(set);
            continue;
        }
        struct cpu *cpus = calloc((size_t)CPU_COUNT_S(size, set) + 1, sizeof(*cpus));
        *count = 0;
        for (size_t i = 0; cpus && i < max; ++i) {
            if (CPU_ISSET_S(i, size, set)) {
                cpus[(*count)++] = (struct cpu){ (int)i, (int)i };
            }
        }
        CPU_FREE(set);
        return cpus;
    }
    return NULL;
}

/* The lowest of a core's hardware threads; the processor itself if that is not told. */
static int core_of(int cpu)
{
    char path[512];
    int first;
    snprintf(path, sizeof(path),
             "%s/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             clfcn_sysfs_root(), cpu);
    FILE *f = fopen(path, "r");
    if (!f) {
        return cpu;
    }
    const bool told = fscanf(f, "%9d", &first) == 1;
    fclose(f);
    return told ? first : cpu;
}

static int by_core(const void *a, const void *b)
{
    const struct cpu *x = a, *y = b;
    return x->core != y->core ? x->core - y->core : x->number - y->number;
}

uint64_t clfcn_cpus_hash(void)
{
    int count = 0;
    struct cpu *cpus = own_cpus(&count);
    uint64_t h = CLFCN_HASH_INIT;
    for (int i = 0; cpus && i < count; ++i) {
        h = clfcn_hash(h, &cpus[i].number, sizeof(cpus[i].number));
    }
    free(cpus);
    return h;
}

/* Let every thread of the process run on these only. A thread that ends meanwhile is no
 * failure. */
static bool confine_threads(size_t size, const cpu_set_t *set)
{
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks || sched_setaffinity(0, size, set) != 0) {
        if (tasks) {
            closedir(tasks);
        }
        return false;
    }
    for (struct dirent *entry; (entry = readdir(tasks));) {
        const int thread = atoi(entry->d_name);
        if (thread > 0) {
            sched_setaffinity((pid_t)thread, size, set);
        }
    }
    closedir(tasks);
    return true;
}

int clfcn_cpus_confine(int index, int count)
{
    int total = 0, kept = 0;
    struct cpu *cpus = own_cpus(&total);
    if (!cpus || total < count) {
        free(cpus);
        return 0;
    }
    for (int i = 0; i < total; ++i) {
        cpus[i].core = core_of(cpus[i].number);
    }
    const size_t max = (size_t)cpus[total - 1].number + 1, size = CPU_ALLOC_SIZE(max);
    cpu_set_t *set = CPU_ALLOC(max);
    qsort(cpus, (size_t)total, sizeof(*cpus), by_core);
    if (set) {
        CPU_ZERO_S(size, set);
        const int first = (int)((long)total * index / count);
        const int end = (int)((long)total * (index + 1) / count);
        for (int i = first; i < end; ++i) {
            CPU_SET_S((size_t)cpus[i].number, size, set);
        }
        kept = confine_threads(size, set) ? end - first : 0;
        CPU_FREE(set);
    }
    free(cpus);
    return kept;
}
