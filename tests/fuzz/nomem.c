/* nomem.c - memory that runs out in the middle of an input: the allocator of the whole
 * process, of libraries as well, refuses the n-th request. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "nomem.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer has a thread of its own. */
static _Thread_local bool armed;
static bool refused, lasting;
static size_t calls, refuse_at;

void fuzz_memory_begin(size_t at, bool from_there_on)
{
    armed = true;
    refused = false;
    lasting = from_there_on;
    calls = 0;
    refuse_at = at;
}

size_t fuzz_memory_end(void)
{
    armed = false;
    return calls;
}

bool fuzz_memory_refused(void)
{
    return refused;
}

bool fuzz_memory_hold(bool hold)
{
    static bool held;
    const bool was = held;
    if (hold && !held) {
        held = armed;
        armed = false;
    } else if (!hold && held) {
        held = false;
        armed = true;
    }
    return was;
}

#if defined(__has_feature)
#define HAS(feature) __has_feature(feature)
#else
#define HAS(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || HAS(address_sanitizer)
#define REAL(name) __interceptor_##name
#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__) && !HAS(thread_sanitizer) && \
    !HAS(memory_sanitizer)
#define REAL(name) __libc_##name
#endif

#ifdef REAL

const bool fuzz_memory_can_end = true;

/* libzip forgets a little of its own when an entry cannot be opened. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return getenv("CLFCN_FUZZ_NOMEM") ? "leak:libzip" : "";
}

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t count, size_t n);
void *REAL(realloc)(void *p, size_t n);

static bool refuse(void)
{
    if (!armed) {
        return false;
    }
    ++calls;
    if (calls != refuse_at && !(lasting && calls > refuse_at && refuse_at > 0)) {
        return false;
    }
    refused = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return refuse() ? NULL : REAL(malloc)(n);
}

void *calloc(size_t count, size_t n)
{
    return refuse() ? NULL : REAL(calloc)(count, n);
}

void *realloc(void *p, size_t n)
{
    return refuse() ? NULL : REAL(realloc)(p, n);
}

/* AddressSanitizer's own would not come by malloc(). */
char *strndup(const char *s, size_t most)
{
    const size_t n = strnlen(s, most);
    char *copy = malloc(n + 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

char *strdup(const char *s)
{
    return strndup(s, strlen(s));
}

/* Jansson's reader does not look whether a long token could be kept, and stops at an
 * assertion, or worse: it is refused as a whole. */
typedef void *load_fn(const char *text, size_t n, size_t flags, void *error);
load_fn json_loadb;
void *json_loads(const char *text, size_t flags, void *error);

void *json_loadb(const char *text, size_t n, size_t flags, void *error)
{
    static load_fn *real;
    const bool refuses = refuse(), held = fuzz_memory_hold(true);
    if (!real) {
        *(void **)&real = dlsym(RTLD_NEXT, "json_loadb");
    }
    void *json = real(text, refuses ? 0 : n, flags, error);
    fuzz_memory_hold(held);
    return json;
}

void *json_loads(const char *text, size_t flags, void *error)
{
    return json_loadb(text, strlen(text), flags, error);
}

#else

const bool fuzz_memory_can_end = false;

#endif
