/* cmd_bench.c - clfcn bench: training steps and inference on a synthetic batch, timed. */
#include "../device/dev.h"
#include "../device/prof.h"
#include "../net/tune.h"
#include "../train/runlog.h"
#include "../util/log.h"
#include "../util/rng.h"
#include "../util/sys.h"
#include "../util/trace.h"
#include "bench.h"
#include "options.h"
#include "profile.h"
#include <math.h>
#include <stdlib.h>

enum { BENCH_MAX_STEPS = 100000, PROFILED_STEPS = 3 };

static int allocate(struct cli_bench *b, struct clfcn_err *err)
{
    size_t pixels =
        (size_t)b->desc.batch * (size_t)b->desc.width * (size_t)b->desc.height;
    b->images = calloc(pixels, 3 * sizeof(float));
    b->logits = calloc(pixels, (size_t)b->desc.classes * sizeof(float));
    b->labels = calloc(pixels, 1);
    b->train_ms = calloc((size_t)b->steps, sizeof(double));
    b->infer_ms = calloc((size_t)b->steps, sizeof(double));
    b->sorted_ms = calloc((size_t)b->steps, sizeof(double));
    if (!b->images || !b->logits || !b->labels || !b->train_ms || !b->infer_ms ||
        !b->sorted_ms) {
        return clfcn_err_nomem(err);
    }
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 0, "bench", 0, 0);
    for (size_t i = 0; i < 3 * pixels; ++i) {
        b->images[i] = (float)(4 * clfcn_rng_double(&rng) - 2);
    }
    for (size_t i = 0; i < pixels; ++i) {
        b->labels[i] = (uint8_t)clfcn_rng_below(&rng, (uint32_t)b->desc.classes);
    }
    return CLFCN_OK;
}

static struct clfcn_net_hyper next_update(struct cli_bench *b)
{
    return (struct clfcn_net_hyper){
        .lr = 1e-4, .momentum = 0.7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
        .update = ++b->updates,
    };
}

static int upload(struct cli_bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_input in = {
        .images = b->images,
        .labels = b->labels,
        .labelled = (int64_t)b->desc.batch * b->desc.width * b->desc.height,
    };
    return clfcn_net_upload(b->net, 0, &in, err);
}

/* One training step, from the batch in host memory to its loss in host memory. */
static int train_step(struct cli_bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_hyper hyper = next_update(b);
    float loss = NAN;
    int rc = upload(b, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_step(b->net, 0, &hyper, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_wait(b->net, 0, &loss, err);
    }
    if (rc == CLFCN_OK && !isfinite(loss)) {
        rc = clfcn_err_set(
            err, CLFCN_ENUMERIC, 0,
            "the loss of step %lld is not finite: this device computes wrongly",
            (long long)b->updates);
    }
    return rc;
}

static int infer(struct cli_bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_input in = { .images = b->images };
    struct clfcn_net *net = b->inference ? b->inference : b->net;
    int rc = clfcn_net_upload(net, 0, &in, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(net, 0, b->logits, err);
    }
    return rc < 0 ? rc : clfcn_net_wait(net, 0, NULL, err);
}

/* A network built for inference only, as `predict` and `eval` have it. Where memory does
 * not suffice for both, the one that trains stands in. */
static int create_inference(struct cli_bench *b, struct clfcn_dev *dev,
                            struct clfcn_err *err)
{
    struct clfcn_net_options how = b->how;
    how.training = false;
    int rc = clfcn_net_create(dev, &b->desc, &how, &b->inference, err);
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        clfcn_info("inference is timed on the network that trains: %s", err->msg);
        return CLFCN_OK;
    }
    return rc < 0 ? rc : clfcn_net_init(b->inference, 0, err);
}

/* Time one warm-up and then steps runs of what. */
static int repeat(struct cli_env *env, struct cli_bench *b, const char *name,
                  int (*what)(struct cli_bench *b, struct clfcn_err *err), double *ms,
                  struct clfcn_err *err)
{
    int rc = what(b, err);
    for (int i = 0; i < b->steps && rc == CLFCN_OK; ++i) {
        if (*clfcn_interrupt_flag()) {
            return clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted");
        }
        double start = clfcn_clock();
        rc = what(b, err);
        ms[i] = 1e3 * (clfcn_clock() - start);
        if (env->screen.terminal && !env->json && !env->quiet) {
            char text[80];
            snprintf(text, sizeof(text), "%s %d/%d: %.1f ms", name, i + 1, b->steps,
                     ms[i]);
            cli_screen_live(&env->screen, text);
        }
    }
    return rc;
}

/* A few steps whose kernels are timed by the device: after the timed runs, which know
 * nothing of it. With --profile they, and an inference, are what the file shows. */
static int profile(struct cli_env *env, struct cli_bench *b, struct clfcn_dev *dev,
                   struct clfcn_err *err)
{
    int rc = cli_profile_start(env, dev, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_prof_start(dev, err);
    }
    for (int i = 0; i < PROFILED_STEPS && rc == CLFCN_OK; ++i) {
        const struct clfcn_net_hyper hyper = next_update(b);
        rc = upload(b, err);
        if (rc == CLFCN_OK) {
            rc = clfcn_net_profile(b->net, 0, &hyper, err);
        }
    }
    if (rc == CLFCN_OK && env->profile.path) {
        rc = infer(b, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_prof_stop(dev, err);
    }
    clfcn_trace_stop();
    return rc;
}

static int measure(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    struct clfcn_dev *dev = NULL;
    double start = clfcn_clock();
    clfcn_interrupt_install();
    int rc = cli_device_open(env, &dev, err);
    if (rc == CLFCN_OK) {
        const double before = clfcn_clock();
        clfcn_tune_first(dev, &b->desc, &b->how, clfcn_interrupt_flag());
        start += clfcn_clock() - before; /* done once, not at every start */
        rc = clfcn_net_create(dev, &b->desc, &b->how, &b->net, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_init(b->net, 0, err);
    }
    if (rc == CLFCN_OK) {
        rc = train_step(b, err);
        b->first_step_s = clfcn_clock() - start;
    }
    if (rc == CLFCN_OK) {
        rc = repeat(env, b, "training step", train_step, b->train_ms, err);
    }
    if (rc == CLFCN_OK) { /* what follows takes memory of its own */
        b->device_bytes = dev->peak_bytes;
        b->host_kb = clfcn_peak_rss_kb();
        rc = create_inference(b, dev, err);
    }
    if (rc == CLFCN_OK) {
        rc = repeat(env, b, "inference", infer, b->infer_ms, err);
    }
    if (rc == CLFCN_OK) {
        rc = profile(env, b, dev, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_peak_measure(dev, &b->peak, err);
    }
    cli_screen_clear(&env->screen);
    if (rc == CLFCN_OK && env->json) {
        rc = cli_bench_print_json(b, dev, err);
    } else if (rc == CLFCN_OK) {
        cli_bench_print_text(b);
    }
    clfcn_net_destroy(&b->inference);
    clfcn_net_destroy(&b->net);
    clfcn_dev_close(&dev);
    return cli_profile_finish(env, rc, err);
}

int cmd_bench(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_bench b = {
        .desc = { .arch = CLFCN_FCNS, .backbone = CLFCN_VGG16, .classes = 2, .width = 160,
                  .height = 160, .batch = 4 },
        .how = { .training = true },
        .steps = 10,
    };
    struct cli_option options[] = {
        CLI_OPT_ARCH(&b.desc.arch),
        CLI_OPT_BACKBONE(&b.desc.backbone),
        CLI_OPT_SIZE(&b.desc.width, &b.desc.height),
        CLI_OPT_BATCH(&b.desc.batch),
        { .name = "classes", .kind = CLI_INT, .target = &b.desc.classes,
          .help = "number of classes" },
        { .name = "steps", .kind = CLI_INT, .target = &b.steps, .arg = "K",
          .help = "timed repetitions, after one to warm up" },
        CLI_OPT_LOSS(&b.how.loss),
        CLI_OPT_OPTIMIZER(&b.how.optimizer),
        CLI_OPT_GEMM(&b.how.gemm),
        CLI_OPT_WORKSPACE(&b.how.workspace_bytes),
        CLI_OPT_MEM(&b.how.mem_bytes),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    if (b.steps < 1 || b.steps > BENCH_MAX_STEPS) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "--steps %d: must be 1 to %d", b.steps,
                           BENCH_MAX_STEPS);
        goto out;
    }
    rc = clfcn_net_check_desc(&b.desc, err);
    if (rc < 0) {
        goto out;
    }
    rc = allocate(&b, err);
    if (rc < 0) {
        goto out;
    }
    rc = measure(env, &b, err);
out:
    free(b.images);
    free(b.logits);
    free(b.labels);
    free(b.train_ms);
    free(b.infer_ms);
    free(b.sorted_ms);
    cli_line_free(&line);
    return rc;
}
