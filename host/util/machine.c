#include "machine.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void read_cpu_model(char *model, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    while (f && fgets(line, sizeof(line), f)) {
        const char *value = strchr(line, ':');
        if (value && strncmp(line, "model name", strlen("model name")) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(model, n, "%s", value + 1 + strspn(value + 1, " \t"));
            break;
        }
    }
    if (f) {
        fclose(f);
    }
}

void clfcn_machine_get(struct clfcn_machine *out)
{
    struct utsname name;
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (struct clfcn_machine){ .cpus = cpus > 0 ? (int)cpus : 0 };
    if (uname(&name) == 0) {
        snprintf(out->host, sizeof(out->host), "%.80s", name.nodename);
        snprintf(out->os, sizeof(out->os), "%.80s %.80s %.80s", name.sysname,
                 name.release, name.machine);
    }
    read_cpu_model(out->cpu, sizeof(out->cpu));
}

/* The numbers in the files that match a pattern below sysfs. */
struct readings {
    double sum, highest;
    int count;
};

static void read_one(const char *path, struct readings *r)
{
    FILE *f = fopen(path, "r");
    double v;
    if (f && fscanf(f, "%lf", &v) == 1 && v > 0) {
        r->sum += v;
        r->highest = v > r->highest ? v : r->highest;
        ++r->count;
    }
    if (f) {
        fclose(f);
    }
}

const char *clfcn_sysfs_root(void)
{
    const char *root = getenv("CLFCN_SYSFS");
    return root && *root ? root : "/sys";
}

static void read_all(const char *files, struct readings *r)
{
    char pattern[4096];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/%s", clfcn_sysfs_root(), files);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; ++i) {
            read_one(found.gl_pathv[i], r);
        }
        globfree(&found);
    }
}

void clfcn_sensors_read(struct clfcn_sensors *out)
{
    struct readings clock = { 0 }, heat = { 0 };
    read_all("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq", &clock);
    read_all("class/thermal/thermal_zone*/temp", &heat);
    read_all("class/hwmon/hwmon*/temp*_input", &heat);
    out->mhz = clock.count > 0 ? clock.sum / clock.count / 1e3 : NAN;
    out->celsius = heat.count > 0 ? heat.highest / 1e3 : NAN;
}
