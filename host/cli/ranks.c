#include "ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LOWEST_RATE = 1e3, HIGHEST_RATE = 1e15; /* bytes a second */
static const double HIGHEST_LATENCY = 10.0;

const char *cli_choice_scaling(int i)
{
    static const char *const names[] = { "both", "strong", "weak" };
    return i < CLFCN_ARRAY_LEN(names) ? names[i] : NULL;
}

/* --- options --- */

static const struct cli_option *given(const struct cli_option *options, const char *name)
{
    while (strcmp(options->name, name) != 0) {
        ++options;
    }
    return options->raw ? options : NULL;
}

static int ascending(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static int read_list(struct cli_ranks *r, struct clfcn_err *err)
{
    int all[CLI_RANKS_MOST], n = 0;
    const char *s = r->list;
    bool more = true;
    while (more) {
        char *end;
        const long k = *s >= '0' && *s <= '9' ? strtol(s, &end, 10) : 0;
        if (k < 1 || k > CLI_RANKS_HIGHEST || (*end && *end != ',')) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--ranks %s: not numbers from 1 to %d, such as 2,8,64",
                                 r->list, CLI_RANKS_HIGHEST);
        }
        if (n == CLI_RANKS_MOST) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "--ranks %s: more than %d numbers",
                                 r->list, CLI_RANKS_MOST);
        }
        all[n++] = (int)k;
        more = *end == ',';
        s = end + 1;
    }
    qsort(all, (size_t)n, sizeof(all[0]), ascending);
    for (int i = 0; i < n; ++i) {
        if (all[i] > 1 && (r->count == 0 || all[i] != r->ranks[r->count - 1])) {
            r->ranks[r->count++] = all[i];
        }
    }
    return CLFCN_OK;
}

/* A number at s, behind which *end then is; NaN if there is none. */
static double read_number(const char *s, const char **end)
{
    char *stop = (char *)(uintptr_t)s;
    const double v = strchr(".0123456789", *s) && *s ? strtod(s, &stop) : NAN;
    *end = stop;
    return stop == s ? NAN : v;
}

/* Bytes a second from bits or bytes of them, with decimal prefixes as links have them. */
static int read_rate(const char *option, const char *text, double *out,
                     struct clfcn_err *err)
{
    static const char prefixes[] = "kMGT";
    const char *s;
    double v = read_number(text, &s);
    const char *p = *s ? strchr(prefixes, *s) : NULL;
    if (p) {
        v *= pow(10.0, 3.0 * (double)(p - prefixes + 1));
        ++s;
    }
    const bool bits = strcmp(s, "bit/s") == 0;
    if (isnan(v) || (!bits && strcmp(s, "B/s") != 0)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--%s %s: not a rate, such as 10Gbit/s or 1.2GB/s", option,
                             text);
    }
    *out = bits ? v / 8.0 : v;
    if (*out < LOWEST_RATE || *out > HIGHEST_RATE) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s %s: too %s", option, text,
                             *out < LOWEST_RATE ? "low" : "high");
    }
    return CLFCN_OK;
}

static int read_latency(const char *text, double *out, struct clfcn_err *err)
{
    const char *unit;
    const double v = read_number(text, &unit);
    const double factor = strcmp(unit, "us") == 0   ? 1e-6
                          : strcmp(unit, "ms") == 0 ? 1e-3
                                                    : NAN;
    if (isnan(v * factor)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--latency %s: not a time, such as 50us or 0.2ms", text);
    }
    *out = v * factor;
    return *out <= HIGHEST_LATENCY
               ? CLFCN_OK
               : clfcn_err_set(err, CLFCN_EINVAL, 0, "--latency %s: too long", text);
}

static int read_link(struct cli_ranks *r, const struct cli_option *options,
                     struct clfcn_err *err)
{
    r->assumed_bandwidth = !given(options, "bandwidth");
    r->assumed_latency = !given(options, "latency");
    r->assumed_copy = !given(options, "copy-rate");
    r->link.wire = r->exchange;
    int rc = read_rate("bandwidth", r->bandwidth, &r->link.bytes_per_s, err);
    if (rc == CLFCN_OK) {
        rc = read_latency(r->latency, &r->link.latency_s, err);
    }
    return rc == CLFCN_OK
               ? read_rate("copy-rate", r->copy, &r->link.copy_bytes_per_s, err)
               : rc;
}

static int read_step(struct cli_ranks *r, struct cli_option *options,
                     struct clfcn_err *err)
{
    r->step = (struct cli_measured){ .ms = NAN, .backward_share = NAN };
    if (r->measured && given(options, "step-ms")) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--step-ms and --measured: only one of them");
    }
    if (given(options, "step-ms")) {
        const struct cli_option *batch = options;
        while (strcmp(batch->name, "batch") != 0) {
            ++batch;
        }
        r->step.desc.batch = *(const int *)batch->target;
        r->step.ms = r->step_ms;
        return r->step_ms > 0
                   ? CLFCN_OK
                   : clfcn_err_set(err, CLFCN_EINVAL, 0, "--step-ms %g: must be positive",
                                   r->step_ms);
    }
    if (!r->measured) {
        return CLFCN_OK;
    }
    const int rc = cli_measured_read(r->measured, &r->step, err);
    return rc == CLFCN_OK ? cli_measured_adopt(&r->step, r->measured, options, err) : rc;
}

int cli_ranks_read(struct cli_ranks *r, struct cli_option *options, struct clfcn_err *err)
{
    static const char *const of_ranks[] = { "scaling",   "bandwidth", "latency",
                                            "copy-rate", "exchange",  "sync-bn",
                                            "step-ms",   "measured" };
    for (int i = 0; i < CLFCN_ARRAY_LEN(of_ranks) && !r->list; ++i) {
        if (given(options, of_ranks[i])) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s: needs --ranks",
                                 of_ranks[i]);
        }
    }
    if (!r->list) {
        return CLFCN_OK;
    }
    if (given(options, "inference")) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--ranks: says what training takes; leave out --inference");
    }
    int rc = read_list(r, err);
    if (rc == CLFCN_OK) {
        rc = read_link(r, options, err);
    }
    return rc == CLFCN_OK ? read_step(r, options, err) : rc;
}

/* --- forecast --- */

struct job {
    const struct cli_ranks *r;
    struct clfcn_dev *dev;
    const struct clfcn_net_desc *desc;
    const struct clfcn_net_options *how;
    struct clfcn_step_factors factors; /* from the estimate to what was measured */
    double alone_ms;                   /* of a step of the whole batch on one rank */
};

/* A step of so many images on one rank. *known: false if the device cannot do it. */
static int share_times(const struct job *job, int images, struct clfcn_step_times *out,
                       bool *known, bool *fits, struct clfcn_err *err)
{
    struct clfcn_net_desc desc = *job->desc;
    struct clfcn_net_memory memory;
    desc.batch = images;
    const int rc =
        clfcn_step_times_forecast(job->dev, &desc, job->how, out, &memory, err);
    *known = rc == CLFCN_OK;
    *fits = *known && cli_plan_fits(&memory, job->how->mem_bytes, &job->dev->info);
    if (*known) {
        clfcn_step_multiply(out, &job->factors);
    }
    return rc == CLFCN_EDEVMEM ? CLFCN_OK : rc;
}

/* What makes one rank's estimate the step that was measured. */
static int find_factors(struct job *job, struct clfcn_err *err)
{
    const struct cli_measured *m = &job->r->step;
    struct clfcn_net_desc desc = *job->desc;
    struct clfcn_step_times t;
    job->factors = (struct clfcn_step_factors){ 1.0, 1.0, 1.0 };
    if (isnan(m->ms)) {
        return CLFCN_OK;
    }
    desc.batch = m->desc.batch;
    const int rc = clfcn_step_times_forecast(job->dev, &desc, job->how, &t, NULL, err);
    if (rc == CLFCN_OK) {
        job->factors = clfcn_step_compare(&t, m->ms, m->backward_share);
    }
    return rc;
}

/* ranks with images for each of them: that of the rank that has most, in a batch of all
 * together. */
static int add_row(const struct job *job, int ranks, int share, double all,
                   struct cli_ranks_table *table, struct clfcn_err *err)
{
    struct cli_ranks_row *row = &table->rows[table->count++];
    struct clfcn_step_times t;
    *row = (struct cli_ranks_row){ .ranks = ranks, .share = share };
    const int rc =
        share > 0 ? share_times(job, share, &t, &row->known, &row->fits, err) : CLFCN_OK;
    if (rc == CLFCN_OK && row->known) {
        const double rate_alone = job->desc->batch / job->alone_ms;
        const int smallest = (int)(all / ranks);
        struct clfcn_link link = job->r->link;
        link.sync_norm = clfcn_sync_bn_wanted(job->r->sync_bn, smallest);
        clfcn_scale_step(&t, &link, ranks, &row->step);
        row->images_per_s = 1e3 * all / row->step.step_ms;
        row->speedup = all / row->step.step_ms / rate_alone;
        row->efficiency = row->speedup / ranks;
        row->limit = clfcn_scaling_limit(&row->step, all / ranks / rate_alone);
    }
    return rc;
}

static int add_rows(const struct job *job, bool weak, struct cli_ranks_table *table,
                    struct clfcn_err *err)
{
    const int batch = job->desc->batch;
    int rc = add_row(job, 1, batch, batch, table, err);
    for (int i = 0; i < job->r->count && rc == CLFCN_OK; ++i) {
        const int k = job->r->ranks[i];
        const int share = weak ? batch : k > batch ? 0 : (batch - 1) / k + 1;
        const double all = weak ? (double)batch * k : batch;
        rc = add_row(job, k, share, all, table, err);
    }
    return rc;
}

int cli_ranks_forecast(const struct cli_ranks *r, struct clfcn_dev *dev,
                       const struct clfcn_net_desc *desc,
                       const struct clfcn_net_options *how,
                       struct cli_ranks_forecast *out, struct clfcn_err *err)
{
    struct job job = { .r = r, .dev = dev, .desc = desc, .how = how, .alone_ms = NAN };
    struct clfcn_step_times alone;
    bool known, fits;
    *out = (struct cli_ranks_forecast){ .step_ms = NAN, .backward_share = NAN };
    int rc = find_factors(&job, err);
    if (rc == CLFCN_OK) {
        rc = share_times(&job, desc->batch, &alone, &known, &fits, err);
    }
    if (rc == CLFCN_OK && known) {
        const double backward = clfcn_step_backward_ms(&alone);
        job.alone_ms = out->step_ms = clfcn_step_ms(&alone);
        out->backward_share = backward / (alone.forward_ms + backward);
    }
    if (rc == CLFCN_OK && r->scaling != CLI_SCALING_WEAK) {
        rc = add_rows(&job, false, &out->strong, err);
    }
    if (rc == CLFCN_OK && r->scaling != CLI_SCALING_STRONG) {
        rc = add_rows(&job, true, &out->weak, err);
    }
    return rc;
}

bool cli_ranks_any_fits(const struct cli_ranks_forecast *f)
{
    bool any = false;
    for (int i = 1; i < f->strong.count; ++i) {
        any = any || f->strong.rows[i].fits;
    }
    for (int i = 1; i < f->weak.count; ++i) {
        any = any || f->weak.rows[i].fits;
    }
    return any;
}
