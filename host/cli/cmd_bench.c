/* cmd_bench.c - clfcn bench: training steps and inference on a synthetic batch, timed. */
#include "../device/dev.h"
#include "../net/tune.h"
#include "../train/runlog.h"
#include "../util/rng.h"
#include "../util/sys.h"
#include "options.h"
#include <math.h>
#include <stdlib.h>

enum { BENCH_MAX_STEPS = 100000 };

struct bench {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    int steps;
    struct clfcn_net *net;
    float *images, *logits;
    uint8_t *labels;
    double *train_ms, *infer_ms; /* [steps] */
    double *sorted_ms;           /* [steps] scratch of the medians */
    double first_step_s;
    int64_t updates;
};

static int allocate(struct bench *b, struct clfcn_err *err)
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

static struct clfcn_net_hyper next_update(struct bench *b)
{
    return (struct clfcn_net_hyper){
        .lr = 1e-4, .momentum = 0.7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
        .update = ++b->updates,
    };
}

static int upload(struct bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_input in = {
        .images = b->images,
        .labels = b->labels,
        .labelled = (int64_t)b->desc.batch * b->desc.width * b->desc.height,
    };
    return clfcn_net_upload(b->net, 0, &in, err);
}

/* One training step, from the batch in host memory to its loss in host memory. */
static int train_step(struct bench *b, struct clfcn_err *err)
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

static int infer(struct bench *b, struct clfcn_err *err)
{
    int rc = upload(b, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_infer(b->net, 0, b->logits, err);
    }
    return rc < 0 ? rc : clfcn_net_wait(b->net, 0, NULL, err);
}

/* Time one warm-up and then steps runs of what. */
static int repeat(struct cli_env *env, struct bench *b, const char *name,
                  int (*what)(struct bench *b, struct clfcn_err *err), double *ms,
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

static int profile(struct bench *b, struct clfcn_err *err)
{
    const struct clfcn_net_hyper hyper = next_update(b);
    int rc = upload(b, err);
    return rc < 0 ? rc : clfcn_net_profile(b->net, 0, &hyper, false, err);
}

static double median_of(struct bench *b, const double *ms)
{
    for (int i = 0; i < b->steps; ++i) {
        b->sorted_ms[i] = ms[i];
    }
    return cli_median(b->sorted_ms, b->steps);
}

/* NaN where it was not measured. */
static double measured(double ms)
{
    return ms >= 0 ? ms : NAN;
}

static double gflops(double flop, double ms)
{
    return ms > 0 && flop > 0 ? flop / ms / 1e6 : NAN;
}

static json_t *layers_to_json(const struct clfcn_net *net)
{
    json_t *list = json_array();
    for (int i = 0; i < clfcn_net_layer_count(net); ++i) {
        struct clfcn_net_layer l;
        clfcn_net_layer_get(net, i, &l);
        json_array_append_new(
            list, json_pack("{ss ss ss so so so so}", "name", l.name, "kind", l.kind,
                            "algorithm", l.algorithm ? l.algorithm : "", "forward_ms",
                            clfcn_json_number(measured(l.forward_ms)), "backward_ms",
                            clfcn_json_number(measured(l.backward_ms)), "forward_gflops",
                            clfcn_json_number(gflops(l.forward_flop, l.forward_ms)),
                            "backward_gflops",
                            clfcn_json_number(gflops(l.backward_flop, l.backward_ms))));
    }
    return list;
}

static int print_json(struct bench *b, const struct clfcn_dev *dev, struct clfcn_err *err)
{
    char name[512];
    clfcn_dev_describe(&dev->info, name, sizeof(name));
    json_t *all = json_array();
    for (int i = 0; i < b->steps; ++i) {
        json_array_append_new(all, json_real(b->train_ms[i]));
    }
    return cli_print_json(
        json_pack("{ss sf so sf sf sI sI so}", "device", name, "train_step_ms",
                  median_of(b, b->train_ms), "train_step_ms_all", all, "infer_ms",
                  median_of(b, b->infer_ms), "first_step_s", b->first_step_s,
                  "device_bytes", (json_int_t)dev->peak_bytes, "host_peak_kb",
                  (json_int_t)clfcn_peak_rss_kb(), "layers", layers_to_json(b->net)),
        err);
}

/* "12.3", or "-" where there is nothing to say. */
static const char *cell(double v, char buf[16])
{
    snprintf(buf, 16, isfinite(v) ? "%.1f" : "-", v);
    return buf;
}

static void print_text(struct bench *b, const struct clfcn_dev *dev)
{
    char text[CLI_BYTES_LEN];
    double train = median_of(b, b->train_ms), inference = median_of(b, b->infer_ms);
    printf("%s on %s, batch %d, %dx%d, %d classes\n", clfcn_arch_name(b->desc.arch),
           clfcn_backbone_name(b->desc.backbone), b->desc.batch, b->desc.width,
           b->desc.height, b->desc.classes);
    printf("training step  %10.1f ms  %8.2f img/s  (median of %d)\n", train,
           1e3 * b->desc.batch / train, b->steps);
    printf("inference      %10.1f ms  %8.2f img/s\n", inference,
           1e3 * b->desc.batch / inference);
    printf("first step     %10.1f s   from opening the device on\n", b->first_step_s);
    printf("device memory  %s\n", cli_format_bytes(dev->peak_bytes, text));
    printf("host memory    %s\n\n",
           cli_format_bytes((uint64_t)clfcn_peak_rss_kb() * 1024, text));
    printf("%-16s %-14s %-22s %8s %8s %8s %8s\n", "layer", "kind", "algorithm", "fwd ms",
           "GF/s", "bwd ms", "GF/s");
    for (int i = 0; i < clfcn_net_layer_count(b->net); ++i) {
        struct clfcn_net_layer l;
        char f[16], fg[16], w[16], wg[16];
        clfcn_net_layer_get(b->net, i, &l);
        printf("%-16s %-14s %-22s %8s %8s %8s %8s\n", l.name, l.kind,
               l.algorithm ? l.algorithm : "", cell(measured(l.forward_ms), f),
               cell(gflops(l.forward_flop, l.forward_ms), fg),
               cell(measured(l.backward_ms), w),
               cell(gflops(l.backward_flop, l.backward_ms), wg));
    }
}

static int measure(struct cli_env *env, struct bench *b, struct clfcn_err *err)
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
    if (rc == CLFCN_OK) {
        rc = repeat(env, b, "inference", infer, b->infer_ms, err);
    }
    if (rc == CLFCN_OK) {
        rc = profile(b, err);
    }
    cli_screen_clear(&env->screen);
    if (rc == CLFCN_OK && env->json) {
        rc = print_json(b, dev, err);
    } else if (rc == CLFCN_OK) {
        print_text(b, dev);
    }
    clfcn_net_destroy(&b->net);
    clfcn_dev_close(&dev);
    return rc;
}

int cmd_bench(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct bench b = {
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
