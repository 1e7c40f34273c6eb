#include "fit.h"

#include "../util/strbuf.h"
#include "estimate.h"

static const double LAST_RESORT_MS = 1e9;

/* Segments worth running again: those with an activation of their own and a backward
 * pass. Their bits, and what their forward pass costs but for the last op's. */
struct segments {
    unsigned bits;
    double ms[32];
};

static struct segments find_segments(const struct clfcn_net *net)
{
    const struct clfcn_graph *g = &net->graph;
    struct segments s = { 0 };
    for (int i = 0; i + 1 < g->op_count; ++i) {
        if (g->segment[i + 1] == g->segment[i] && g->active[i + 1]) {
            s.bits |= 1u << g->segment[i];
            s.ms[g->segment[i]] += clfcn_estimate_forward(net, i);
        }
    }
    return s;
}

/* Milliseconds; moving things to the host's memory counts as very long where it is the
 * device's too, and saves the user nothing. */
static double cost_of(const struct clfcn_net *net, const struct segments *s,
                      const struct clfcn_thrift *thrift)
{
    double ms = clfcn_estimate_level(net, thrift->level);
    for (int i = 0; i < 32; ++i) {
        ms += thrift->again >> i & 1 ? s->ms[i] : 0.0;
    }
    if (thrift->level >= CLFCN_HOST_STATES && net->dev->info.unified_memory) {
        ms += LAST_RESORT_MS * (double)thrift->level;
    }
    return ms;
}

struct best {
    struct clfcn_thrift thrift;
    bool fits;
    double cost;
    size_t bytes;
};

/* Lay out with thrift and see whether that is better. */
static int try_thrift(struct clfcn_net *net, const struct segments *s,
                      const struct clfcn_thrift *thrift, size_t limit, struct best *best,
                      struct clfcn_err *err)
{
    const double cost = cost_of(net, s, thrift);
    if (best->fits && cost >= best->cost) {
        return CLFCN_OK;
    }
    net->thrift = *thrift;
    const int rc = clfcn_net_lay_out(net, best->fits ? limit + 1 : best->bytes, err);
    const size_t bytes = net->memory.total;
    const bool fits = bytes <= limit;
    if (rc == CLFCN_OK && (fits || (!best->fits && bytes < best->bytes))) {
        *best = (struct best){ *thrift, fits, cost, bytes };
    }
    return rc;
}

/* There are few segments, and laying out takes a tenth of a millisecond: so all subsets
 * are tried. */
int clfcn_fit_thrift(struct clfcn_net *net, size_t limit, struct clfcn_err *err)
{
    const struct segments s = find_segments(net);
    struct best best = { .bytes = SIZE_MAX };
    int rc = CLFCN_OK;
    for (int level = CLFCN_SHARE_WORKSPACE; rc == CLFCN_OK && level <= CLFCN_HOST_WEIGHTS;
         ++level) {
        unsigned subset = 0;
        do {
            const struct clfcn_thrift thrift = { .level = (enum clfcn_level)level,
                                                 .again = subset };
            rc = try_thrift(net, &s, &thrift, limit, &best, err);
            subset = (subset - s.bits) & s.bits; /* the next subset, in order */
        } while (rc == CLFCN_OK && subset != 0);
    }
    if (rc == CLFCN_OK) {
        net->thrift = best.thrift;
        rc = clfcn_net_lay_out(net, SIZE_MAX, err);
    }
    return rc;
}

bool clfcn_fits_better(const struct clfcn_net *a, const struct clfcn_net *b, size_t limit)
{
    const bool a_fits = a->memory.total <= limit, b_fits = b->memory.total <= limit;
    if (a_fits != b_fits) {
        return a_fits;
    }
    if (!a_fits) {
        return a->memory.total < b->memory.total;
    }
    const enum clfcn_level a_level = a->thrift.level, b_level = b->thrift.level;
    const bool host = a_level >= CLFCN_HOST_STATES || b_level >= CLFCN_HOST_STATES;
    if (a->dev->info.unified_memory && host && a_level != b_level) {
        return a_level < b_level;
    }
    return clfcn_estimate_run(a, NULL) < clfcn_estimate_run(b, NULL);
}

/* "conv1_1-conv1_2, deconv5": what every segment that is run again makes anew. */
static void list_again(const struct clfcn_net *net, struct clfcn_strbuf *sb)
{
    const struct clfcn_graph *g = &net->graph;
    const char *separator = "";
    for (int begin = 0, end; begin < g->op_count; begin = end) {
        for (end = begin + 1;
             end < g->op_count && g->segment[end] == g->segment[begin];) {
            ++end;
        }
        if (end - begin > 1 && net->thrift.again >> g->segment[begin] & 1) {
            clfcn_strbuf_add(sb, "%s%s", separator, g->ops[begin]->name);
            if (end - begin > 2) {
                clfcn_strbuf_add(sb, "-%s", g->ops[end - 2]->name);
            }
            separator = ", ";
        }
    }
}

char *clfcn_thrift_describe(const struct clfcn_net *net)
{
    struct clfcn_strbuf sb = { 0 };
    char room[32];
    const enum clfcn_level level = net->thrift.level;
    const size_t workspace = net->columns_bytes + net->scratch_bytes;
    clfcn_strbuf_add(&sb, "a workspace of %s%s",
                     clfcn_format_bytes(workspace, room, sizeof(room)),
                     level >= CLFCN_SHARE_WORKSPACE ? " among the activations" : "");
    if (level >= CLFCN_UPDATE_EACH) {
        clfcn_strbuf_add(&sb, "; weights updated layer by layer");
    }
    if (level >= CLFCN_HOST_STATES) {
        clfcn_strbuf_add(&sb, "; %s of %s in host memory",
                         clfcn_format_bytes(net->memory.host, room, sizeof(room)),
                         level >= CLFCN_HOST_WEIGHTS ? "weights and optimizer state"
                                                     : "optimizer state");
    }
    if (net->thrift.again) {
        clfcn_strbuf_add(&sb, "; activations made a second time: ");
        list_again(net, &sb);
    }
    if (sb.failed) {
        clfcn_strbuf_free(&sb);
    }
    return sb.str;
}
