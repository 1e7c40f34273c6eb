/* program.c - kernels: collected, compiled or loaded from the cache, launched. */
#include "program.h"
#include "../util/hash.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "../util/sys.h"
#include "../util/thread.h"
#include "../util/trace.h"
#include "cache.h"
#include "prof.h"
#include "slice.h"
#include <stdlib.h>
#include <string.h>

/* Infinity and NaN keep their meaning, so that a loss that diverges shows: no
 * fast-relaxed-math but where a kernel asks for it. */
const char clfcn_program_options[] = "-cl-std=CL1.2 -cl-mad-enable -cl-no-signed-zeros";

struct program {
    const char *stem, *source; /* borrowed from the embedded table */
    char *options;
    cl_program handle; /* NULL until built */
    char *key;         /* in the cache; NULL until built, or if memory was short */
    bool from_cache;
    /* Of the latest build, written by one thread and read after it. */
    char *log;
    int rc;
    struct clfcn_err err;
};

struct wanted {
    struct clfcn_kernel *kernel;
    int program; /* index: the array of programs moves as it grows */
};

struct clfcn_programs {
    struct clfcn_dev *dev;
    struct program *programs;
    struct wanted *wanted;
    int program_count, wanted_count;
    struct clfcn_programs_stats stats;
};

int clfcn_programs_create(struct clfcn_dev *dev, struct clfcn_programs **out,
                          struct clfcn_err *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out) {
        return clfcn_err_nomem(err);
    }
    (*out)->dev = dev;
    return CLFCN_OK;
}

static void release_kernel(struct clfcn_dev *dev, struct clfcn_kernel *kernel)
{
    if (kernel->handle) {
        clReleaseKernel(kernel->handle);
        kernel->handle = NULL;
        atomic_fetch_sub(&dev->live_objects, 1);
    }
}

static void release_program(struct clfcn_dev *dev, struct program *program)
{
    if (program->handle) {
        clReleaseProgram(program->handle);
        program->handle = NULL;
        atomic_fetch_sub(&dev->live_objects, 1);
    }
}

/* Some runtimes give no binaries: then there is nothing to keep. */
static void keep_binary(void *arg, int i)
{
    const struct program *program = (const struct program *)arg + i;
    size_t size = 0;
    if (!program->handle || !program->key || program->from_cache ||
        clGetProgramInfo(program->handle, CL_PROGRAM_BINARY_SIZES, sizeof(size), &size,
                         NULL) != CL_SUCCESS ||
        size == 0) {
        return;
    }
    unsigned char *binary = malloc(size);
    if (binary && clGetProgramInfo(program->handle, CL_PROGRAM_BINARIES, sizeof(binary),
                                   &binary, NULL) == CL_SUCCESS) {
        clfcn_cache_store(program->key, binary, size);
    }
    free(binary);
}

/* OpenCL lets programs be built by several threads; Oclgrind 21.10 crashes when they are.
 */
static int build_threads(const struct clfcn_dev *dev)
{
    return strstr(dev->info.platform, "Oclgrind") ? 1 : clfcn_cpu_count();
}

static void free_texts(struct program *program)
{
    free(program->options);
    free(program->key);
    free(program->log);
}

void clfcn_programs_destroy(struct clfcn_programs **set)
{
    struct clfcn_programs *s = *set;
    if (!s) {
        return;
    }
    *set = NULL;
    const bool hurries = clfcn_flag_is_set(clfcn_interrupt_flag());
    if (!hurries) {
        clfcn_parallel_for(s->program_count, build_threads(s->dev), keep_binary,
                           s->programs);
    }
    for (int i = 0; i < s->wanted_count; ++i) {
        release_kernel(s->dev, s->wanted[i].kernel);
    }
    for (int i = 0; i < s->program_count; ++i) {
        release_program(s->dev, &s->programs[i]);
        free_texts(&s->programs[i]);
    }
    free(s->programs);
    free(s->wanted);
    free(s);
}

static const char *find_source(const char *stem)
{
    for (int i = 0; i < clfcn_embedded_source_count; ++i) {
        if (strcmp(clfcn_embedded_sources[i].stem, stem) == 0) {
            return clfcn_embedded_sources[i].text;
        }
    }
    return NULL;
}

/* " -DWGS=64 -DVW=4": the values of a kernel's parameters. */
static void add_defines(struct clfcn_strbuf *sb, const struct clfcn_kernel_desc *desc,
                        const int *values)
{
    for (int i = 0; i < CLFCN_MAX_PARAMS && desc->params[i].name; ++i) {
        clfcn_strbuf_add(sb, " -D%s=%d", desc->params[i].name, values[i]);
    }
}

static int check_values(const struct clfcn_dev *dev, const struct clfcn_kernel *kernel,
                        struct clfcn_err *err)
{
    const struct clfcn_kernel_desc *desc = kernel->desc;
    if (!desc->legal || desc->legal(kernel->values, &dev->info)) {
        return CLFCN_OK;
    }
    struct clfcn_strbuf defines = { 0 };
    add_defines(&defines, desc, kernel->values);
    const int rc =
        clfcn_err_set(err, CLFCN_EINVAL, 0, "kernel '%s' cannot have%s on '%s'",
                      desc->entry, defines.str ? defines.str : "", dev->info.name);
    clfcn_strbuf_free(&defines);
    return rc;
}

/* The index of the program of this file and these options, added if it is new; takes
 * options. */
static int find_or_add_program(struct clfcn_programs *set, const char *stem,
                               char *options, int *index, struct clfcn_err *err)
{
    for (int i = 0; i < set->program_count; ++i) {
        const struct program *program = &set->programs[i];
        if (strcmp(program->stem, stem) == 0 && strcmp(program->options, options) == 0) {
            free(options);
            *index = i;
            return CLFCN_OK;
        }
    }
    const char *source = find_source(stem);
    if (!source) {
        free(options);
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "cl/%s.cl is not part of this build",
                             stem);
    }
    struct program *grown =
        realloc(set->programs, ((size_t)set->program_count + 1) * sizeof(*grown));
    if (!grown) {
        free(options);
        return clfcn_err_nomem(err);
    }
    set->programs = grown;
    *index = set->program_count++;
    grown[*index] =
        (struct program){ .stem = stem, .source = source, .options = options };
    return CLFCN_OK;
}

int clfcn_kernel_want(struct clfcn_programs *set, struct clfcn_kernel *kernel,
                      const struct clfcn_kernel_desc *desc, const int *values,
                      struct clfcn_err *err)
{
    *kernel = (struct clfcn_kernel){ .desc = desc };
    for (int i = 0; i < CLFCN_MAX_PARAMS && desc->params[i].name; ++i) {
        kernel->values[i] = values ? values[i] : desc->params[i].dflt;
    }
    int rc = check_values(set->dev, kernel, err);
    if (rc < 0) {
        return rc;
    }
    struct clfcn_strbuf options = { 0 };
    clfcn_strbuf_add(&options, "%s", clfcn_program_options);
    if (desc->options) {
        clfcn_strbuf_add(&options, " %s", desc->options);
    }
    add_defines(&options, desc, kernel->values);
    if (options.failed) {
        clfcn_strbuf_free(&options);
        return clfcn_err_nomem(err);
    }
    int program = -1;
    rc = find_or_add_program(set, desc->stem, options.str, &program, err);
    CLFCN_CHECK(rc, out, err, "kernel '%s'", desc->entry);
    struct wanted *grown =
        realloc(set->wanted, ((size_t)set->wanted_count + 1) * sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    set->wanted = grown;
    grown[set->wanted_count++] = (struct wanted){ kernel, program };
out:
    return rc;
}

/* Whether one of the first count kernels wanted is the same as that of w. */
static bool wanted_before(const struct clfcn_programs *set, int count,
                          const struct wanted *w)
{
    for (int i = 0; i < count; ++i) {
        const struct wanted *other = &set->wanted[i];
        if (other->program == w->program &&
            strcmp(other->kernel->desc->entry, w->kernel->desc->entry) == 0) {
            return true;
        }
    }
    return false;
}

int clfcn_programs_kernel_count(const struct clfcn_programs *set)
{
    int count = 0;
    for (int i = 0; i < set->wanted_count; ++i) {
        count += !wanted_before(set, i, &set->wanted[i]);
    }
    return count;
}

void clfcn_programs_forget(struct clfcn_programs *set)
{
    while (set->wanted_count > 0 && !set->wanted[set->wanted_count - 1].kernel->handle) {
        --set->wanted_count;
    }
    while (set->program_count > 0 && !set->programs[set->program_count - 1].handle) {
        free_texts(&set->programs[--set->program_count]);
    }
}

/* Keep what the compiler said, for the thread that reports. */
static void fetch_log(const struct clfcn_dev *dev, struct program *program)
{
    size_t size = 0;
    clGetProgramBuildInfo(program->handle, dev->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *text = calloc(1, size + 1);
    if (text && size > 0 &&
        clGetProgramBuildInfo(program->handle, dev->id, CL_PROGRAM_BUILD_LOG, size, text,
                              NULL) != CL_SUCCESS) {
        text[0] = '\0';
    }
    free(program->log);
    program->log = text;
}

static void print_log(const struct program *program, enum clfcn_log_level level)
{
    const char *line = program->log;
    while (line && *line) {
        const int len = (int)strcspn(line, "\r\n");
        if (len > 0) {
            clfcn_log(level, "cl/%s.cl: %.*s", program->stem, len, line);
        }
        line += len;
        line += *line != '\0';
    }
}

/* Create the kernels of one program that do not exist yet. */
static int create_kernels(struct clfcn_programs *set, int index, struct clfcn_err *err)
{
    const struct program *program = &set->programs[index];
    for (int i = 0; i < set->wanted_count; ++i) {
        struct clfcn_kernel *kernel = set->wanted[i].kernel;
        if (set->wanted[i].program != index || kernel->handle) {
            continue;
        }
        cl_int code;
        kernel->handle = clCreateKernel(program->handle, kernel->desc->entry, &code);
        if (!kernel->handle) {
            return clfcn_cl_err(err, code, "cl/%s.cl: kernel '%s' cannot be created",
                                program->stem, kernel->desc->entry);
        }
        atomic_fetch_add(&set->dev->live_objects, 1);
    }
    return CLFCN_OK;
}

/* Build the program that handle is, and its kernels. On failure all of it is gone
 * again. */
static int finish_program(struct clfcn_programs *set, int index, struct clfcn_err *err)
{
    struct program *program = &set->programs[index];
    struct clfcn_dev *dev = set->dev;
    const cl_int code =
        clBuildProgram(program->handle, 1, &dev->id, program->options, NULL, NULL);
    fetch_log(dev, program);
    int rc;
    if (code != CL_SUCCESS) {
        const bool said = program->log && *program->log;
        rc = clfcn_cl_err(err, code, "cl/%s.cl does not build for '%s'%s", program->stem,
                          dev->info.name, said ? " (its log is above)" : "");
    } else {
        rc = create_kernels(set, index, err);
    }
    if (rc < 0) {
        for (int i = 0; i < set->wanted_count; ++i) {
            if (set->wanted[i].program == index) {
                release_kernel(dev, set->wanted[i].kernel);
            }
        }
        release_program(dev, program);
    }
    return rc;
}

static bool build_from_cache(struct clfcn_programs *set, int index, const char *key)
{
    struct program *program = &set->programs[index];
    size_t size;
    void *binary = clfcn_cache_load(key, &size);
    if (!binary) {
        return false;
    }
    cl_int code;
    const unsigned char *bytes = binary;
    program->handle = clCreateProgramWithBinary(set->dev->context, 1, &set->dev->id,
                                                &size, &bytes, NULL, &code);
    free(binary);
    if (!program->handle) {
        clfcn_debug("cl/%s.cl: the device refuses its own binary: %s", program->stem,
                    clfcn_cl_error_name(code));
        return false;
    }
    atomic_fetch_add(&set->dev->live_objects, 1);
    struct clfcn_err err;
    if (finish_program(set, index, &err) < 0) {
        clfcn_debug("the binary of a program is of no use: %s", err.msg);
        return false;
    }
    return true;
}

static int build_from_source(struct clfcn_programs *set, int index, struct clfcn_err *err)
{
    struct program *program = &set->programs[index];
    cl_int code;
    program->handle =
        clCreateProgramWithSource(set->dev->context, 1, &program->source, NULL, &code);
    if (!program->handle) {
        return clfcn_cl_err(err, code, "cl/%s.cl: no program on '%s'", program->stem,
                            set->dev->info.name);
    }
    atomic_fetch_add(&set->dev->live_objects, 1);
    return finish_program(set, index, err);
}

struct build {
    struct clfcn_programs *set;
    const int *todo; /* indices of programs */
};

static void build_one(void *arg, int i)
{
    const struct build *build = arg;
    const int index = build->todo[i];
    const double begin = clfcn_trace_begin();
    struct program *program = &build->set->programs[index];
    if (!program->key) {
        program->key =
            clfcn_cache_key(build->set->dev, program->source, program->options);
    }
    program->from_cache =
        program->key && build_from_cache(build->set, index, program->key);
    program->rc = CLFCN_OK;
    if (!program->from_cache) {
        program->rc = build_from_source(build->set, index, &program->err);
    }
    clfcn_trace_end(program->stem, begin);
}

/* Tell what the builds had to say; the first failure becomes the error. */
static int report_builds(struct clfcn_programs *set, const int *todo, int count,
                         struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < count; ++i) {
        struct program *program = &set->programs[todo[i]];
        print_log(program, program->rc < 0 ? CLFCN_LOG_ERROR : CLFCN_LOG_DEBUG);
        free(program->log);
        program->log = NULL;
        if (program->rc == CLFCN_OK) {
            set->stats.cached += program->from_cache;
            set->stats.compiled += !program->from_cache;
        } else if (rc == CLFCN_OK) {
            rc = program->rc;
            if (err) {
                *err = program->err;
            }
        }
    }
    return rc;
}

int clfcn_programs_build(struct clfcn_programs *set, struct clfcn_err *err)
{
    const double start = clfcn_clock(), begin = clfcn_trace_begin();
    int *todo = malloc(((size_t)set->program_count + 1) * sizeof(*todo));
    if (!todo) {
        return clfcn_err_nomem(err);
    }
    int count = 0, rc = CLFCN_OK;
    for (int i = 0; i < set->program_count && rc == CLFCN_OK; ++i) {
        if (set->programs[i].handle) {
            rc = create_kernels(set, i, err); /* those wanted since it was built */
        } else {
            todo[count++] = i;
        }
    }
    if (rc == CLFCN_OK) {
        struct build build = { set, todo };
        clfcn_parallel_for(count, build_threads(set->dev), build_one, &build);
        rc = report_builds(set, todo, count, err);
    }
    free(todo);
    set->stats.seconds += clfcn_clock() - start;
    clfcn_trace_end("build kernels", begin);
    return rc;
}

struct clfcn_programs_stats clfcn_programs_get_stats(const struct clfcn_programs *set)
{
    return set->stats;
}

/* A launch whose arguments are set. Its units are what cannot be cut along dimension cut:
 * a layer of work-groups. */
struct launch {
    struct clfcn_dev *dev;
    const struct clfcn_kernel *kernel;
    int dims, cut;
    size_t global[3], unit;
    const size_t *local;
};

/* Enqueue count units, from first on. */
static int enqueue(void *user, size_t first, size_t count, struct clfcn_err *err)
{
    const struct launch *l = user;
    const char *name = l->kernel->desc->entry;
    size_t offset[3] = { 0 }, global[3];
    memcpy(global, l->global, sizeof(global));
    offset[l->cut] = first * l->unit;
    if (global[l->cut] - offset[l->cut] > count * l->unit) {
        global[l->cut] = count * l->unit;
    } else {
        global[l->cut] -= offset[l->cut];
    }
    const cl_int code = clEnqueueNDRangeKernel(
        l->dev->compute, l->kernel->handle, (cl_uint)l->dims, first > 0 ? offset : NULL,
        global, l->local, 0, NULL, clfcn_prof_event(l->dev, name));
    return code == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, code, "kernel '%s'", name);
}

/* Find the dimension to cut along, of those allowed the one of most units, and return
 * their number. */
static size_t find_cut(struct launch *l)
{
    size_t most = 1;
    l->cut = 0;
    l->unit = l->global[0];
    for (int i = 0; i < l->dims; ++i) {
        /* Left to choose, the runtime shall find a good work-group size in a slice. */
        const size_t unit = l->local ? l->local[i] : i == 0 ? 64 : 1;
        const size_t units = (l->global[i] + unit - 1) / unit;
        if (l->kernel->desc->cut >> i & 1 && units > most) {
            most = units;
            l->cut = i;
            l->unit = unit;
        }
    }
    return most;
}

/* What tells launches of different times apart. */
static uint64_t key_of(const struct launch *l, const struct clfcn_arg *args, int count)
{
    uint64_t h = clfcn_hash_str(CLFCN_HASH_INIT, l->kernel->desc->entry);
    h = clfcn_hash(h, l->kernel->values, sizeof(l->kernel->values));
    h = clfcn_hash(h, l->global, (size_t)l->dims * sizeof(*l->global));
    for (int i = 0; i < count; ++i) {
        if (args[i].counts) {
            h = clfcn_hash(h, args[i].ptr, args[i].size);
        }
    }
    return h;
}

int clfcn_launch(struct clfcn_dev *dev, const struct clfcn_kernel *kernel, int dims,
                 const size_t *global, const size_t *local, const struct clfcn_arg *args,
                 int arg_count, struct clfcn_err *err)
{
    struct launch l = { dev, kernel, .dims = dims, .local = local };
    const char *name = kernel->desc->entry;
    if (dims < 1 || dims > 3) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "kernel '%s': %d dimensions", name,
                             dims);
    }
    for (int i = 0; i < dims; ++i) {
        if (global[i] == 0) {
            return CLFCN_OK;
        }
        const size_t step = local && local[i] > 0 ? local[i] : 1;
        l.global[i] = (global[i] + step - 1) / step * step;
    }
    for (int i = 0; i < arg_count; ++i) {
        const cl_int code =
            clSetKernelArg(kernel->handle, (cl_uint)i, args[i].size, args[i].ptr);
        if (code != CL_SUCCESS) {
            return clfcn_cl_err(err, code, "kernel '%s': argument %d of %zu bytes", name,
                                i, args[i].size);
        }
    }
    const size_t units = find_cut(&l);
    return dev->slicer ? clfcn_slice_run(dev, key_of(&l, args, arg_count), units, enqueue,
                                         &l, err)
                       : enqueue(&l, 0, units, err);
}
