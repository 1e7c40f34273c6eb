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
    double ms = thrift->update_each ? clfcn_estimate_update_each(net) : 0.0;
    for (int i = 0; i < 32; ++i) {
        ms += thrift->again >> i & 1 ? s->ms[i] : 0.0;
    }
    if (thrift->host_states) {
        ms += clfcn_estimate_host_states(net);
        ms += net->dev->info.unified_memory ? LAST_RESORT_MS : 0.0;
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
    const int rc = clfcn_net_lay_out(net, err);
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
    for (int updates = 0; rc == CLFCN_OK && updates < 3; ++updates) {
        unsigned subset = 0;
        do {
            const struct clfcn_thrift thrift = { .again = subset,
                                                 .update_each = updates > 0,
                                                 .host_states = updates > 1 };
            rc = try_thrift(net, &s, &thrift, limit, &best, err);
            subset = (subset - s.bits) & s.bits; /* the next subset, in order */
        } while (rc == CLFCN_OK && subset != 0);
    }
    if (rc == CLFCN_OK) {
        net->thrift = best.thrift;
        rc = clfcn_net_lay_out(net, err);
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
    if (a->dev->info.unified_memory && a->thrift.host_states != b->thrift.host_states) {
        return b->thrift.host_states;
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
    clfcn_strbuf_add(&sb, "a workspace of %s",
                     clfcn_format_bytes(net->memory.workspace, room, sizeof(room)));
    if (net->thrift.update_each) {
        clfcn_strbuf_add(&sb, "; weights updated layer by layer");
    }
    if (net->thrift.host_states) {
        clfcn_strbuf_add(&sb, "; %s of optimizer state in host memory",
                         clfcn_format_bytes(net->memory.host, room, sizeof(room)));
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
