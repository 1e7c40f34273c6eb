/* env.c - the environment of this process, and of those it starts. */
#include "env.h"
#include "hash.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern char **environ; /* POSIX: declared by no header */

static bool has_prefix(const char *variable, const char *const *prefixes)
{
    for (; *prefixes; ++prefixes) {
        if (strncmp(variable, *prefixes, strlen(*prefixes)) == 0) {
            return true;
        }
    }
    return false;
}

uint64_t clfcn_env_hash(const char *const *prefixes)
{
    uint64_t sum = 0; /* does not care for the order */
    for (char **variable = environ; variable && *variable; ++variable) {
        if (has_prefix(*variable, prefixes)) {
            sum += clfcn_hash_str(CLFCN_HASH_INIT, *variable);
        }
    }
    return sum;
}

/* Whether change sets or removes variable, "NAME=VALUE". */
static bool concerns(const char *change, const char *variable)
{
    const size_t name = strcspn(change, "=");
    return strncmp(change, variable, name) == 0 && variable[name] == '=';
}

char **clfcn_env_changed(const char *const *changes)
{
    size_t count = 1, n = 0;
    for (char **variable = environ; variable && *variable; ++variable) {
        ++count;
    }
    for (const char *const *change = changes; *change; ++change) {
        ++count;
    }
    char **changed = calloc(count, sizeof(*changed));
    if (!changed) {
        return NULL;
    }
    for (char **variable = environ; variable && *variable; ++variable) {
        const char *const *change = changes;
        while (*change && !concerns(*change, *variable)) {
            ++change;
        }
        if (!*change) {
            changed[n++] = *variable;
        }
    }
    for (const char *const *change = changes; *change; ++change) {
        if (strchr(*change, '=')) {
            changed[n++] = (char *)*change;
        }
    }
    return changed;
}
