/* bench_csv.c - clfcn bench --csv: a row per layer and pass, and per whole run. */
#include "../ops/conv.h"
#include "bench.h"
#include <math.h>

void cli_bench_csv_begin(struct clfcn_strbuf *out)
{
    clfcn_strbuf_add(out, "device,arch,backbone,width,height,batch,classes,layer,kind,"
                          "pass,algorithm,ms,gflops,own_gflops,bytes,error,correct\n");
}

/* Quoted as RFC 4180 has it. */
static void add_text(struct clfcn_strbuf *out, const char *text)
{
    clfcn_strbuf_add(out, "\"");
    for (const char *s = text; *s; ++s) {
        clfcn_strbuf_add(out, *s == '"' ? "\"\"" : "%c", *s);
    }
    clfcn_strbuf_add(out, "\",");
}

/* Empty where it is not known. */
static void add_number(struct clfcn_strbuf *out, double v)
{
    if (isfinite(v) && v >= 0) {
        clfcn_strbuf_add(out, "%.6g", v);
    }
    clfcn_strbuf_add(out, ",");
}

struct row {
    const char *layer, *kind, *pass, *algorithm;
    double ms, gflops, own_gflops, bytes;
    struct clfcn_net_verdict verdict;
};

static void add_row(struct clfcn_strbuf *out, const struct cli_bench *b,
                    const struct row *r)
{
    char device[512];
    const struct clfcn_net_desc *d = &b->desc;
    clfcn_dev_describe(clfcn_dev_get_info(b->dev), device, sizeof(device));
    add_text(out, device);
    clfcn_strbuf_add(out, "%s,%s,%d,%d,%d,%d,", clfcn_arch_name(d->arch),
                     clfcn_backbone_name(d->backbone), d->width, d->height, d->batch,
                     d->classes);
    add_text(out, r->layer);
    add_text(out, r->kind);
    add_text(out, r->pass);
    add_text(out, r->algorithm);
    add_number(out, r->ms);
    add_number(out, r->gflops);
    add_number(out, r->own_gflops);
    add_number(out, r->bytes);
    add_number(out, r->verdict.checked ? r->verdict.error : NAN);
    clfcn_strbuf_add(out, "%s\n",
                     !r->verdict.checked  ? ""
                     : r->verdict.correct ? "true"
                                          : "false");
}

static void add_layer(struct clfcn_strbuf *out, const struct cli_bench *b, int layer)
{
    struct clfcn_net_layer l;
    cli_bench_layer(b, layer, &l);
    for (int i = 0; i < CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_net_pass *p = &l.pass[i];
        struct row r = { .layer = l.name,
                         .kind = l.kind,
                         .pass = clfcn_pass_name((enum clfcn_pass)i),
                         .algorithm = cli_bench_algorithm(p),
                         .ms = p->ms,
                         .gflops = cli_bench_rate(p->flop, p->ms),
                         .own_gflops = cli_bench_rate(p->own_flop, p->ms),
                         .bytes = p->bytes };
        if (b->verdicts) {
            r.verdict = b->verdicts[layer][i];
        }
        if (p->ms >= 0) {
            add_row(out, b, &r);
        }
    }
    if (l.rest_ms >= 0) {
        const bool weights = l.backward_flop > 0;
        struct row r = { .layer = l.name,
                         .kind = l.kind,
                         .pass = weights ? "rest of backward" : "backward",
                         .algorithm = "direct",
                         .ms = l.rest_ms,
                         .gflops = NAN,
                         .own_gflops = NAN,
                         .bytes = NAN };
        if (b->verdicts && !weights) {
            r.verdict = b->verdicts[layer][CLFCN_PASS_INPUT];
        }
        add_row(out, b, &r);
    }
}

void cli_bench_csv_add(struct clfcn_strbuf *out, const struct cli_bench *b)
{
    const struct clfcn_net_verdict all = {
        .checked = b->checks.done,
        .correct = cli_bench_verdict(b, NULL) == CLFCN_OK,
        .error = b->checks.worst,
    };
    struct row r = { .layer = "",
                     .kind = "network",
                     .pass = "training step",
                     .algorithm = "",
                     .ms = b->train.median,
                     .gflops = NAN,
                     .own_gflops = NAN,
                     .bytes = NAN,
                     .verdict = all };
    add_row(out, b, &r);
    r.pass = "inference";
    r.ms = b->infer.median;
    add_row(out, b, &r);
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        add_layer(out, b, i);
    }
}
