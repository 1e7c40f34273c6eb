/* machine.h - what the host is, and how fast and hot it runs at the moment. */
#ifndef CLFCN_UTIL_MACHINE_H
#define CLFCN_UTIL_MACHINE_H

/* "" and 0 where the system does not tell. */
struct clfcn_machine {
    char host[81]; /* its name */
    char os[256];  /* "Linux 6.1.0-18-amd64 x86_64" */
    char cpu[128]; /* "AMD EPYC 7763 64-Core Processor" */
    int cpus;      /* that are online */
};
void clfcn_machine_get(struct clfcn_machine *out);

/* Where Linux's sysfs is: $CLFCN_SYSFS, else "/sys". */
const char *clfcn_sysfs_root(void);

/* From there. NaN where it does not tell, as in most virtual machines. */
struct clfcn_sensors {
    double mhz;     /* mean clock of the CPUs */
    double celsius; /* the hottest sensor */
};
void clfcn_sensors_read(struct clfcn_sensors *out);

#endif
