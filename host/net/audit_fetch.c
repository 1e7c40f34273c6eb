/* audit_fetch.c - pieces of tensors on the host: what was, and what is. */
#include "audit_impl.h"

#include <stdlib.h>

/* Floats of a tensor that are compared, unless one channel or image has more: a tenth of
 * a second. */
enum { SHARE = 4 << 20 };

struct clfcn_piece clfcn_piece_whole(cl_mem mem, size_t count)
{
    return (struct clfcn_piece){ .mem = mem, .length = count, .rows = 1 };
}

struct clfcn_piece clfcn_piece_image(const struct clfcn_tensor *t, int image)
{
    const size_t pixels = (size_t)t->h * (size_t)t->w;
    return (struct clfcn_piece){ .mem = t->mem,
                                 .first = (size_t)image * pixels,
                                 .stride = clfcn_tensor_row(t),
                                 .length = pixels,
                                 .rows = t->c };
}

struct clfcn_piece clfcn_piece_channels(const struct clfcn_tensor *t, int first,
                                        int count)
{
    const size_t row = clfcn_tensor_row(t);
    return (struct clfcn_piece){ .mem = t->mem,
                                 .first = (size_t)first * row,
                                 .length = (size_t)count * row,
                                 .rows = 1 };
}

int clfcn_audit_channels(struct clfcn_audit_run *run, const struct clfcn_tensor *t,
                         int most, int *first)
{
    const size_t fit = SHARE / clfcn_tensor_row(t);
    const int64_t focus = run->focus ? run->focus[0] : -1;
    int count = fit < 1 ? 1 : fit < (size_t)t->c ? (int)fit : t->c;
    count = count < most ? count : most;
    *first = (int)clfcn_rng_below(&run->rng, (uint32_t)(t->c - count + 1));
    if (focus >= 0 && (focus < *first || focus >= *first + count)) {
        *first = focus + count <= t->c ? (int)focus : t->c - count;
    }
    return count;
}

static int read_piece(struct clfcn_dev *dev, const struct clfcn_piece *piece, float **out,
                      struct clfcn_err *err)
{
    const size_t bytes = piece->length * sizeof(float);
    float *to = malloc((size_t)piece->rows * bytes);
    int rc = to ? CLFCN_OK : clfcn_err_nomem(err);
    *out = to;
    for (int i = 0; rc == CLFCN_OK && i < piece->rows; ++i) {
        const size_t at = piece->first + (size_t)i * piece->stride;
        rc = clfcn_buffer_read(dev, piece->mem, at * sizeof(float), bytes,
                               to + (size_t)i * piece->length, err);
    }
    return rc;
}

int clfcn_audit_fetch(struct clfcn_audit_run *run, const struct clfcn_piece *piece,
                      float **out, struct clfcn_err *err)
{
    if (run->memory_count == CLFCN_ARRAY_LEN(run->memory)) {
        return clfcn_err_nomem(err);
    }
    const int rc = read_piece(run->tap.net->dev, piece, out, err);
    run->memory[run->memory_count++] = *out;
    return rc;
}

int clfcn_audit_keep(struct clfcn_audit_run *run, const struct clfcn_piece *piece,
                     struct clfcn_err *err)
{
    if (run->kept_count == CLFCN_ARRAY_LEN(run->kept)) {
        return clfcn_err_nomem(err);
    }
    struct clfcn_kept *kept = &run->kept[run->kept_count++];
    kept->piece = *piece;
    return read_piece(run->tap.net->dev, piece, &kept->values, err);
}

const float *clfcn_audit_kept(const struct clfcn_audit_run *run, cl_mem mem)
{
    for (int i = 0; i < run->kept_count; ++i) {
        if (run->kept[i].piece.mem == mem) {
            return run->kept[i].values;
        }
    }
    return NULL;
}

int clfcn_audit_restore(struct clfcn_audit_run *run, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int i = 0; i < run->kept_count; ++i) {
        const struct clfcn_piece *piece = &run->kept[i].piece;
        for (int j = 0; rc == CLFCN_OK && j < piece->rows; ++j) {
            const size_t at = piece->first + (size_t)j * piece->stride;
            rc = clfcn_buffer_write(run->tap.net->dev, piece->mem, at * sizeof(float),
                                    piece->length * sizeof(float),
                                    run->kept[i].values + (size_t)j * piece->length, err);
        }
    }
    return rc;
}

void clfcn_audit_forget(struct clfcn_audit_run *run)
{
    for (int i = 0; i < run->memory_count; ++i) {
        free(run->memory[i]);
    }
    run->memory_count = 0;
}

void clfcn_audit_finish(struct clfcn_audit_run *run)
{
    for (int i = 0; i < run->kept_count; ++i) {
        free(run->kept[i].values);
    }
    run->kept_count = 0;
}
