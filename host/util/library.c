/* library.c - shared libraries loaded by name. */
#define _GNU_SOURCE /* RTLD_NOLOAD, dlinfo */
#include "library.h"
#include <dlfcn.h>
#include <link.h>

bool clfcn_library_is_loaded(const char *name)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (library) {
        dlclose(library); /* counts down only */
    }
    return library != NULL;
}

void *clfcn_library_open(const char *name, struct clfcn_err *err)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        clfcn_err_set(err, CLFCN_EIO, 0, "%s", reason ? reason : "unknown reason");
    }
    return library;
}

void *clfcn_library_symbol(void *library, const char *name)
{
    return dlsym(library, name);
}

const char *clfcn_library_path(void *library)
{
    struct link_map *map = NULL;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map || !map->l_name[0]) {
        return NULL;
    }
    return map->l_name;
}
