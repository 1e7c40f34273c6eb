/* audit_judge.c - how far what the device made is from what belongs there. */
#include "audit_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the distance of a tensor may be, and of one element, of its own size and the root
 * mean square of all. Sums of 10^5 products through Winograd's transforms were seen to
 * reach 10^-6 of their size, single roundings are 6 * 10^-8. */
static const struct bound {
    double all, each;
} bounds[] = {
    [CLFCN_AUDIT_COPIED] = { 0, 0 },
    [CLFCN_AUDIT_ROUNDED] = { 1e-6, 1e-5 },
    [CLFCN_AUDIT_SUMMED] = { 1e-5, 1e-4 },
};

/* Sums that come near what floats can hold may pass it on the way. */
static const double LARGE = 1e36;

void clfcn_judge_begin(struct clfcn_judge *j, struct clfcn_audit_run *run,
                       const char *tensor, enum clfcn_audit_rigor rigor, int ndim,
                       const int64_t *dims)
{
    *j = (struct clfcn_judge){
        .run = run, .tensor = tensor, .rigor = rigor, .ndim = ndim, .excess = -INFINITY
    };
    memcpy(j->dims, dims, (size_t)ndim * sizeof(*dims));
}

void clfcn_judge_tensor(struct clfcn_judge *j, struct clfcn_audit_run *run,
                        const char *name, enum clfcn_audit_rigor rigor,
                        const struct clfcn_tensor *t)
{
    const int64_t dims[] = { t->c, t->n, t->h, t->w };
    clfcn_judge_begin(j, run, name, rigor, 4, dims);
}

void clfcn_judge_add(struct clfcn_judge *j, size_t at, float got, double want,
                     double size)
{
    if (!isfinite(want) || !(size < LARGE)) {
        struct clfcn_audit *out = j->run->out;
        *(isfinite(want) ? &out->too_large : &out->not_finite) = true;
        return;
    }
    const double off = isfinite(got) ? fabs(got - want) : INFINITY;
    const double excess = off - bounds[j->rigor].each * size;
    ++j->count;
    j->distance += off * off;
    j->size += size * size;
    if (excess > j->excess) {
        j->excess = excess;
        j->at = at;
        j->got = got;
        j->want = want;
    }
}

static void locate(const struct clfcn_judge *j, int64_t index[4])
{
    size_t at = j->at;
    for (int i = j->ndim - 1; i >= 0; --i) {
        index[i] = (int64_t)(at % (size_t)j->dims[i]);
        at /= (size_t)j->dims[i];
    }
}

void clfcn_judge_end(struct clfcn_judge *j)
{
    const struct bound bound = bounds[j->rigor];
    struct clfcn_audit *out = j->run->out;
    if (j->count == 0) {
        return;
    }
    const double size = sqrt(j->size), distance = sqrt(j->distance);
    const double apart = distance > 0 && isfinite(distance) ? distance / size : distance;
    const bool wrong =
        apart > bound.all || j->excess > bound.each * size / sqrt((double)j->count);
    const bool first = out->tensor[0] == '\0';
    out->compared += j->count;
    if (out->wrong ||
        !(first || wrong || apart * out->tolerance > out->apart * bound.all)) {
        return;
    }
    snprintf(out->tensor, sizeof(out->tensor), "%s", j->tensor);
    out->ndim = j->ndim;
    memcpy(out->dims, j->dims, sizeof(out->dims));
    locate(j, out->index);
    out->apart = apart;
    out->tolerance = bound.all;
    out->wrong = wrong;
    out->device = j->got;
    out->reference = j->want;
}

const char *clfcn_index_text(const int64_t *index, int ndim, char text[CLFCN_INDEX_TEXT])
{
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < ndim && len < CLFCN_INDEX_TEXT; ++i) {
        len += (size_t)snprintf(text + len, CLFCN_INDEX_TEXT - len, "[%" PRId64 "]",
                                index[i]);
    }
    return text;
}
