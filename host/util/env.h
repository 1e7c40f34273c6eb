/* env.h - the environment of this process, and of those it starts. */
#ifndef CLFCN_UTIL_ENV_H
#define CLFCN_UTIL_ENV_H

#include <stdint.h>

/* A hash of the variables whose names start with one of the prefixes (NULL-terminated),
 * whatever their order. */
uint64_t clfcn_env_hash(const char *const *prefixes);

/* The environment with changes, a NULL-terminated list: "NAME=VALUE" sets, "NAME"
 * removes. An array of borrowed strings, to be freed with free(); NULL without memory. */
char **clfcn_env_changed(const char *const *changes);

#endif
