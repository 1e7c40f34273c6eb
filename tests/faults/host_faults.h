/* host_faults.h - shared between the files of the library that lets host calls fail. */
#ifndef CLFCN_TESTS_HOST_FAULTS_H
#define CLFCN_TESTS_HOST_FAULTS_H

/* The functions of the C library are defined under both of their names. */
#undef _FILE_OFFSET_BITS
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* What a call of a file does: a full disk stops some calls, a read-only one more. */
enum effect { READS, CHANGES, TAKES_ROOM };
enum { SHORT = -1 };

/* The errno with which a call is to fail without having been made; 0: make it. */
int memory_fault(const char *name, const void *caller);
/* The same, or SHORT: do only a part of it. What it is about is path or, where that is
 * NULL, the descriptor fd, if not negative. caller NULL: certainly the program's. */
int file_fault(const char *name, const void *caller, enum effect effect, const char *path,
               int fd);

/* Whether an address lies in the program or in a library of which calls count. */
bool is_of_program(const void *address);

#define CALLER __builtin_return_address(0)

/* Whether a call is to fail; errno is set then. */
#define MEMORY_FAILS(name) \
    ((errno_of = memory_fault(name, CALLER)) != 0 && (errno = errno_of))
#define FILE_FAILS(name, effect, path, fd) \
    ((errno_of = file_fault(name, CALLER, effect, path, fd)) > 0 && (errno = errno_of))

/* The C library's own function of that name and type. */
#define REAL(name)                                         \
    static __typeof__(&name) real;                         \
    if (!real) {                                           \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
    }

#endif
