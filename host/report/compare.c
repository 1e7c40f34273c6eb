#include "compare.h"
#include "../util/stats.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What two runs of the same thing differ by at least. */
static const double LEAST_UNSURE = 0.01;

/* How far a ratio is from 1, whichever side was the larger: 0.5 is as far as 2. */
static double apart(double ratio)
{
    return fmax(ratio, 1 / ratio) - 1;
}

static void set_unsure(struct clfcn_bench_time *t, const struct clfcn_bench_run *run)
{
    const double peak = apart(run->peak_after / run->peak_before);
    t->unsure = isnan(t->relative) ? CLFCN_NOISY : t->relative;
    t->unsure = fmax(t->unsure, LEAST_UNSURE);
    t->unsure = fmax(t->unsure, peak);
    t->unsure = fmax(t->unsure, apart(t->drift)); /* fmax() passes NaN over */
}

/* By how much, relative, the farthest repetition was off the median. */
static double reach(const struct clfcn_bench_time *t)
{
    return fmax(t->highest / t->ms, t->ms / t->lowest) - 1;
}

/* What makes a run noisy comes and goes, and would have met a step as well as an
 * inference: neither is surer than their repetitions reached. */
static void set_unsure_of_run(struct clfcn_bench_run *run)
{
    const double most = run->noisy ? fmax(reach(&run->train), reach(&run->infer)) : NAN;
    set_unsure(&run->train, run);
    set_unsure(&run->infer, run);
    run->train.unsure = fmax(run->train.unsure, most);
    run->infer.unsure = fmax(run->infer.unsure, most);
}

static bool alike(const struct clfcn_bench_run *a, const struct clfcn_bench_run *b)
{
    return strcmp(a->arch, b->arch) == 0 && strcmp(a->backbone, b->backbone) == 0 &&
           a->width == b->width && a->height == b->height && a->batch == b->batch &&
           a->classes == b->classes && strcmp(a->loss, b->loss) == 0 &&
           strcmp(a->optimizer, b->optimizer) == 0;
}

static void group(struct clfcn_compare *c)
{
    for (int i = 0; i < c->count; ++i) {
        int g = 0;
        while (g < c->group_count &&
               !alike(&c->runs[c->groups[g].runs[0]], &c->runs[i])) {
            ++g;
        }
        if (g == c->group_count) {
            c->groups[c->group_count++].base = -1;
        }
        const int base = c->groups[g].base;
        if (!c->runs[i].failure &&
            (base < 0 || (isnan(c->runs[base].train.ms) && c->runs[i].train.ms > 0))) {
            c->groups[g].base = i;
        }
        c->groups[g].runs[c->groups[g].count++] = i;
    }
}

/* A run that is alone is nothing to compare, unless there is no other at all. */
static int leave_out(struct clfcn_compare *c, struct clfcn_err *err)
{
    int kept = 0;
    if (c->count == 1) {
        return CLFCN_OK;
    }
    for (int g = 0; g < c->group_count; ++g) {
        if (c->groups[g].count > 1) {
            c->groups[kept++] = c->groups[g];
        } else {
            c->left_out[c->left_out_count++] = c->groups[g].runs[0];
        }
    }
    c->group_count = kept;
    return kept > 0 ? CLFCN_OK
                    : clfcn_err_set(err, CLFCN_EDATA, 0,
                                    "nothing to compare: no two runs are of the same "
                                    "network, size, batch, classes, loss and optimiser");
}

/* Letters in the order in which runs are shown. */
static void name_runs(struct clfcn_compare *c)
{
    char next = 'A';
    for (int i = 0; i < c->count; ++i) {
        c->runs[i].letter = '?';
    }
    for (int g = 0; g < c->group_count; ++g) {
        for (int i = 0; i < c->groups[g].count; ++i) {
            struct clfcn_bench_run *run = &c->runs[c->groups[g].runs[i]];
            run->letter = next++;
            run->place = i;
        }
    }
}

int clfcn_compare_open(struct clfcn_compare *c, const char *const *files, int count,
                       struct clfcn_err *err)
{
    *c = (struct clfcn_compare){ 0 };
    int rc = CLFCN_OK;
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        const int first = c->count;
        rc = clfcn_bench_file_read(files[i], c->runs, &c->count, err);
        for (int k = first; k < c->count; ++k) {
            c->runs[k].file_number = i;
        }
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < c->count; ++i) {
        if (!c->runs[i].failure) {
            set_unsure_of_run(&c->runs[i]);
        }
    }
    group(c);
    rc = leave_out(c, err);
    name_runs(c);
    return rc;
}

void clfcn_compare_close(struct clfcn_compare *c)
{
    for (int i = 0; i < c->count; ++i) {
        clfcn_bench_run_free(&c->runs[i]);
    }
    *c = (struct clfcn_compare){ 0 };
}

struct clfcn_compare_ratio clfcn_compare_ratio(const struct clfcn_bench_time *base,
                                               const struct clfcn_bench_time *other)
{
    const double off = (1 + base->unsure) * (1 + other->unsure);
    struct clfcn_compare_ratio r = { .value = base->ms / other->ms };
    r.low = r.value / off;
    r.high = r.value * off;
    r.differs = r.low > 1 || r.high < 1;
    return r;
}

void clfcn_compare_title(const struct clfcn_bench_run *run, char *buf, size_t n)
{
    snprintf(buf, n, "%s on %s, %dx%d, batch %d, %d classes, %s, %s", run->arch,
             run->backbone, run->width, run->height, run->batch, run->classes, run->loss,
             run->optimizer);
}

/* --- slower --- */

/* Of the first file, what a run of a later one is held against; NULL: nothing is like it.
 */
static const struct clfcn_bench_run *base_of(const struct clfcn_compare *c,
                                             const struct clfcn_bench_run *run)
{
    const struct clfcn_bench_run *base = NULL;
    for (int i = 0; i < c->count && c->runs[i].file_number == 0; ++i) {
        const struct clfcn_bench_run *r = &c->runs[i];
        if (r->failure || !alike(r, run)) {
            continue;
        }
        if (strcmp(r->hardware, run->hardware) == 0) {
            return r;
        }
        base = base ? base : r;
    }
    return base;
}

static void note_slower(struct clfcn_strbuf *found, const char *what,
                        const struct clfcn_bench_run *run,
                        const struct clfcn_bench_time *base,
                        const struct clfcn_bench_time *other, double limit)
{
    const double slower = other->ms / base->ms - 1;
    char ms[CLFCN_NUMBER_LEN], was[CLFCN_NUMBER_LEN];
    if (isnan(other->ms) && base->ms > 0) {
        clfcn_strbuf_add(found, "%s%s: %s of %s/%s on %s was too slow to be measured",
                         found->len ? "; " : "", run->file, what, run->arch,
                         run->backbone, run->hardware);
    }
    if (slower > limit && clfcn_compare_ratio(base, other).differs) {
        clfcn_strbuf_add(found,
                         "%s%s: %s of %s/%s on %s is %.1f %% slower (%s ms, was "
                         "%s ms)",
                         found->len ? "; " : "", run->file, what, run->arch,
                         run->backbone, run->hardware, 100 * slower,
                         clfcn_format_number(other->ms, 4, ms),
                         clfcn_format_number(base->ms, 4, was));
    }
}

static void note_run(struct clfcn_strbuf *found, const struct clfcn_bench_run *base,
                     const struct clfcn_bench_run *run, double limit)
{
    if (run->failure) {
        clfcn_strbuf_add(found, "%s%s: %s failed", found->len ? "; " : "", run->file,
                         run->hardware);
        return;
    }
    if (run->correct == CLFCN_WRONG) {
        clfcn_strbuf_add(found, "%s%s: %s computes wrongly", found->len ? "; " : "",
                         run->file, run->hardware);
    }
    note_slower(found, "training step", run, &base->train, &run->train, limit);
    note_slower(found, "inference", run, &base->infer, &run->infer, limit);
}

int clfcn_compare_slower(const struct clfcn_compare *c, double limit,
                         struct clfcn_err *err)
{
    struct clfcn_strbuf found = { 0 };
    int rc = CLFCN_OK, held = 0;
    for (int i = 0; i < c->count && rc == CLFCN_OK; ++i) {
        const struct clfcn_bench_run *run = &c->runs[i];
        const struct clfcn_bench_run *base = base_of(c, run);
        if (run->file_number == 0) {
            continue;
        }
        if (base) {
            note_run(&found, base, run, limit);
            ++held;
        }
        if (i + 1 == c->count || c->runs[i + 1].file_number != run->file_number) {
            if (held == 0) {
                rc = clfcn_err_set(err, CLFCN_EDATA, 0,
                                   "%s: it holds nothing to compare with %s: other "
                                   "networks, sizes or batches",
                                   run->file, c->runs[0].file);
            }
            held = 0;
        }
    }
    if (rc == CLFCN_OK && found.failed) {
        rc = clfcn_err_nomem(err);
    } else if (rc == CLFCN_OK && found.len > 0) {
        rc = clfcn_err_set(err, CLFCN_ENUMERIC, 0, "%s; allowed are %g %%", found.str,
                           100 * limit);
    }
    clfcn_strbuf_free(&found);
    return rc;
}

/* --- roofline --- */

bool clfcn_compare_point(const struct clfcn_bench_pass *pass, double *intensity,
                         double *gflops)
{
    if (!(pass->own_flop > 0) || !(pass->bytes > 0) || !(pass->ms > 0)) {
        return false;
    }
    *intensity = pass->own_flop / pass->bytes;
    *gflops = pass->own_flop / pass->ms / 1e6;
    /* Nothing that was measured lies beyond; a file may hold anything. */
    return *intensity > 1e-9 && *intensity < 1e12 && *gflops > 1e-9 && *gflops < 1e12;
}

void clfcn_compare_roof(const struct clfcn_bench_run *run, struct clfcn_compare_roof *out)
{
    const double peak = fmax(run->peak_gflops, fmax(run->peak_before, run->peak_after));
    const double cache = fmax(run->gbps, run->cache_gbps);
    double most = 1;
    *out = (struct clfcn_compare_roof){ .gflops = peak,
                                        .gbps = run->gbps,
                                        .cache_gbps = cache };
    for (int i = 0; i < run->layer_count; ++i) {
        const struct clfcn_bench_layer *l = &run->layers[i];
        for (int p = 0; p < l->pass_count; ++p) {
            double intensity, gflops;
            if (!clfcn_compare_point(&l->passes[p], &intensity, &gflops)) {
                continue;
            }
            const double over = fmax(gflops / peak, gflops / intensity / cache);
            if (over > most) {
                most = over;
                out->raised_by = l->name;
            }
            out->gflops = fmax(out->gflops, gflops);
            out->cache_gbps = fmax(out->cache_gbps, gflops / intensity);
        }
    }
}
