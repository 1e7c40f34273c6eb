#include "scaling.h"

#include <math.h>

double clfcn_step_backward_ms(const struct clfcn_step_times *t)
{
    double ms = 0.0;
    for (int i = 0; i < t->layer_count; ++i) {
        ms += t->layers[i].ms;
    }
    return ms;
}

double clfcn_step_ms(const struct clfcn_step_times *t)
{
    return t->forward_ms + clfcn_step_backward_ms(t) + t->rest_ms;
}

double clfcn_step_bytes(const struct clfcn_step_times *t)
{
    double bytes = 0.0;
    for (int i = 0; i < t->layer_count; ++i) {
        bytes += t->layers[i].bytes;
    }
    return bytes;
}

struct clfcn_step_factors clfcn_step_compare(const struct clfcn_step_times *estimate,
                                             double ms, double backward_share)
{
    const double all = ms / clfcn_step_ms(estimate);
    struct clfcn_step_factors f = { all, all, all };
    const double forward = estimate->forward_ms;
    const double backward = clfcn_step_backward_ms(estimate);
    if (!isnan(backward_share) && forward > 0 && backward > 0) {
        const double passes = all * (forward + backward);
        f.forward = (1.0 - backward_share) * passes / forward;
        f.backward = backward_share * passes / backward;
    }
    return f;
}

void clfcn_step_multiply(struct clfcn_step_times *t, const struct clfcn_step_factors *f)
{
    t->forward_ms *= f->forward;
    for (int i = 0; i < t->layer_count; ++i) {
        t->layers[i].ms *= f->backward;
    }
    t->rest_ms *= f->rest;
}

/* Waiting for so many numbers a channel in one pass of a batch norm. */
static double norm_ms(const struct clfcn_link *link, int ranks, int channels, int numbers)
{
    const double bytes = (double)numbers * sizeof(double) * channels;
    return link->sync_norm && channels > 0
               ? 1e3 * (ranks - 1) * (link->latency_s + bytes / link->bytes_per_s)
               : 0.0;
}

/* Send a bucket of so many bytes of floats; returns how long that takes. */
static double exchange(const struct clfcn_link *link, int ranks, double bytes,
                       struct clfcn_scaled_step *out)
{
    const double width = link->wire == CLFCN_WIRE_FP16 ? 0.5 : 1.0;
    const double peers = ranks - 1;
    const double latency = 1e3 * 2.0 * peers * link->latency_s;
    const double sent = 1e3 * 2.0 * peers / ranks * width * bytes / link->bytes_per_s;
    const double copied = 1e3 * 2.0 * bytes / link->copy_bytes_per_s;
    out->latency_ms += latency;
    out->link_ms += sent;
    out->copy_ms += copied;
    out->buckets += 1;
    return latency + sent + copied;
}

void clfcn_scale_step(const struct clfcn_step_times *share, const struct clfcn_link *link,
                      int ranks, struct clfcn_scaled_step *out)
{
    double now = 0.0, link_free = 0.0; /* ms since the backward pass began */
    double bucket = 0.0;
    const double full = share->each ? 1.0 : CLFCN_EXCHANGE_BUCKET_BYTES;
    int end = share->layer_count; /* of what has gradients */
    while (end > 0 && share->layers[end - 1].bytes == 0) {
        --end;
    }
    *out = (struct clfcn_scaled_step){ .compute_ms = clfcn_step_ms(share),
                                       .bytes = clfcn_step_bytes(share) };
    for (int i = 0; ranks > 1 && i < share->layer_count; ++i) {
        const struct clfcn_step_layer *layer = &share->layers[i];
        const double wait = norm_ms(link, ranks, layer->norm_channels, 2);
        out->norm_ms += norm_ms(link, ranks, layer->norm_channels, 3) + wait;
        now += wait + layer->ms;
        bucket += layer->bytes;
        if (bucket > 0 && (bucket >= full || i + 1 == end)) {
            link_free = fmax(now, link_free) + exchange(link, ranks, bucket, out);
            bucket = 0.0;
        }
    }
    const double exposed = fmax(link_free - now, 0.0);
    out->exchange_ms = out->latency_ms + out->link_ms + out->copy_ms;
    out->hidden_ms = fmax(out->exchange_ms - exposed, 0.0);
    out->step_ms = out->compute_ms + out->norm_ms + exposed;
}

enum clfcn_scaling_limit clfcn_scaling_limit(const struct clfcn_scaled_step *step,
                                             double ideal_ms)
{
    const double seen = step->exchange_ms > 0
                            ? (step->exchange_ms - step->hidden_ms) / step->exchange_ms
                            : 0.0;
    const double lost[] = {
        [CLFCN_LIMIT_SHARE] = step->compute_ms - ideal_ms,
        [CLFCN_LIMIT_LATENCY] = seen * step->latency_ms,
        [CLFCN_LIMIT_BANDWIDTH] = seen * step->link_ms,
        [CLFCN_LIMIT_COPY] = seen * step->copy_ms,
        [CLFCN_LIMIT_NORM] = step->norm_ms,
    };
    int worst = 0;
    for (int i = 1; i < CLFCN_ARRAY_LEN(lost); ++i) {
        worst = lost[i] > lost[worst] ? i : worst;
    }
    return (enum clfcn_scaling_limit)worst;
}
