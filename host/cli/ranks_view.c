/* ranks_view.c - what `clfcn plan --ranks` prints. */
#include "ranks.h"

#include "../train/runlog.h"
#include "../util/json.h"
#include "../util/strbuf.h"
#include <math.h>

/* Below it more devices do less than half of what they could. */
static const double POOR = 0.5;

static const struct {
    const char *name, *text, *help;
} limits[] = {
    [CLFCN_LIMIT_SHARE] = { "share",
                            "what does not get less with a rank's share, or uneven "
                            "shares",
                            "a larger --batch" },
    [CLFCN_LIMIT_LATENCY] = { "latency", "the link's latency", "more images a rank" },
    [CLFCN_LIMIT_BANDWIDTH] = { "bandwidth", "the link's bandwidth",
                                "more images a rank" },
    [CLFCN_LIMIT_COPY] = { "copies", "copies between device and host",
                           "more images a rank" },
    [CLFCN_LIMIT_NORM] = { "batch norm", "waiting for batch norm's sums",
                           "--sync-bn off" },
};

/* A row of several ranks that can be, or NULL: the first below POOR, or else the last. */
static const struct cli_ranks_row *worth_a_word(const struct cli_ranks_table *t)
{
    const struct cli_ranks_row *last = NULL;
    for (int i = 1; i < t->count; ++i) {
        const struct cli_ranks_row *row = &t->rows[i];
        if (row->fits && isfinite(row->efficiency)) {
            last = row;
            if (row->efficiency < POOR) {
                break;
            }
        }
    }
    return last;
}

/* A sentence; empty if there is nothing to say. */
static void advise(const struct cli_ranks *r, const struct cli_ranks_table *t, char *text,
                   size_t n)
{
    const struct cli_ranks_row *row = worth_a_word(t);
    text[0] = '\0';
    if (!row) {
        return;
    }
    const bool halve =
        row->limit == CLFCN_LIMIT_BANDWIDTH && r->link.wire == CLFCN_WIRE_FP32;
    if (row->efficiency < POOR) {
        snprintf(text, n, "Below %.0f %% with %d ranks, by %s; %s%s would help.",
                 100 * POOR, row->ranks, limits[row->limit].text,
                 halve ? "--exchange fp16 or " : "", limits[row->limit].help);
    } else {
        snprintf(text, n, "At least %.0f %% up to %d ranks, which lose most by %s.",
                 100 * POOR, row->ranks, limits[row->limit].text);
    }
}

/* --- JSON --- */

static json_t *row_to_json(const struct cli_ranks_row *row)
{
    json_t *o = json_pack("{si si sb}", "ranks", row->ranks, "share", row->share, "fits",
                          (int)row->fits);
    if (!o || !row->known) {
        return o;
    }
    const struct clfcn_scaled_step *s = &row->step;
    json_t *rest = json_pack(
        "{sf sf sf sf sf sf sf sf sf so so so}", "step_ms", s->step_ms, "compute_ms",
        s->compute_ms, "norm_ms", s->norm_ms, "exchange_ms", s->exchange_ms, "hidden_ms",
        s->hidden_ms, "latency_ms", s->latency_ms, "link_ms", s->link_ms, "copy_ms",
        s->copy_ms, "images_per_s", row->images_per_s, "speedup",
        clfcn_json_number(row->speedup), "efficiency", clfcn_json_number(row->efficiency),
        "limit",
        row->ranks > 1 && isfinite(row->efficiency) ? json_string(limits[row->limit].name)
                                                    : json_null());
    if (!rest || json_object_update(o, rest) < 0) {
        json_decref(o);
        o = NULL;
    }
    json_decref(rest);
    return o;
}

static json_t *table_to_json(const struct cli_ranks *r, const struct cli_ranks_table *t)
{
    char advice[256];
    json_t *rows = json_array();
    for (int i = 0; i < t->count; ++i) {
        clfcn_json_append(&rows, row_to_json(&t->rows[i]));
    }
    advise(r, t, advice, sizeof(advice));
    return json_pack("{so ss}", "rows", rows, "advice", advice);
}

/* A row whose numbers are known, or NULL. */
static const struct cli_ranks_row *known_row(const struct cli_ranks_forecast *f)
{
    const struct cli_ranks_table *const tables[] = { &f->strong, &f->weak };
    const struct cli_ranks_row *found = NULL;
    for (int k = 0; k < CLFCN_ARRAY_LEN(tables); ++k) {
        for (int i = 0; i < tables[k]->count; ++i) {
            found = tables[k]->rows[i].known ? &tables[k]->rows[i] : found;
        }
    }
    return found;
}

json_t *cli_ranks_to_json(const struct cli_ranks *r, const struct cli_ranks_forecast *f)
{
    const struct cli_ranks_row *row = known_row(f);
    json_t *o = json_pack(
        "{so ss so sf sb sf sb sf sb ss ss so so}", "step_ms",
        clfcn_json_number(f->step_ms), "step_from",
        r->measured         ? r->measured
        : isnan(r->step.ms) ? "estimate"
                            : "--step-ms",
        "backward_share", clfcn_json_number(f->backward_share), "bytes_per_s",
        r->link.bytes_per_s, "bandwidth_assumed", (int)r->assumed_bandwidth, "latency_us",
        1e6 * r->link.latency_s, "latency_assumed", (int)r->assumed_latency,
        "copy_bytes_per_s", r->link.copy_bytes_per_s, "copy_rate_assumed",
        (int)r->assumed_copy, "exchange", clfcn_wire_name(r->link.wire), "sync_bn",
        clfcn_sync_bn_name(r->sync_bn), "gradient_bytes",
        row ? json_integer((json_int_t)row->step.bytes) : json_null(), "buckets",
        row && row->ranks > 1 ? json_integer(row->step.buckets) : json_null());
    if (o && f->strong.count > 0) {
        clfcn_json_set(&o, "strong", table_to_json(r, &f->strong));
    }
    if (o && f->weak.count > 0) {
        clfcn_json_set(&o, "weak", table_to_json(r, &f->weak));
    }
    return o;
}

/* --- text --- */

static void print_row(const struct cli_ranks_row *row)
{
    const struct clfcn_scaled_step *s = &row->step;
    char ms[CLFCN_NUMBER_LEN], sum[CLFCN_NUMBER_LEN] = "-", norm[CLFCN_NUMBER_LEN] = "-";
    char rate[CLFCN_NUMBER_LEN], hidden[16] = "-", faster[16] = "-", efficiency[16] = "-";
    printf("%5d", row->ranks);
    if (!row->known) {
        printf("  %s\n", row->share > 0 ? "a share does not fit into a device's memory"
                                        : "there are fewer images than ranks");
        return;
    }
    if (row->ranks > 1) {
        clfcn_format_number(s->exchange_ms, 3, sum);
        clfcn_format_number(s->norm_ms, 3, norm);
    }
    if (s->exchange_ms > 0) {
        snprintf(hidden, sizeof(hidden), "%.0f", 100 * s->hidden_ms / s->exchange_ms);
    }
    if (isfinite(row->efficiency)) {
        snprintf(faster, sizeof(faster), "%.2f", row->speedup);
        snprintf(efficiency, sizeof(efficiency), "%.1f", 100 * row->efficiency);
    }
    printf(" %6d %9s %12s %9s %8s %9s %9s %13s%s\n", row->share,
           clfcn_format_number(s->step_ms, 4, ms), sum, hidden, norm,
           clfcn_format_number(row->images_per_s, 4, rate), faster, efficiency,
           row->fits ? "" : "  too large");
}

static void print_table(const struct cli_ranks *r, const char *title,
                        const struct cli_ranks_table *t)
{
    char advice[256];
    if (t->count == 0) {
        return;
    }
    printf("\n%s\n", title);
    cli_heading("%5s %6s %9s %12s %9s %8s %9s %9s %13s", "ranks", "share", "step ms",
                "exchange ms", "hidden %", "norm ms", "images/s", "speed-up",
                "efficiency %");
    for (int i = 0; i < t->count; ++i) {
        print_row(&t->rows[i]);
    }
    advise(r, t, advice, sizeof(advice));
    if (*advice) {
        printf("%s\n", advice);
    }
}

static void print_step(const struct cli_ranks *r, const struct cli_ranks_forecast *f)
{
    char ms[CLFCN_NUMBER_LEN];
    if (!isfinite(f->step_ms)) {
        printf("%-16s not possible\n", "on one rank");
        return;
    }
    printf("%-16s %8s ms   %s%s, backward pass %.0f %%\n", "on one rank",
           clfcn_format_number(f->step_ms, 4, ms),
           isnan(r->step.ms) ? "as estimated"
           : r->measured     ? "by "
                             : "as --step-ms says",
           r->measured ? r->measured : "", 100 * f->backward_share);
}

void cli_ranks_print(const struct cli_ranks *r, const struct cli_ranks_forecast *f)
{
    const struct cli_ranks_row *row = known_row(f);
    char bytes[CLI_BYTES_LEN], title[64];
    const char *const assumed = ", assumed";
    printf("\n");
    print_step(r, f);
    if (row) {
        printf("%-16s %12s as fp32 numbers, sent as %s%s", "gradients",
               cli_format_bytes((uint64_t)row->step.bytes, bytes),
               clfcn_wire_name(r->link.wire), row->ranks > 1 ? "" : "\n");
    }
    if (row && row->ranks > 1) {
        printf(" in %d bucket%s\n", row->step.buckets, row->step.buckets == 1 ? "" : "s");
    }
    printf("%-16s %8.4g Gbit/s each way%s\n", "bandwidth", 8e-9 * r->link.bytes_per_s,
           r->assumed_bandwidth ? assumed : "");
    printf("%-16s %8.4g us a message%s\n", "latency", 1e6 * r->link.latency_s,
           r->assumed_latency ? assumed : "");
    printf("%-16s %8.4g GB/s between device and host%s\n", "copies",
           1e-9 * r->link.copy_bytes_per_s, r->assumed_copy ? assumed : "");
    printf("%-16s %s\n", "batch norm",
           r->sync_bn == CLFCN_SYNC_BN_ON    ? "over all ranks"
           : r->sync_bn == CLFCN_SYNC_BN_OFF ? "each rank's own"
                                             : "over all ranks, if one has fewer than "
                                               "8 images");
    if (f->strong.count > 0) {
        snprintf(title, sizeof(title), "Strong scaling: %d images for all ranks together",
                 f->strong.rows[0].share);
        print_table(r, title, &f->strong);
    }
    if (f->weak.count > 0) {
        snprintf(title, sizeof(title), "Weak scaling: %d images for each rank",
                 f->weak.rows[0].share);
        print_table(r, title, &f->weak);
    }
}
