#include "fit.h"

#include "../util/strbuf.h"
#include "estimate.h"

static const double LAST_RESORT_MS = 1e9;
/* Parts must save so much of a step's time to be worth other bits. */
static const double PARTS_MARGIN = 0.03;
/* Smaller workspaces save nothing worth mentioning. */
static const size_t LEAST_WORKSPACE = (size_t)256 << 10;

/* Segments worth running again: those with an activation of their own and a backward
 * pass, but for that in parts, which always is. Their bits, and what their forward pass
 * costs but for the last op's. */
struct segments {
    unsigned bits;
    double ms[32];
};

static struct segments find_segments(const struct clfcn_net *net)
{
    const struct clfcn_graph *g = &net->graph;
    struct segments s = { 0 };
    for (int i = g->part_ops; i + 1 < g->op_count; ++i) {
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
 * are tried, unless running all of them again is not enough. */
static int try_level(struct clfcn_net *net, const struct segments *s,
                     enum clfcn_level level, size_t limit, struct best *best,
                     struct clfcn_err *err)
{
    struct clfcn_thrift thrift = { .level = level, .again = s->bits };
    int rc = try_thrift(net, s, &thrift, limit, best, err);
    for (unsigned subset = 0; rc == CLFCN_OK && best->fits && subset != s->bits;
         subset = (subset - s->bits) & s->bits) { /* the next subset, in order */
        thrift.again = subset;
        rc = try_thrift(net, s, &thrift, limit, best, err);
    }
    return rc;
}

/* Lay the planned network out anew with the thrift that costs least among those with
 * which it takes at most limit bytes, or, if there is none, with the one that takes
 * least. */
static int fit_thrift(struct clfcn_net *net, size_t limit, struct clfcn_err *err)
{
    const struct segments s = find_segments(net);
    struct best best = { .bytes = SIZE_MAX };
    /* Gradients that are to be clipped wait for the last one. */
    const int last =
        net->options.clip_norm > 0.0 ? CLFCN_SHARE_WORKSPACE : CLFCN_HOST_WEIGHTS;
    int rc = CLFCN_OK;
    for (int level = CLFCN_SHARE_WORKSPACE; rc == CLFCN_OK && level <= last; ++level) {
        rc = try_level(net, &s, (enum clfcn_level)level, limit, &best, err);
    }
    if (rc == CLFCN_OK) {
        net->thrift = best.thrift;
        rc = clfcn_net_lay_out(net, SIZE_MAX, err);
    }
    return rc;
}

static double cost_of_run(const struct clfcn_net *net)
{
    return clfcn_estimate_run(net, NULL) *
           (net->graph.part_ops > 0 ? 1.0 + PARTS_MARGIN : 1.0);
}

/* Whether it is of no use to move things to the host's memory. */
static bool wastes_host(const struct clfcn_net *net)
{
    return net->dev->info.unified_memory && net->thrift.level >= CLFCN_HOST_STATES;
}

/* Whether a is better than b, which were both laid out to fit into limit bytes: b does
 * not fit, or costs more. Moving things to the host's memory is the last resort where
 * that is the device's too. */
static bool fits_better(const struct clfcn_net *a, const struct clfcn_net *b,
                        size_t limit)
{
    const bool a_fits = a->memory.total <= limit, b_fits = b->memory.total <= limit;
    if (a_fits != b_fits) {
        return a_fits;
    }
    if (!a_fits) {
        return a->memory.total < b->memory.total;
    }
    if ((wastes_host(a) || wastes_host(b)) && a->thrift.level != b->thrift.level) {
        return a->thrift.level < b->thrift.level;
    }
    return cost_of_run(a) < cost_of_run(b);
}

/* What clfcn_fit_net() looks for, and the best so far. */
struct search {
    struct clfcn_dev *dev;
    const struct clfcn_net_desc *desc;
    struct clfcn_net_options how;
    struct clfcn_net *best; /* NULL: nothing yet */
};

/* Whether net, planned without thrift, which only adds to its cost, is already worse than
 * what was found. */
static bool is_hopeless(const struct search *s, const struct clfcn_net *net)
{
    const struct clfcn_net *best = s->best;
    return best && best->memory.total <= s->how.mem_bytes && !wastes_host(best) &&
           cost_of_run(net) >= cost_of_run(best);
}

/* Try these parts with workspaces from most bytes down. What needs a larger buffer than
 * the device has is passed over, and stays in err. */
static int try_parts(struct search *s, const struct clfcn_parts *parts, size_t most,
                     struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (size_t bytes = most;
         rc == CLFCN_OK && (bytes == most || bytes >= LEAST_WORKSPACE); bytes /= 2) {
        struct clfcn_net *net = NULL;
        s->how.workspace_bytes = bytes;
        rc = clfcn_net_plan(s->dev, s->desc, &s->how, parts, CLFCN_LOG_DEBUG, &net, err);
        const bool hopeless = rc == CLFCN_OK && is_hopeless(s, net);
        if (rc == CLFCN_OK && s->how.training && !hopeless) {
            rc = fit_thrift(net, s->how.mem_bytes, err);
        }
        const bool better = rc == CLFCN_OK && !hopeless &&
                            (!s->best || fits_better(net, s->best, s->how.mem_bytes));
        clfcn_net_destroy(better ? &s->best : &net);
        s->best = better ? net : s->best;
        rc = rc == CLFCN_EDEVMEM ? CLFCN_OK : rc;
    }
    return rc;
}

/* The next number of parts that divides the batch; of some that are close, one will do.
 */
static int next_count(int batch, int count)
{
    int next = count + (count + 1) / 2;
    while (next <= batch && batch % next != 0) {
        ++next;
    }
    return next;
}

/* Ever more parts, of ever more stages. */
static int try_all_parts(struct search *s, size_t most, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int count = next_count(s->desc->batch, 1); count <= s->desc->batch;
         count = next_count(s->desc->batch, count)) {
        for (int stages = 1; rc == CLFCN_OK && stages <= 5; ++stages) {
            const struct clfcn_parts parts = { count, stages };
            rc = try_parts(s, &parts, most, err);
        }
    }
    return rc;
}

int clfcn_fit_net(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                  const struct clfcn_net_options *options, enum clfcn_log_level level,
                  struct clfcn_net **out, struct clfcn_err *err)
{
    struct search s = { .dev = dev, .desc = desc, .how = *options };
    int rc = clfcn_net_plan(dev, desc, options, NULL, level, out, err);
    const bool fits = rc == CLFCN_OK && (*out)->memory.total <= options->mem_bytes;
    if (options->mem_bytes == 0 || fits || (rc < 0 && rc != CLFCN_EDEVMEM)) {
        return rc;
    }
    const double usual_ms = clfcn_estimate_run(*out, NULL);
    const size_t workspace = (*out)->columns_bytes + (*out)->scratch_bytes;
    clfcn_net_destroy(out);
    rc = try_parts(&s, NULL, workspace, err);
    if (rc == CLFCN_OK && options->training) {
        rc = try_all_parts(&s, workspace, err);
    }
    if (rc < 0) {
        clfcn_net_destroy(&s.best);
    } else if (s.best) {
        s.best->usual_ms = usual_ms;
    } else {
        rc = CLFCN_EDEVMEM;
    }
    *out = s.best;
    return rc;
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
    if (net->graph.part_ops > 0) {
        const struct clfcn_parts *parts = &net->graph.parts;
        clfcn_strbuf_add(&sb, "the batch up to pool%d in %d parts of %d; ", parts->stages,
                         parts->count, net->desc.batch / parts->count);
    }
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
