/* cpus.h - the processors that this process runs on. */
#ifndef CLFCN_UTIL_CPUS_H
#define CLFCN_UTIL_CPUS_H

#include <stdint.h>

/* Of the set of processors that the calling thread may use: equal for equal sets. */
uint64_t clfcn_cpus_hash(void);

/* Keep all threads of the process, and those that they will start, to part index of count
 * equal parts of the processors that the calling thread may use: whole cores where they
 * have several hardware threads and there are enough. Returns how many these are; 0 if
 * there are fewer than count, or the system refuses, and then nothing has changed. */
int clfcn_cpus_confine(int index, int count);

#endif
