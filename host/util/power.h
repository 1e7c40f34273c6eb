/* power.h - where the machine's power comes from. */
#ifndef CLFCN_UTIL_POWER_H
#define CLFCN_UTIL_POWER_H

enum clfcn_power {
    CLFCN_POWER_UNKNOWN, /* the system shows neither battery nor mains */
    CLFCN_POWER_MAINS,
    CLFCN_POWER_BATTERY
};

/* From Linux's sysfs (machine.h). Batteries of mice and the like do not count. */
enum clfcn_power clfcn_power_read(void);

#endif
