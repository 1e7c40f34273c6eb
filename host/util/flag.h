/* flag.h - a bool that a signal handler or another thread changes. Its type is that of
 * the public interface, which C++ programs include too: they have no atomic_bool. */
#ifndef CLFCN_UTIL_FLAG_H
#define CLFCN_UTIL_FLAG_H

#include <stdbool.h>
#include <stddef.h>

/* flag may be NULL: false. */
static inline bool clfcn_flag_is_set(const volatile bool *flag)
{
    return flag != NULL && __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline void clfcn_flag_set(volatile bool *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

#endif
