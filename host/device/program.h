/* program.h - kernels: described by data, compiled in parallel, cached as binaries,
 * launched.
 *
 * An op wants its kernels, the net builds them all at once, the op launches them:
 *
 *     clfcn_kernel_want(set, &op->pool_fwd, &clfcn_pool_fwd_desc, values, err);
 *     clfcn_programs_build(set, err);
 *     clfcn_launch(dev, &op->pool_fwd, 2, global, local, args, ARRAY_LEN(args), err);
 * */
#ifndef CLFCN_DEVICE_PROGRAM_H
#define CLFCN_DEVICE_PROGRAM_H

#include "../util/array.h"
#include "dev.h"

enum { CLFCN_MAX_PARAMS = 12, CLFCN_MAX_CHOICES = 8 };

/* Dimensions along which a launch may be cut into several (slice.h): a kernel that finds
 * its work by get_global_id(), or by GROUP_ID() of cl/slice.clh, computes the same. */
enum { CLFCN_CUT_X = 1, CLFCN_CUT_Y = 2, CLFCN_CUT_Z = 4 };

/* One -D parameter of a kernel. A name of NULL ends the list. */
struct clfcn_kernel_param {
    const char *name;
    int dflt;
    int choices[CLFCN_MAX_CHOICES]; /* what the tuner may try; zero-terminated */
};

/* What may vary is data, read by builder, launcher and tuner alike. */
struct clfcn_kernel_desc {
    const char *stem;  /* file in cl/, without .cl */
    const char *entry; /* kernel function */
    const char *options; /* build options besides the usual ones and the -D, or NULL */
    unsigned cut;        /* of CLFCN_CUT_*; 0: never */
    struct clfcn_kernel_param params[CLFCN_MAX_PARAMS];
    /* Whether the values suit the device; NULL: always. */
    bool (*legal)(const int *values, const struct clfcn_device_info *info);
};

/* A kernel of one op: its own cl_kernel, so that arguments set by one op survive
 * another's. */
struct clfcn_kernel {
    const struct clfcn_kernel_desc *desc;
    int values[CLFCN_MAX_PARAMS];
    cl_kernel handle; /* NULL until built */
};

/* The kernel sources embedded in the binary (generated from cl/ at build time by
 * embed.py). */
struct clfcn_embedded_source {
    const char *stem;
    const char *text;
};
extern const struct clfcn_embedded_source clfcn_embedded_sources[];
extern const int clfcn_embedded_source_count;

/* What every program is compiled with, before its own -D. */
extern const char clfcn_program_options[];

/* Programs being collected, then built. Opaque. Programs of equal file and -D are
 * shared. */
struct clfcn_programs;

int clfcn_programs_create(struct clfcn_dev *dev, struct clfcn_programs **out,
                          struct clfcn_err *err);
/* Releases the programs, and every kernel that was wanted from them. Before that it keeps
 * what was compiled in the cache: some runtimes compile once more for that, which shall
 * not delay the work. */
void clfcn_programs_destroy(struct clfcn_programs **set);

/* Ask for a kernel; values may be NULL for the defaults. kernel must stay where it is
 * until the set is destroyed. CLFCN_EINVAL if desc->legal refuses the values. */
int clfcn_kernel_want(struct clfcn_programs *set, struct clfcn_kernel *kernel,
                      const struct clfcn_kernel_desc *desc, const int *values,
                      struct clfcn_err *err);

/* Different kernels wanted so far: of another entry, file or -D. */
int clfcn_programs_kernel_count(const struct clfcn_programs *set);
/* Take back what was wanted since the last build. */
void clfcn_programs_forget(struct clfcn_programs *set);

/* Compile what was wanted since the last call, in parallel, or load it from the cache;
 * create the kernels. CLFCN_ECL with the file's name; the device's build log goes to
 * clfcn_log() as an error line by line. A damaged or foreign cache file is ignored and
 * replaced. */
int clfcn_programs_build(struct clfcn_programs *set, struct clfcn_err *err);

struct clfcn_programs_stats {
    int compiled, cached; /* programs */
    double seconds;
};
struct clfcn_programs_stats clfcn_programs_get_stats(const struct clfcn_programs *set);

/* A kernel argument. */
struct clfcn_arg {
    size_t size;
    const void *ptr; /* NULL: local memory of that size */
    bool counts;     /* an integer: launches that differ in it may differ in time */
};
#define CLFCN_COUNTS(x) _Generic((x), float : false, cl_mem : false, default : true)
/* clang-format off */
#define CLFCN_ARG(x) { sizeof(x), &(x), CLFCN_COUNTS(x) }
#define CLFCN_ARG_LOCAL(bytes) { (bytes), NULL, false }
/* clang-format on */

/* Enqueue on the compute queue. global is rounded up to a multiple of local. local
 * NULL: the runtime's choice. Does nothing if a global size is 0. Where kernels are
 * limited in time, several commands take its place (slice.h). CLFCN_ECL naming the
 * kernel. */
int clfcn_launch(struct clfcn_dev *dev, const struct clfcn_kernel *kernel, int dims,
                 const size_t *global, const size_t *local, const struct clfcn_arg *args,
                 int arg_count, struct clfcn_err *err);

#endif
