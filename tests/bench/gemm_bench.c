/* gemm_bench.c - the matrix products of VGG's layers, timed; packing included.
 *
 *     gemm_bench native|clblast|shipped [--device D] [--batch N] [--reps R] [--small]
 *
 * native and clblast are clfcn's providers; shipped is CLBlast as its package has it,
 * with no parameters of clfcn's, which is why it has a process to itself. One JSON object
 * a shape on stdout: {"layer":"conv3_1","m":256,"n":6400,"k":1152,"ms":[...]}. bench.py
 * runs it in turn with other libraries.
 *
 * Exit status: 0; 1 failed; 2 wrong usage. */
#include "../../host/device/buffer.h"
#include "../../host/ops/gemm.h"
#include "../../host/util/rng.h"
#include "../../host/util/sys.h"

#include <clblast_c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A convolution of VGG at an input side of 160: out channels, side, in channels. */
struct layer {
    const char *name;
    int out, side, in;
};

static const struct layer layers[] = {
    { "conv1_2", 64, 160, 64 },  { "conv2_1", 128, 80, 64 },  { "conv2_2", 128, 80, 128 },
    { "conv3_1", 256, 40, 128 }, { "conv3_2", 256, 40, 256 }, { "conv4_1", 512, 20, 256 },
    { "conv4_2", 512, 20, 512 }, { "conv5_1", 512, 10, 512 },
};

enum { MAX_REPS = 1000 };

struct options {
    const char *provider, *device;
    int batch, reps;
    int shrink; /* channels are divided by it */
};

/* One product on the device. */
struct product {
    struct clfcn_gemm_call call;
    cl_mem scratch; /* NULL if none is needed */
};

struct bench {
    struct options options;
    struct clfcn_dev *dev;
    struct clfcn_programs *programs;
    struct clfcn_gemm *gemm; /* NULL: CLBlast as shipped */
};

static int matrix_open(struct bench *b, struct clfcn_rng *rng, int rows, int columns,
                       struct clfcn_mat *out, struct clfcn_err *err)
{
    const size_t count = (size_t)rows * (size_t)columns;
    float *values = malloc(count * sizeof(*values));
    *out = (struct clfcn_mat){ .ld = columns };
    if (!values) {
        return clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < count; ++i) {
        values[i] = (float)(2 * clfcn_rng_double(rng) - 1);
    }
    int rc =
        clfcn_buffer_create(b->dev, count * sizeof(*values), "matrix", &out->mem, err);
    if (rc == CLFCN_OK) {
        rc =
            clfcn_buffer_write(b->dev, out->mem, 0, count * sizeof(*values), values, err);
    }
    free(values);
    return rc;
}

static void product_close(struct bench *b, struct product *p)
{
    clfcn_buffer_release(b->dev, &p->scratch);
    clfcn_buffer_release(b->dev, &p->call.c.mem);
    clfcn_buffer_release(b->dev, &p->call.b.mem);
    clfcn_buffer_release(b->dev, &p->call.a.mem);
}

static int product_open(struct bench *b, int m, int n, int k, struct product *p,
                        struct clfcn_err *err)
{
    struct clfcn_rng rng;
    struct clfcn_gemm_plan plan = { 0 };
    *p = (struct product){ .call = { .m = m, .n = n, .k = k } };
    clfcn_rng_init(&rng, 0, "gemm_bench", 0, 0);
    int rc = matrix_open(b, &rng, m, k, &p->call.a, err);
    if (rc == CLFCN_OK) {
        rc = matrix_open(b, &rng, k, n, &p->call.b, err);
    }
    if (rc == CLFCN_OK) {
        rc = matrix_open(b, &rng, m, n, &p->call.c, err);
    }
    if (rc == CLFCN_OK && b->gemm) {
        rc = clfcn_gemm_make_plan(b->gemm, &p->call, &plan, err);
    }
    if (rc == CLFCN_OK && plan.scratch_bytes > 0) {
        rc = clfcn_buffer_create(b->dev, plan.scratch_bytes, "scratch", &p->scratch, err);
    }
    return rc;
}

/* CLBlast with row-major matrices, as its users call it. */
static int run_shipped(struct bench *b, const struct product *p, struct clfcn_err *err)
{
    const struct clfcn_gemm_call *c = &p->call;
    const int status = CLBlastSgemm(
        CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, (size_t)c->m,
        (size_t)c->n, (size_t)c->k, 1.0f, c->a.mem, 0, (size_t)c->a.ld, c->b.mem, 0,
        (size_t)c->b.ld, 0.0f, c->c.mem, 0, (size_t)c->c.ld, &b->dev->compute, NULL);
    return status == CLBlastSuccess ? CLFCN_OK
                                    : clfcn_err_set(err, CLFCN_ECL, status, "CLBlast: %s",
                                                    clfcn_cl_error_name(status));
}

/* Milliseconds of one product, from the call to its end on the device. */
static int run_once(struct bench *b, const struct product *p, double *ms,
                    struct clfcn_err *err)
{
    const double start = clfcn_clock();
    const int rc = b->gemm ? clfcn_gemm_run(b->gemm, &p->call, p->scratch, err)
                           : run_shipped(b, p, err);
    if (rc < 0) {
        return rc;
    }
    const cl_int status = clFinish(b->dev->compute);
    *ms = 1e3 * (clfcn_clock() - start);
    return status == CL_SUCCESS ? CLFCN_OK
                                : clfcn_err_set(err, CLFCN_ECL, status, "clFinish: %s",
                                                clfcn_cl_error_name(status));
}

/* Element (0, 0) against its definition: a product that computes nothing is fast. */
static int check(struct bench *b, const struct product *p, struct clfcn_err *err)
{
    const struct clfcn_gemm_call *c = &p->call;
    const size_t k = (size_t)c->k, n = (size_t)c->n;
    float *row = malloc(k * sizeof(*row)), *all = malloc(k * n * sizeof(*all)), got = NAN;
    double want = 0.0;
    int rc = row && all ? CLFCN_OK : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(b->dev, c->a.mem, 0, k * sizeof(*row), row, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(b->dev, c->b.mem, 0, k * n * sizeof(*all), all, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_read(b->dev, c->c.mem, 0, sizeof(got), &got, err);
    }
    for (size_t i = 0; rc == CLFCN_OK && i < k; ++i) {
        want += (double)row[i] * all[i * n];
    }
    if (rc == CLFCN_OK && !(fabs(got - want) < 1e-3)) {
        rc = clfcn_err_set(err, CLFCN_ENUMERIC, 0, "the product is %g, should be %g",
                           (double)got, want);
    }
    free(all);
    free(row);
    return rc;
}

static int time_layer(struct bench *b, const struct layer *l, struct clfcn_err *err)
{
    const struct options *o = &b->options;
    const int m = l->out / o->shrink, k = l->in / o->shrink * 9;
    const int n = o->batch * l->side * l->side;
    struct product p;
    double ms = 0.0;
    int rc = product_open(b, m, n, k, &p, err);
    if (rc == CLFCN_OK) {
        rc = run_once(b, &p, &ms, err); /* not timed: CLBlast compiles */
    }
    if (rc == CLFCN_OK) {
        rc = check(b, &p, err);
    }
    if (rc == CLFCN_OK) {
        printf("{\"layer\":\"%s\",\"m\":%d,\"n\":%d,\"k\":%d,\"ms\":[", l->name, m, n, k);
    }
    for (int i = 0; rc == CLFCN_OK && i < o->reps; ++i) {
        rc = run_once(b, &p, &ms, err);
        printf("%s%.4f", i > 0 ? "," : "", ms);
    }
    if (rc == CLFCN_OK) {
        printf("]}\n");
    }
    product_close(b, &p);
    CLFCN_CHECK(rc, out, err, "%s, %s", o->provider, l->name);
out:
    return rc;
}

static int open_bench(struct bench *b, struct clfcn_err *err)
{
    const bool native = strcmp(b->options.provider, "native") == 0;
    int rc = clfcn_dev_open(b->options.device, &b->dev, err);
    if (rc < 0 || strcmp(b->options.provider, "shipped") == 0) {
        return rc;
    }
    rc = clfcn_programs_create(b->dev, &b->programs, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_gemm_create(b->dev, b->programs,
                               native ? CLFCN_GEMM_NATIVE : CLFCN_GEMM_CLBLAST, &b->gemm,
                               err);
    }
    return rc < 0 ? rc : clfcn_programs_build(b->programs, err);
}

static void close_bench(struct bench *b)
{
    clfcn_programs_destroy(&b->programs); /* before gemm, whose kernels it knows */
    clfcn_gemm_destroy(&b->gemm);
    CLBlastClearCache();
    clfcn_dev_close(&b->dev);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    *o = (struct options){ .device = "auto", .batch = 4, .reps = 3, .shrink = 1 };
    for (int i = 1; i < argc; ++i) {
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--device") == 0 && value) {
            o->device = argv[++i];
        } else if (strcmp(argv[i], "--batch") == 0 && value) {
            o->batch = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--reps") == 0 && value) {
            o->reps = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--small") == 0) {
            o->shrink = 8;
        } else if (!o->provider) {
            o->provider = argv[i];
        } else {
            return false;
        }
    }
    return o->provider && o->batch >= 1 && o->reps >= 1 && o->reps <= MAX_REPS &&
           (strcmp(o->provider, "native") == 0 || strcmp(o->provider, "clblast") == 0 ||
            strcmp(o->provider, "shipped") == 0);
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct clfcn_err err = { 0 };
    if (!read_options(argc, argv, &b.options)) {
        fprintf(stderr, "usage: gemm_bench native|clblast|shipped [--device D] "
                        "[--batch N] [--reps R] [--small]\n");
        return 2;
    }
    int rc = open_bench(&b, &err);
    for (int i = 0; rc == CLFCN_OK && i < CLFCN_ARRAY_LEN(layers); ++i) {
        rc = time_layer(&b, &layers[i], &err);
    }
    close_bench(&b);
    if (rc < 0) {
        fprintf(stderr, "gemm_bench: %s\n", err.msg);
        return 1;
    }
    return 0;
}
