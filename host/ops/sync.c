#include "sync.h"
#include "op_impl.h"
#include <stdlib.h>

/* The pairs [channels][chunks] of floats in scratch, from float first on. Free *out with
 * free(). */
static int read_pairs(const struct clfcn_op_run *run, size_t first, int channels,
                      int chunks, float **out, struct clfcn_err *err)
{
    const size_t bytes = 2 * sizeof(float) * (size_t)channels * (size_t)chunks;
    *out = malloc(bytes);
    if (!*out) {
        return clfcn_err_nomem(err);
    }
    const int rc = clfcn_buffer_read(run->dev, run->scratch, first * sizeof(float), bytes,
                                     *out, err);
    if (rc < 0) {
        free(*out);
        *out = NULL;
    }
    return rc;
}

static void add_chunks(const float *pairs, int channels, int chunks, double *sums)
{
    for (int c = 0; c < channels; ++c, sums += 2) {
        sums[0] = sums[1] = 0.0;
        for (int i = 0; i < chunks; ++i, pairs += 2) {
            sums[0] += pairs[0];
            sums[1] += pairs[1];
        }
    }
}

int clfcn_sync_sums(const struct clfcn_op_run *run, size_t first, int channels,
                    int chunks, float *sums, struct clfcn_err *err)
{
    const size_t count = 2 * (size_t)channels;
    float *pairs = NULL;
    double *total = malloc(count * sizeof(*total));
    int rc = total ? read_pairs(run, first, channels, chunks, &pairs, err)
                   : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        add_chunks(pairs, channels, chunks, total);
        rc = clfcn_comm_sum(run->comm, total, count, err);
    }
    for (size_t i = 0; rc == CLFCN_OK && i < count; ++i) {
        sums[i] = (float)total[i];
    }
    free(pairs);
    free(total);
    return rc;
}

/* Both together (Chan, Golub, LeVeque, 1979). */
static void merge(struct clfcn_moments *all, struct clfcn_moments others)
{
    const double count = all->count + others.count, delta = others.mean - all->mean;
    all->m2 += others.m2 + delta * delta * (all->count * others.count / count);
    all->mean += delta * (others.count / count);
    all->count = count;
}

static void merge_chunks(const float *pairs, int channels, size_t row,
                         struct clfcn_moments *moments)
{
    for (int c = 0; c < channels; ++c) {
        moments[c] = (struct clfcn_moments){ 0 };
        for (size_t i = 0; i < row; i += CLFCN_CHUNK, pairs += 2) {
            const size_t count = row - i < CLFCN_CHUNK ? row - i : CLFCN_CHUNK;
            merge(&moments[c],
                  (struct clfcn_moments){ pairs[0], pairs[1], (double)count });
        }
    }
}

/* Gather this rank's moments and merge them with the others'. */
static int merge_ranks(struct clfcn_comm *comm, int channels,
                       struct clfcn_moments *moments, struct clfcn_err *err)
{
    const int size = clfcn_comm_size(comm);
    const size_t bytes = (size_t)channels * sizeof(*moments);
    struct clfcn_moments *all = malloc((size_t)size * bytes);
    const int rc =
        all ? clfcn_comm_gather(comm, moments, bytes, all, err) : clfcn_err_nomem(err);
    for (int c = 0; rc == CLFCN_OK && c < channels; ++c) {
        moments[c] = (struct clfcn_moments){ 0 };
        for (int r = 0; r < size; ++r) {
            merge(&moments[c], all[(size_t)r * (size_t)channels + (size_t)c]);
        }
    }
    free(all);
    return rc;
}

int clfcn_sync_moments(const struct clfcn_op_run *run, int channels, size_t row,
                       struct clfcn_moments *moments, struct clfcn_err *err)
{
    float *pairs;
    int rc = read_pairs(run, 0, channels, clfcn_op_chunks(row), &pairs, err);
    if (rc == CLFCN_OK) {
        merge_chunks(pairs, channels, row, moments);
        rc = merge_ranks(run->comm, channels, moments, err);
    }
    free(pairs);
    return rc;
}
