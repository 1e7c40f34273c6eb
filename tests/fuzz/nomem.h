/* nomem.h - memory that runs out in the middle of an input. */
#ifndef CLFCN_TESTS_FUZZ_NOMEM_H
#define CLFCN_TESTS_FUZZ_NOMEM_H

#include <stdbool.h>
#include <stddef.h>

/* False where another allocator than that of glibc or AddressSanitizer is in use. */
extern const bool fuzz_memory_can_end;

/* From now on refuse the request for memory of number at, counted from 1 (0: none), and
 * with from_there_on all that follow. */
void fuzz_memory_begin(size_t at, bool from_there_on);
/* Give whatever is asked for again. Returns how many requests there were. */
size_t fuzz_memory_end(void);

/* Whether one has been refused since fuzz_memory_begin(). */
bool fuzz_memory_refused(void);

/* Neither count nor refuse while held: for what a target itself needs. Returns what was
 * before. */
bool fuzz_memory_hold(bool hold);

#endif
