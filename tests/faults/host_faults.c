/* host_faults.c - a library (LD_PRELOAD) that makes one allocation or file call fail.
 *
 * Only calls of the program and of the small libraries that it works with count: an
 * OpenCL driver, its compiler, the C and C++ libraries may crash by themselves where
 * memory ends. A site is a function that is called, and from where: the return addresses
 * within those.
 *
 * CLFCN_HOST_FAIL="FUNCTION SITE N CODE": the N-th call (from 1) of a function at a site,
 * as a report names it, or "any", does nothing and fails with CODE: the name of an errno,
 * or "short" for a read() or write() that does only a part. CODE+: so do all later calls
 * that would: all allocations for ENOMEM, what takes room for ENOSPC, what changes
 * anything for EROFS, all calls of files for others.
 *
 * CLFCN_HOST_REPORT=FILE: it is written when the process ends, a line each: "site KIND
 * FUNCTION SITE COUNT", KIND being memory or files, "failed FUNCTION PATH" (without a
 * path for allocations) for the first that did, and "at ADDRESS" for each caller of that,
 * innermost first, as an offset into the program.
 *
 * Processes that it starts are left alone. */
#include "host_faults.h"

#include <execinfo.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANGES = 32, SITES = 1 << 15, FRAMES = 32, DEPTH = 3, NAME = 32 };

static const char *const libraries[] = { "libjansson.",    "libpng",
                                         "libjpeg.",       "libzip.",
                                         "libmicrohttpd.", "libprotobuf-c.",
                                         "libz." };

static const struct {
    const char *name;
    int value;
} codes[] = { { "ENOMEM", ENOMEM }, { "EAGAIN", EAGAIN }, { "ENOSPC", ENOSPC },
              { "EIO", EIO },       { "EINTR", EINTR },   { "EROFS", EROFS },
              { "EACCES", EACCES }, { "EMFILE", EMFILE }, { "short", SHORT } };

static struct {
    uintptr_t begin, end, base;
} ranges[RANGES];
static int range_count;

static struct site {
    uint64_t id;
    const char *kind, *function;
    unsigned long calls;
} sites[SITES]; /* by hash */

static struct {
    char function[NAME];
    uint64_t site; /* 0: any */
    unsigned long call;
    int code;
    bool lasting;
} wanted;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool on, has_failed;
static unsigned long any_calls;
static const char *failed;
static char failed_path[PATH_MAX];
static uintptr_t failed_at[FRAMES];

/* --- who calls --- */

static bool is_counted(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); ++i) {
        if (strncmp(base, libraries[i], strlen(libraries[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The program itself is the first, whose name is empty. */
static int note_ranges(struct dl_phdr_info *info, size_t size, void *user)
{
    bool *first = user;
    const bool counted = *first || is_counted(info->dlpi_name);
    *first = false;
    for (int i = 0; counted && i < info->dlpi_phnum && range_count < RANGES; ++i) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            const uintptr_t begin = info->dlpi_addr + p->p_vaddr;
            ranges[range_count].begin = begin;
            ranges[range_count].end = begin + p->p_memsz;
            ranges[range_count++].base = info->dlpi_addr;
        }
    }
    return 0;
}

/* -1: none that counts; 0: the program. */
static int range_of(const void *address)
{
    for (int i = 0; i < range_count; ++i) {
        if ((uintptr_t)address >= ranges[i].begin && (uintptr_t)address < ranges[i].end) {
            return i;
        }
    }
    return -1;
}

static uint64_t mix(uint64_t hash, uint64_t x)
{
    return (hash ^ x) * UINT64_C(0x9e3779b97f4a7c15) ^ hash >> 29;
}

/* Where in the program a function is called, and by what path: the innermost return
 * address that counts, and the innermost DEPTH of the program itself. at receives up to
 * FRAMES offsets into the program, then 0. */
static uint64_t site_of(const char *name, uintptr_t *at)
{
    void *frames[FRAMES];
    const int n = backtrace(frames, FRAMES);
    uint64_t hash = 1;
    int own = 0;
    bool innermost = true;
    for (const char *c = name; *c; ++c) {
        hash = mix(hash, (unsigned char)*c);
    }
    for (int i = 0; i < n; ++i) {
        const int r = range_of(frames[i]);
        const uintptr_t offset = r >= 0 ? (uintptr_t)frames[i] - ranges[r].base : 0;
        if (r >= 0 && (innermost || (r == 0 && own < DEPTH))) {
            hash = mix(hash, offset + (uintptr_t)r);
            innermost = false;
        }
        if (r == 0 && own < FRAMES - 1) {
            at[own++] = offset;
        }
    }
    at[own] = 0;
    return hash ? hash : 1;
}

/* --- which call --- */

/* Counts a call. Locked. */
static struct site *count(const char *kind, const char *name, uint64_t id)
{
    size_t i = id % SITES;
    while (sites[i].id != 0 && sites[i].id != id) {
        i = (i + 1) % SITES;
    }
    sites[i].id = id;
    sites[i].kind = kind;
    sites[i].function = name;
    ++sites[i].calls;
    return &sites[i];
}

/* Whether this call is the one that is wanted. Locked. */
static bool is_wanted(const char *name, const struct site *site)
{
    if (has_failed || strcmp(name, wanted.function) != 0) {
        return false;
    }
    return wanted.site == 0 ? ++any_calls == wanted.call
                            : site->id == wanted.site && site->calls == wanted.call;
}

/* Whether it fails because one before did. Locked. */
static bool is_later(bool memory, enum effect effect)
{
    if (!has_failed || !wanted.lasting || memory != (wanted.code == ENOMEM)) {
        return false;
    }
    return memory || effect >= (wanted.code == ENOSPC  ? TAKES_ROOM
                                : wanted.code == EROFS ? CHANGES
                                                       : READS);
}

static void note_failed(const char *name, const char *path, int fd, const uintptr_t *at)
{
    char link[64];
    has_failed = true;
    failed = name;
    memcpy(failed_at, at, sizeof(failed_at));
    if (path) {
        snprintf(failed_path, sizeof(failed_path), "%s", path);
    } else if (fd >= 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        REAL(readlink);
        const ssize_t n = real(link, failed_path, sizeof(failed_path) - 1);
        failed_path[n > 0 ? n : 0] = '\0';
    }
}

bool is_of_program(const void *address)
{
    return range_of(address) >= 0;
}

static int fault(bool memory, const char *name, const void *caller, enum effect effect,
                 const char *path, int fd)
{
    if (!on || (caller && !is_of_program(caller))) {
        return 0;
    }
    const int before = errno;
    uintptr_t at[FRAMES];
    const uint64_t id = site_of(name, at);
    pthread_mutex_lock(&mutex);
    const struct site *site = count(memory ? "memory" : "files", name, id);
    bool fails = is_later(memory, effect);
    if (is_wanted(name, site)) {
        note_failed(name, path, fd, at);
        fails = true;
    }
    pthread_mutex_unlock(&mutex);
    errno = before;
    return fails ? wanted.code : 0;
}

int memory_fault(const char *name, const void *caller)
{
    return fault(true, name, caller, READS, NULL, -1);
}

int file_fault(const char *name, const void *caller, enum effect effect, const char *path,
               int fd)
{
    return fault(false, name, caller, effect, path, fd);
}

/* --- the library --- */

static void report(void)
{
    const char *path = getenv("CLFCN_HOST_REPORT");
    on = false;
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) {
        return;
    }
    for (int i = 0; i < SITES; ++i) {
        if (sites[i].id != 0) {
            fprintf(file, "site %s %s %016llx %lu\n", sites[i].kind, sites[i].function,
                    (unsigned long long)sites[i].id, sites[i].calls);
        }
    }
    if (failed) {
        fprintf(file, "failed %s %s\n", failed, failed_path);
    }
    for (int i = 0; failed && failed_at[i] != 0; ++i) {
        fprintf(file, "at %#llx\n", (unsigned long long)failed_at[i]);
    }
    fclose(file);
}

static void read_settings(void)
{
    const char *text = getenv("CLFCN_HOST_FAIL");
    char site[32], code[16];
    if (!text) {
        return;
    }
    if (sscanf(text, "%31s %31s %lu %15s", wanted.function, site, &wanted.call, code) !=
        4) {
        fprintf(stderr, "host_faults: CLFCN_HOST_FAIL='%s'?\n", text);
        abort();
    }
    wanted.site = strcmp(site, "any") == 0 ? 0 : strtoull(site, NULL, 16);
    char *plus = strchr(code, '+');
    wanted.lasting = plus != NULL;
    if (plus) {
        *plus = '\0';
    }
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); ++i) {
        if (strcmp(code, codes[i].name) == 0) {
            wanted.code = codes[i].value;
        }
    }
    if (wanted.code == 0) {
        fprintf(stderr, "host_faults: no code '%s'\n", code);
        abort();
    }
}

static void leave_alone(void)
{
    on = false;
}

__attribute__((constructor)) static void start(void)
{
    void *frames[1];
    bool first = true;
    backtrace(frames, 1); /* loads what it needs */
    unsetenv("LD_PRELOAD");
    dl_iterate_phdr(note_ranges, &first);
    read_settings();
    pthread_atfork(NULL, NULL, leave_alone);
    atexit(report);
    on = true;
}
