/* cmd_plan.c - clfcn plan: what a network takes and how long a step will, before anything
 * of the network is allocated. */
#include "../data/loader.h"
#include "../net/net.h"
#include "../ops/peak.h"
#include "../util/log.h"
#include "../util/strbuf.h"
#include "ranks.h"
#include <inttypes.h>
#include <stdlib.h>

struct plan {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    struct cli_ranks ranks;
};

bool cli_plan_fits(const struct clfcn_net_memory *m, size_t limit,
                   const struct clfcn_device_info *info)
{
    return m->total <= info->global_bytes && m->largest_buffer <= info->max_alloc_bytes &&
           (limit == 0 || m->total <= limit);
}

static bool fits(const struct clfcn_net_memory *m, const struct plan *plan,
                 const struct clfcn_device_info *info)
{
    return cli_plan_fits(m, plan->how.mem_bytes, info);
}

/* The largest batch up to the asked one that fits, 0 if not even one image does. */
static int largest_batch(const struct plan *plan, struct clfcn_dev *dev)
{
    struct clfcn_net_desc desc = plan->desc;
    int lo = 0, hi = plan->desc.batch;
    while (lo < hi) {
        struct clfcn_net_forecast f = { 0 };
        desc.batch = lo + (hi - lo + 1) / 2;
        bool ok = clfcn_net_forecast(dev, &desc, &plan->how, &f, NULL) == CLFCN_OK &&
                  fits(&f.memory, plan, &dev->info);
        free(f.thrift);
        if (ok) {
            lo = desc.batch;
        } else {
            hi = desc.batch - 1;
        }
    }
    return lo;
}

/* Batches in host memory; where the device has no memory of its own, its buffers too. */
static size_t host_bytes(const struct plan *plan, const struct clfcn_net_memory *m,
                         const struct clfcn_device_info *info)
{
    return clfcn_loader_bytes(plan->desc.width, plan->desc.height, plan->desc.batch) +
           m->host + (info->unified_memory ? m->total : 0);
}

/* A new reference, or NULL if memory is exhausted. */
static json_t *to_json(const struct plan *plan, const struct clfcn_net_forecast *f,
                       const struct clfcn_device_info *info, int batch)
{
    const struct clfcn_net_memory *m = &f->memory;
    return json_pack(
        "{ss sI sI sI sI sI sI sI sI sI sI sI sf sf sb sf ss* sb si}", "device",
        info->name, "weights", (json_int_t)m->weights, "gradients",
        (json_int_t)m->gradients, "optimizer", (json_int_t)m->optimizer, "activations",
        (json_int_t)m->activations, "workspace", (json_int_t)m->workspace, "io",
        (json_int_t)m->io, "total", (json_int_t)m->total, "largest_buffer",
        (json_int_t)m->largest_buffer, "device_bytes", (json_int_t)info->global_bytes,
        "max_alloc_bytes", (json_int_t)info->max_alloc_bytes, "host_bytes",
        (json_int_t)host_bytes(plan, m, info), "flop", f->flop, "expected_ms", f->ms,
        "expected_from_tuning", (int)f->measured, "usual_ms", f->usual_ms, "to_fit",
        f->thrift, "fits", fits(m, plan, info), "largest_batch", batch);
}

static void print_row(const char *what, uint64_t bytes, uint64_t of)
{
    char a[CLI_BYTES_LEN], b[CLI_BYTES_LEN];
    printf("%-16s %12s", what, cli_format_bytes(bytes, a));
    if (of) {
        printf(" of %s", cli_format_bytes(of, b));
    }
    putchar('\n');
}

static void print_text(const struct plan *plan, const struct clfcn_net_forecast *f,
                       const struct clfcn_device_info *info)
{
    const struct clfcn_net_memory *m = &f->memory;
    const size_t limit = plan->how.mem_bytes;
    printf("device           %s\n", info->name);
    print_row("weights", m->weights, 0);
    print_row("gradients", m->gradients, 0);
    print_row("optimizer", m->optimizer, 0);
    print_row("activations", m->activations, 0);
    print_row("workspace", m->workspace, 0);
    print_row("input, output", m->io, 0);
    print_row("total", m->total, limit ? limit : info->global_bytes);
    print_row("largest buffer", m->largest_buffer, info->max_alloc_bytes);
    print_row(info->unified_memory ? "host, with that" : "host",
              host_bytes(plan, m, info), 0);
    printf("%-16s %8.1f GFLOP\n", plan->how.training ? "training step" : "inference",
           1e-9 * f->flop);
    char time[CLFCN_DURATION_LEN];
    snprintf(time, sizeof(time), "%.0f ms", f->ms);
    printf("%-16s %11s   %s\n", "about",
           f->ms < 1e4 ? time : clfcn_format_duration(1e-3 * f->ms, time),
           f->measured ? "as 'clfcn tune' measured the layers"
                       : "by rules of thumb; 'clfcn tune' measures");
    if (f->thrift) {
        printf("To fit it takes %s: %.2f times the time of a step.\n", f->thrift,
               f->ms / f->usual_ms);
    }
    printf("%s\n", fits(m, plan, info) ? "It fits." : "It does not fit.");
}

/* Whether it would fit if it were made to, by --mem: the whole device. */
static bool could_fit(const struct plan *plan, struct clfcn_dev *dev)
{
    struct plan with_mem = *plan;
    struct clfcn_net_forecast f = { 0 };
    with_mem.how.mem_bytes = dev->info.global_bytes;
    const bool ok =
        plan->how.mem_bytes == 0 &&
        clfcn_net_forecast(dev, &plan->desc, &with_mem.how, &f, NULL) == CLFCN_OK &&
        fits(&f.memory, &with_mem, &dev->info);
    free(f.thrift);
    return ok;
}

static int refuse(const struct plan *plan, struct clfcn_dev *dev, int batch,
                  struct clfcn_err *err)
{
    char mem[48] = "", less[64] = ", not even with --batch 1";
    if (could_fit(plan, dev)) {
        snprintf(mem, sizeof(mem), "make it fit with --mem %" PRIu64 "M, or ",
                 dev->info.global_bytes >> 20);
    }
    if (batch > 0) {
        snprintf(less, sizeof(less), ", but --batch %d would", batch);
    }
    return clfcn_err_set(err, CLFCN_EDEVMEM, 0, "does not fit%s: %slower --size", less,
                         mem);
}

/* f: NULL if not even that could be planned; ranks: NULL if they are not asked for. */
static int print(struct cli_env *env, const struct plan *plan,
                 const struct clfcn_net_forecast *f,
                 const struct cli_ranks_forecast *ranks, struct clfcn_dev *dev, int batch,
                 struct clfcn_err *err)
{
    if (env->json && (f || ranks)) {
        json_t *o = f ? to_json(plan, f, &dev->info, batch) : json_object();
        if (ranks &&
            json_object_set_new(o, "ranks", cli_ranks_to_json(&plan->ranks, ranks)) < 0) {
            json_decref(o);
            o = NULL;
        }
        return cli_print_json(o, err);
    }
    if (f && !env->json) {
        print_text(plan, f, &dev->info);
    }
    if (ranks && !env->json) {
        cli_ranks_print(&plan->ranks, ranks);
    }
    return CLFCN_OK;
}

static int run(struct cli_env *env, const struct plan *plan, struct clfcn_err *err)
{
    const bool several = plan->ranks.list != NULL;
    struct clfcn_dev *dev = NULL;
    struct clfcn_net_forecast f = { 0 };
    struct cli_ranks_forecast ranks = { 0 };
    int rc = cli_device_open(env, &dev, err);
    if (rc < 0) {
        return rc;
    }
    clfcn_peak_glance(dev); /* for the time that a step will take */
    rc = clfcn_net_forecast(dev, &plan->desc, &plan->how, &f, err);
    if (rc < 0 && rc != CLFCN_EDEVMEM) {
        goto out;
    }
    bool planned = rc == CLFCN_OK, fit = planned && fits(&f.memory, plan, &dev->info);
    int batch = fit ? plan->desc.batch : largest_batch(plan, dev);
    rc = several
             ? cli_ranks_forecast(&plan->ranks, dev, &plan->desc, &plan->how, &ranks, err)
             : CLFCN_OK;
    if (rc == CLFCN_OK) {
        rc = print(env, plan, planned ? &f : NULL, several ? &ranks : NULL, dev, batch,
                   err);
    }
    if (rc == CLFCN_OK && !fit && !cli_ranks_any_fits(&ranks)) {
        rc = refuse(plan, dev, batch, err);
    }
out:
    free(f.thrift);
    clfcn_dev_close(&dev);
    return rc;
}

int cmd_plan(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct plan plan = {
        .desc = CLI_REFERENCE_NET,
        .how = { .training = true, .focal_gamma = 2 },
        .ranks = CLI_RANKS_DEFAULTS,
    };
    struct cli_option options[] = {
        CLI_OPT_ARCH(&plan.desc.arch),
        CLI_OPT_BACKBONE(&plan.desc.backbone),
        CLI_OPT_SIZE(&plan.desc.width, &plan.desc.height),
        CLI_OPT_BATCH(&plan.desc.batch),
        CLI_OPT_CLASSES(&plan.desc.classes),
        CLI_OPT_LOSS(&plan.how.loss),
        CLI_OPT_OPTIMIZER(&plan.how.optimizer),
        CLI_OPT_CLIP_GRAD(&plan.how.clip_norm),
        { .name = "freeze-backbone", .kind = CLI_FLAG,
          .target = &plan.how.freeze_backbone, .help = "train the decoder only" },
        { .name = "inference", .kind = CLI_UNFLAG, .target = &plan.how.training,
          .help = "for eval and predict instead of training" },
        CLI_OPT_GEMM(&plan.how.gemm),
        CLI_OPT_WORKSPACE(&plan.how.workspace_bytes),
        CLI_OPT_MEM(&plan.how.mem_bytes),
        CLI_RANKS_ROWS(&plan.ranks),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = cli_ranks_read(&plan.ranks, options, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_check_desc(&plan.desc, err);
    }
    if (rc == CLFCN_OK) {
        rc = run(env, &plan, err);
    }
    cli_line_free(&line);
    return rc;
}
