/* diverge_check.c - one tensor of two devices compared, noted and made equal. */
#include "diverge_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is rounded but not summed is right to a few units in the last place, 6e-8 each. */
static const double ROUNDED = 1e-2;

int clfcn_diverge_reserve(struct clfcn_diverge_run *run, size_t count,
                          struct clfcn_err *err)
{
    if (count <= run->capacity) {
        return CLFCN_OK;
    }
    for (int s = 0; s < 2; ++s) {
        float *grown = realloc(run->host[s], count * sizeof(float));
        if (!grown) {
            return clfcn_err_nomem(err);
        }
        run->host[s] = grown;
    }
    run->capacity = count;
    return CLFCN_OK;
}

static size_t count_of(const struct clfcn_diverge_tensor *t)
{
    size_t count = 1;
    for (int i = 0; i < t->ndim; ++i) {
        count *= (size_t)t->dims[i];
    }
    return count;
}

static int add_row(struct clfcn_diverge *out, const struct clfcn_diverge_tensor *t,
                   double tolerance, struct clfcn_err *err)
{
    struct clfcn_diverge_row *grown =
        realloc(out->rows, ((size_t)out->row_count + 1) * sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    out->rows = grown;
    struct clfcn_diverge_row *row = &grown[out->row_count++];
    *row = (struct clfcn_diverge_row){
        .kind = t->kind, .pass = t->pass, .ndim = t->ndim, .tolerance = tolerance
    };
    memcpy(row->dims, t->dims, sizeof(row->dims));
    snprintf(row->layer, sizeof(row->layer), "%s", t->layer);
    snprintf(row->tensor, sizeof(row->tensor), "%s", t->name);
    for (int s = 0; s < 2 && t->conv[s]; ++s) {
        snprintf(row->algorithm[s], sizeof(row->algorithm[s]), "%s", t->conv[s]->name);
    }
    return CLFCN_OK;
}

static double tolerance_of(const struct clfcn_diverge_run *run,
                           enum clfcn_diverge_rigor rigor)
{
    const double tolerance = run->how->tolerance;
    if (run->how->free_running || rigor == CLFCN_SUMMED) {
        return tolerance;
    }
    return rigor == CLFCN_ROUNDED ? ROUNDED * tolerance : 0.0;
}

/* Running free, a single element may well be another: a pooling takes its neighbour. */
static bool is_beyond(const struct clfcn_diverge_run *run,
                      const struct clfcn_difference *d, double tolerance)
{
    return d->relative > tolerance || (!run->how->free_running && d->far > 0);
}

static int note_first(struct clfcn_diverge_run *run, const struct clfcn_diverge_tensor *t,
                      const struct clfcn_difference *d, struct clfcn_err *err)
{
    struct clfcn_diverge_first *first = &run->out->first;
    run->out->found = true;
    *first = (struct clfcn_diverge_first){ .step = run->step,
                                           .row = run->row,
                                           .difference = *d };
    size_t at = d->at;
    for (int i = t->ndim - 1; i >= 0; --i) {
        first->index[i] = (int64_t)(at % (size_t)t->dims[i]);
        at /= (size_t)t->dims[i];
    }
    for (int s = 0; s < 2; ++s) {
        clfcn_ran_list(run->net[s]->dev, &run->ran[s], t->pass, first->kernels[s]);
    }
    return run->how->free_running
               ? CLFCN_OK /* the inputs differ: there are two references */
               : clfcn_diverge_reference(run, t, d->at, &first->has_reference,
                                         &first->reference, err);
}

static void add_to_step(struct clfcn_diverge_run *run, enum clfcn_diverge_part part,
                        const struct clfcn_difference *d)
{
    const double apart = d->distance * d->distance;
    if (part == CLFCN_PART_GRADIENT) {
        run->gradient[0] += d->norm_a * d->norm_a;
        run->gradient[1] += d->norm_b * d->norm_b;
        run->gradient_apart += apart;
    } else if (part == CLFCN_PART_WEIGHTS) {
        run->weights += d->norm_a * d->norm_a;
        run->weights_apart += apart;
    }
}

int clfcn_diverge_check(struct clfcn_diverge_run *run,
                        const struct clfcn_diverge_tensor *t, struct clfcn_err *err)
{
    const size_t count = count_of(t), bytes = count * sizeof(float);
    const double tolerance = tolerance_of(run, t->rigor);
    struct clfcn_difference d;
    int rc = clfcn_diverge_reserve(run, count, err);
    for (int s = 0; rc == CLFCN_OK && s < 2; ++s) {
        rc = clfcn_buffer_read(run->net[s]->dev, t->mem[s], t->offset[s], bytes,
                               run->host[s], err);
    }
    if (rc == CLFCN_OK && run->row == run->out->row_count) {
        rc = add_row(run->out, t, tolerance, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "layer '%s', %s, %s", t->layer, t->pass, t->name);
        return rc;
    }
    struct clfcn_diverge_row *row = &run->out->rows[run->row];
    clfcn_difference_measure(run->host[0], run->host[1], count,
                             CLFCN_DIVERGE_FAR * tolerance, &d);
    add_to_step(run, t->part, &d);
    if (row->worst.count == 0 || d.relative > row->worst.relative) {
        row->worst = d;
        row->worst_step = run->step;
    }
    if (is_beyond(run, &d, tolerance)) {
        ++row->beyond;
        rc = run->out->found ? CLFCN_OK : note_first(run, t, &d, err);
    }
    if (rc == CLFCN_OK && !run->how->free_running &&
        memcmp(run->host[0], run->host[1], bytes) != 0) {
        rc = clfcn_buffer_write(run->net[1]->dev, t->mem[1], t->offset[1], bytes,
                                run->host[0], err);
    }
    ++run->row;
    return rc;
}
