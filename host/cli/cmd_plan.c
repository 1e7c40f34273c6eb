/* cmd_plan.c - clfcn plan: the device memory a network takes, before anything is
 * allocated. */
#include "../net/net.h"
#include "options.h"

struct plan {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
};

static bool fits(const struct clfcn_net_memory *m, const struct clfcn_device_info *info)
{
    return m->total <= info->global_bytes && m->largest_buffer <= info->max_alloc_bytes;
}

/* The largest batch up to the asked one that fits, 0 if not even one image does. */
static int largest_batch(const struct plan *plan, struct clfcn_dev *dev)
{
    struct clfcn_net_desc desc = plan->desc;
    struct clfcn_net_memory m;
    int lo = 0, hi = plan->desc.batch;
    while (lo < hi) {
        desc.batch = lo + (hi - lo + 1) / 2;
        bool ok = clfcn_net_plan_memory(dev, &desc, &plan->how, &m, NULL) == CLFCN_OK &&
                  fits(&m, &dev->info);
        if (ok) {
            lo = desc.batch;
        } else {
            hi = desc.batch - 1;
        }
    }
    return lo;
}

static int print_json(const struct clfcn_net_memory *m,
                      const struct clfcn_device_info *info, int batch,
                      struct clfcn_err *err)
{
    return cli_print_json(
        json_pack("{ss sI sI sI sI sI sI sI sI sI sI sb si}", "device", info->name,
                  "weights", (json_int_t)m->weights, "gradients",
                  (json_int_t)m->gradients, "optimizer", (json_int_t)m->optimizer,
                  "activations", (json_int_t)m->activations, "workspace",
                  (json_int_t)m->workspace, "io", (json_int_t)m->io, "total",
                  (json_int_t)m->total, "largest_buffer", (json_int_t)m->largest_buffer,
                  "device_bytes", (json_int_t)info->global_bytes, "max_alloc_bytes",
                  (json_int_t)info->max_alloc_bytes, "fits", fits(m, info),
                  "largest_batch", batch),
        err);
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

static void print_text(const struct clfcn_net_memory *m,
                       const struct clfcn_device_info *info)
{
    printf("device           %s\n", info->name);
    print_row("weights", m->weights, 0);
    print_row("gradients", m->gradients, 0);
    print_row("optimizer", m->optimizer, 0);
    print_row("activations", m->activations, 0);
    print_row("workspace", m->workspace, 0);
    print_row("input, output", m->io, 0);
    print_row("total", m->total, info->global_bytes);
    print_row("largest buffer", m->largest_buffer, info->max_alloc_bytes);
    printf("%s\n", fits(m, info) ? "It fits." : "It does not fit.");
}

static int refuse(int batch, struct clfcn_err *err)
{
    if (batch == 0) {
        return clfcn_err_set(err, CLFCN_EDEVMEM, 0,
                             "does not fit, not even with --batch 1: lower --size");
    }
    return clfcn_err_set(err, CLFCN_EDEVMEM, 0,
                         "does not fit: --batch %d would, or lower --size", batch);
}

static int run(struct cli_env *env, const struct plan *plan, struct clfcn_err *err)
{
    struct clfcn_dev *dev = NULL;
    struct clfcn_net_memory memory = { 0 };
    int rc = cli_device_open(env, &dev, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_net_plan_memory(dev, &plan->desc, &plan->how, &memory, err);
    if (rc < 0 && rc != CLFCN_EDEVMEM) {
        goto out;
    }
    bool planned = rc == CLFCN_OK, fit = planned && fits(&memory, &dev->info);
    int batch = largest_batch(plan, dev);
    rc = CLFCN_OK;
    if (planned && env->json) {
        rc = print_json(&memory, &dev->info, batch, err);
    } else if (planned) {
        print_text(&memory, &dev->info);
    }
    if (rc == CLFCN_OK && !fit) {
        rc = refuse(batch, err);
    }
out:
    clfcn_dev_close(&dev);
    return rc;
}

int cmd_plan(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct plan plan = {
        .desc = { .arch = CLFCN_FCNS, .backbone = CLFCN_VGG16, .classes = 2, .width = 160,
                  .height = 160, .batch = 4 },
        .how = { .training = true },
    };
    struct cli_option options[] = {
        CLI_OPT_ARCH(&plan.desc.arch),
        CLI_OPT_BACKBONE(&plan.desc.backbone),
        CLI_OPT_SIZE(&plan.desc.width, &plan.desc.height),
        CLI_OPT_BATCH(&plan.desc.batch),
        { .name = "classes", .kind = CLI_INT, .target = &plan.desc.classes,
          .help = "number of classes" },
        CLI_OPT_LOSS(&plan.how.loss),
        CLI_OPT_OPTIMIZER(&plan.how.optimizer),
        { .name = "freeze-backbone", .kind = CLI_FLAG,
          .target = &plan.how.freeze_backbone, .help = "train the decoder only" },
        { .name = "inference", .kind = CLI_UNFLAG, .target = &plan.how.training,
          .help = "for eval and predict instead of training" },
        CLI_OPT_GEMM(&plan.how.gemm),
        CLI_OPT_WORKSPACE(&plan.how.workspace_bytes),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_check_desc(&plan.desc, err);
    }
    if (rc == CLFCN_OK) {
        rc = run(env, &plan, err);
    }
    cli_line_free(&line);
    return rc;
}
