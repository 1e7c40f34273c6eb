#include "gemm_impl.h"

#include "../device/prof.h"
#include "../device/slice.h"
#include "../util/hash.h"
#include "../util/log.h"
#include "op_impl.h"
#include <clblast_c.h>
#include <stdlib.h>

/* One parameter set of a CLBlast kernel. */
struct override {
    const char *kernel;
    size_t count;
    const char *names[16];
    size_t values[16];
};

/* CLBlast walks all of k for one tile of the result, with a page of memory a step: on a
 * CPU twice as slow as this many values at a time. A multiple of KWG below. */
enum { CPU_K_PART = 256 };

/* Columns of a product go into slices by so many: whole tiles of CLBlast's kernels. */
enum { SLICE_COLUMNS = 128 };

/* The parameters of CLBlast's own kernels are no variants: CLBlast knows one set for a
 * device in the whole process, so that two could not be used by turns. */
static const struct clfcn_gemm_variant variants[] = { { "part=128", 0, 128 },
                                                      { "part=512", 0, 512 },
                                                      { 0 } };

static bool fits(const struct clfcn_gemm_variant *variant,
                 const struct clfcn_device_info *info)
{
    return clfcn_wants_vectors(info);
}

/* CLBlast's database knows no CPU runtime, and its tuner never tries work-groups of one
 * item, which are fastest there: 5 to 8 times its own choice. MWG and NWG may differ only
 * with GEMMK 0: before 1.6.3 the other kernel then computes wrong results (CLBlast issue
 * 533). */
static const struct override cpu_overrides[] = {
    { "Xgemm",
      16,
      { "GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB", "NDIMC", "NWG",
        "SA", "SB", "STRM", "STRN", "VWM", "VWN" },
      { 0, 1, 32, 2, 1, 1, 16, 1, 1, 8, 0, 0, 0, 0, 8, 8 } },
    { "GemmRoutine", 1, { "XGEMM_MIN_INDIRECT_SIZE" }, { 1 } },
    { "Copy", 4, { "COPY_DIMX", "COPY_DIMY", "COPY_VW", "COPY_WPT" }, { 8, 8, 4, 1 } },
    { "Pad", 4, { "PAD_DIMX", "PAD_DIMY", "PAD_WPTX", "PAD_WPTY" }, { 8, 8, 4, 1 } },
    { "Transpose",
      4,
      { "TRA_DIM", "TRA_PAD", "TRA_SHUFFLE", "TRA_WPT" },
      { 8, 0, 0, 4 } },
    { "Padtranspose", 3, { "PADTRA_PAD", "PADTRA_TILE", "PADTRA_WPT" }, { 0, 8, 4 } },
};

#define TEXT(x) #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *clfcn_gemm_clblast_version(void)
{
    return VERSION(CLBLAST_VERSION_MAJOR, CLBLAST_VERSION_MINOR, CLBLAST_VERSION_PATCH);
}

static int check(int status, struct clfcn_err *err)
{
    if (status == CLBlastSuccess) {
        return CLFCN_OK;
    }
    return clfcn_err_set(err, CLFCN_ECL, status, "%s (CLBlast %d)",
                         clfcn_cl_error_name(status), status);
}

/* CLBlast multiplies column-major matrices fastest. A row-major matrix is the
 * column-major transpose, so the product is asked for as c' = b' a'. */
static CLBlastTranspose flag(bool trans)
{
    return trans ? CLBlastTransposeYes : CLBlastTransposeNo;
}

struct clblast {
    struct clfcn_gemm base;
    int k_part; /* values of k asked for at a time, 0: all */
};

/* The part of call that begins at k0, added to what the parts before it gave. */
static struct clfcn_gemm_call part_of(const struct clblast *cb,
                                      const struct clfcn_gemm_call *call, int k0)
{
    struct clfcn_gemm_call part = *call;
    const size_t k = (size_t)k0;
    if (cb->k_part > 0 && call->k - k0 > cb->k_part) {
        part.k = cb->k_part;
    } else {
        part.k = call->k - k0;
    }
    part.a.offset += call->trans_a ? k * (size_t)call->a.ld : k;
    part.b.offset += call->trans_b ? k : k * (size_t)call->b.ld;
    part.beta = k0 > 0 ? 1.0f : call->beta;
    return part;
}

/* A matrix of a batch which CLBlast's batched product reads and writes where it lies:
 * 1.5.3 forgets offset and stride of one that needs no copy, being of full tiles and
 * without gaps between its rows. */
static bool lies_right(const struct clfcn_mat *m, int rows, int columns, size_t stride)
{
    return m->ld != columns ||
           (m->offset == 0 && stride == (size_t)rows * (size_t)columns);
}

/* Whether call is for CLBlast's batched product, else for one product after the other. */
static bool batched(const struct clblast *cb, const struct clfcn_gemm_call *call)
{
    const int m = call->m, n = call->n, k = call->k;
    const bool whole = cb->k_part == 0 || k <= cb->k_part;
    return clfcn_gemm_count(call) > 1 && whole &&
           lies_right(&call->a, call->trans_a ? k : m, call->trans_a ? m : k,
                      call->batch.stride_a) &&
           lies_right(&call->b, call->trans_b ? n : k, call->trans_b ? k : n,
                      call->batch.stride_b) &&
           lies_right(&call->c, m, n, call->batch.stride_c);
}

/* Scratch memory is what a product by itself needs, even of a batch: the batched one
 * takes none from outside. Of a batch the last: CLBlast copies more of what has an
 * offset.
 */
static int plan(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
                struct clfcn_gemm_plan *out, struct clfcn_err *err)
{
    const struct clblast *cb = (const struct clblast *)g;
    struct clfcn_gemm_call last = clfcn_gemm_at(call, clfcn_gemm_count(call) - 1);
    cl_command_queue queue = g->dev->compute;
    int rc = CLFCN_OK;
    if (clfcn_slice_limit(g->dev) > 0 && call->n > SLICE_COLUMNS) {
        last.b.offset += SLICE_COLUMNS;
        last.c.offset += SLICE_COLUMNS;
    }
    out->parameters[0] = part_of(cb, call, 0).k;
    for (int k0 = 0; rc == CLFCN_OK && k0 < call->k;) {
        const struct clfcn_gemm_call part = part_of(cb, &last, k0);
        size_t need = 0;
        rc = check(CLBlastSGemmTempBufferSize(
                       CLBlastLayoutColMajor, flag(part.trans_b), flag(part.trans_a),
                       (size_t)part.n, (size_t)part.m, (size_t)part.k, part.b.offset,
                       (size_t)part.b.ld, part.a.offset, (size_t)part.a.ld, part.c.offset,
                       (size_t)part.c.ld, &queue, &need),
                   err);
        out->scratch_bytes = need > out->scratch_bytes ? need : out->scratch_bytes;
        k0 += part.k;
    }
    return rc;
}

static int run_one(const struct clblast *cb, const struct clfcn_gemm_call *call,
                   cl_mem scratch_mem, struct clfcn_err *err)
{
    struct clfcn_dev *dev = cb->base.dev;
    cl_command_queue queue = dev->compute;
    int rc = CLFCN_OK;
    for (int k0 = 0; rc == CLFCN_OK && k0 < call->k;) {
        const struct clfcn_gemm_call part = part_of(cb, call, k0);
        rc = check(CLBlastSgemmWithTempBuffer(
                       CLBlastLayoutColMajor, flag(part.trans_b), flag(part.trans_a),
                       (size_t)part.n, (size_t)part.m, (size_t)part.k, 1.0f, part.b.mem,
                       part.b.offset, (size_t)part.b.ld, part.a.mem, part.a.offset,
                       (size_t)part.a.ld, part.beta, part.c.mem, part.c.offset,
                       (size_t)part.c.ld, &queue, clfcn_prof_call(dev, "clblast_sgemm"),
                       scratch_mem),
                   err);
        k0 += part.k;
    }
    return rc;
}

/* CLBlast allocates copies of those matrices of all the batch that are transposed, have
 * gaps or are no multiple of its tiles, outside the account of the device's memory, and
 * frees them after the product. */
static int run_batch(const struct clblast *cb, const struct clfcn_gemm_call *call,
                     struct clfcn_err *err)
{
    struct clfcn_dev *dev = cb->base.dev;
    cl_command_queue queue = dev->compute;
    return check(CLBlastSgemmStridedBatched(
                     CLBlastLayoutColMajor, flag(call->trans_b), flag(call->trans_a),
                     (size_t)call->n, (size_t)call->m, (size_t)call->k, 1.0f, call->b.mem,
                     call->b.offset, (size_t)call->b.ld, call->batch.stride_b,
                     call->a.mem, call->a.offset, (size_t)call->a.ld,
                     call->batch.stride_a, call->beta, call->c.mem, call->c.offset,
                     (size_t)call->c.ld, call->batch.stride_c, (size_t)call->batch.count,
                     &queue, clfcn_prof_call(dev, "clblast_sgemm_batched")),
                 err);
}

static int run_whole(const struct clblast *cb, const struct clfcn_gemm_call *call,
                     cl_mem scratch_mem, struct clfcn_err *err)
{
    if (batched(cb, call)) {
        return run_batch(cb, call, err);
    }
    int rc = CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < clfcn_gemm_count(call); ++i) {
        const struct clfcn_gemm_call one = clfcn_gemm_at(call, i);
        rc = run_one(cb, &one, scratch_mem, err);
    }
    return rc;
}

struct product {
    const struct clblast *cb;
    const struct clfcn_gemm_call *call;
    cl_mem scratch;
};

static int run_columns(void *user, size_t first, size_t count, struct clfcn_err *err)
{
    const struct product *p = user;
    struct clfcn_gemm_call part = *p->call;
    const int begin = (int)first * SLICE_COLUMNS;
    const int columns = (int)count * SLICE_COLUMNS;
    part.n = columns < part.n - begin ? columns : part.n - begin;
    part.b.offset += (size_t)begin * (size_t)(part.trans_b ? part.b.ld : 1);
    part.c.offset += (size_t)begin;
    return run_whole(p->cb, &part, p->scratch, err);
}

static uint64_t key_of(const struct clfcn_gemm_call *c)
{
    const int shape[] = { c->trans_a, c->trans_b, c->m, c->n, c->k, c->batch.count };
    return clfcn_hash(clfcn_hash_str(CLFCN_HASH_INIT, "clblast"), shape, sizeof(shape));
}

static int run(const struct clfcn_gemm *g, const struct clfcn_gemm_call *call,
               cl_mem scratch_mem, struct clfcn_err *err)
{
    struct product p = { (const struct clblast *)g, call, scratch_mem };
    return clfcn_slice_run(g->dev, key_of(call),
                           (size_t)clfcn_parts_of(call->n, SLICE_COLUMNS), run_columns,
                           &p, err);
}

/* CLBlast keeps compiled programs of the context in a cache of its own. */
static void finish(struct clfcn_gemm *g)
{
    CLBlastClearCache();
    free(g);
}

static int create(struct clfcn_dev *dev, struct clfcn_programs *programs,
                  const struct clfcn_gemm_variant *variant, struct clfcn_gemm **out,
                  struct clfcn_err *err)
{
    const bool vectors = clfcn_wants_vectors(&dev->info);
    const int rc = clfcn_gemm_check_kind(&dev->info, CLFCN_GEMM_CLBLAST, err);
    if (rc < 0) {
        return rc;
    }
    struct clblast *cb = calloc(1, sizeof(*cb));
    if (!cb) {
        return clfcn_err_nomem(err);
    }
    cb->k_part = variant ? variant->value : vectors ? CPU_K_PART : 0;
    for (int i = 0; vectors && i < CLFCN_ARRAY_LEN(cpu_overrides); ++i) {
        const struct override *o = &cpu_overrides[i];
        const int status =
            CLBlastOverrideParameters(dev->id, o->kernel, CLBlastPrecisionSingle,
                                      o->count, (const char **)o->names, o->values);
        if (status != CLBlastSuccess) {
            clfcn_debug("CLBlast keeps its own parameters for %s: %s", o->kernel,
                        clfcn_cl_error_name(status));
        }
    }
    *out = &cb->base;
    return CLFCN_OK;
}

const struct clfcn_gemm_impl clfcn_gemm_clblast = {
    .name = "clblast",
    .variants = variants,
    .fits = fits,
    .create = create,
    .plan = plan,
    .run = run,
    .finish = finish,
};
