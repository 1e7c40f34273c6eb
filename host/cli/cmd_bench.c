/* cmd_bench.c - clfcn bench: networks timed on one device, or on all there are. */
#include "../util/file.h"
#include "bench.h"
#include "options.h"
#include "profile.h"
#include <stdlib.h>
#include <string.h>

enum { BENCH_MAX_STEPS = 100000, MAX_NETS = 16 };

struct net_name {
    enum clfcn_arch arch;
    enum clfcn_backbone backbone;
};

/* The runs of one command: every network on every device. */
struct plan {
    struct clfcn_device_info *devices; /* --device all; else NULL */
    int device_count;                  /* 1 if there are none */
    struct net_name nets[MAX_NETS];
    int net_count;
    struct clfcn_strbuf csv;
    int failed; /* runs */
};

/* "fcns/vgg16" */
static int parse_net(const char *text, struct net_name *out, struct clfcn_err *err)
{
    char arch[32];
    const size_t n = strcspn(text, "/");
    if (text[n] != '/' || n >= sizeof(arch)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "'%s' is no ARCH/BACKBONE", text);
    }
    memcpy(arch, text, n);
    arch[n] = '\0';
    const int rc = clfcn_arch_parse(arch, &out->arch, err);
    return rc < 0 ? rc : clfcn_backbone_parse(text + n + 1, &out->backbone, err);
}

static int parse_nets(const char *list, struct plan *plan, struct clfcn_err *err)
{
    char text[64];
    for (const char *s = list; s; s = *s ? s + 1 : NULL) {
        const size_t n = strcspn(s, ",");
        if (plan->net_count == MAX_NETS || n >= sizeof(text)) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--net %.60s: a list of up to %d names, such as "
                                 "fcns/vgg16,fcn32s/vgg11",
                                 list, MAX_NETS);
        }
        memcpy(text, s, n);
        text[n] = '\0';
        const int rc = parse_net(text, &plan->nets[plan->net_count++], err);
        if (rc < 0) {
            clfcn_err_note(err, "--net %.60s", list);
            return rc;
        }
        s += n;
    }
    return CLFCN_OK;
}

/* Keep of the list what can be used. */
static int list_devices(struct cli_env *env, struct plan *plan, struct clfcn_err *err)
{
    int found = 0, any;
    int rc = clfcn_device_list(&plan->devices, &found, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_select(plan->devices, found, "auto", &any, err);
    }
    if (rc < 0) {
        return rc;
    }
    plan->device_count = 0;
    for (int i = 0; i < found; ++i) {
        const struct clfcn_device_info *d = &plan->devices[i];
        if (d->usable) {
            plan->devices[plan->device_count++] = *d;
        } else if (!env->quiet) {
            cli_screen_print(&env->screen, stderr, "left out: %s, not usable: %s\n",
                             d->name, d->why_not);
        }
    }
    return CLFCN_OK;
}

static int print(struct cli_env *env, struct cli_bench *b, struct clfcn_err *err)
{
    b->printed = true;
    if (!env->json) {
        cli_bench_print_text(b);
        return CLFCN_OK;
    }
    return cli_bench_print_json(b, err);
}

/* One of several runs failed: print the failure that was noted before, so that the last
 * one is left for main() to print, and with --json an object that says so. */
static int note_failure(struct cli_env *env, struct plan *plan, const struct cli_bench *b,
                        const struct clfcn_device_info *info, struct clfcn_err *noted,
                        struct clfcn_err *err)
{
    struct clfcn_err failure = *err;
    if (plan->failed++ > 0) {
        cli_screen_print(&env->screen, stderr, "clfcn: %s: %s\n", env->command->name,
                         noted->msg);
    }
    clfcn_err_note(err, "%s, %s/%s", info->name, clfcn_arch_name(b->desc.arch),
                   clfcn_backbone_name(b->desc.backbone));
    *noted = *err;
    return env->json && !b->printed
               ? cli_bench_print_failure(b, info, failure.msg, err)
               : CLFCN_OK;
}

/* One run. What is found wrong is printed with the times, and is a failure too. */
static int run_one(struct cli_env *env, struct plan *plan, struct cli_bench *b,
                   struct clfcn_err *err)
{
    int rc = cli_bench_run(env, b, err);
    if (rc == CLFCN_OK) {
        rc = print(env, b, err);
    }
    if (rc == CLFCN_OK && plan->csv.len > 0) {
        cli_bench_csv_add(&plan->csv, b);
    }
    return rc < 0 ? rc : cli_bench_verdict(b, err);
}

/* Device after device, each opened anew. A run that fails among several is noted, and the
 * others go on. */
static int run_all(struct cli_env *env, struct plan *plan, struct cli_bench *b,
                   struct clfcn_err *err)
{
    struct clfcn_err noted = { 0 };
    const bool alone = !plan->devices && plan->net_count == 1;
    for (int i = 0; i < plan->device_count * plan->net_count; ++i) {
        char number[16];
        const struct clfcn_device_info *info =
            plan->devices ? &plan->devices[i / plan->net_count] : NULL;
        if (info) {
            snprintf(number, sizeof(number), "%d", info->index);
            env->device = number;
        }
        b->desc.arch = plan->nets[i % plan->net_count].arch;
        b->desc.backbone = plan->nets[i % plan->net_count].backbone;
        b->first = i == 0;
        if (i > 0 && !env->json) {
            printf("\n");
        }
        int rc = run_one(env, plan, b, err);
        struct clfcn_device_info opened = { .name = "" };
        if (b->dev) {
            opened = *clfcn_dev_get_info(b->dev);
        }
        if (rc < 0 && !alone && rc != CLFCN_EINTR && (info || b->dev)) {
            rc = note_failure(env, plan, b, info ? info : &opened, &noted, err);
        }
        cli_bench_close(b);
        if (rc < 0) {
            return rc;
        }
    }
    if (plan->failed > 0) {
        *err = noted;
        return err->code = CLFCN_ECL; /* whatever it was: failed while running */
    }
    return CLFCN_OK;
}

static int check(struct cli_env *env, const struct cli_bench *b, const char *nets,
                 const struct cli_option *options, struct clfcn_err *err)
{
    if (b->steps < 1 || b->steps > BENCH_MAX_STEPS) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--steps %d: must be 1 to %d",
                             b->steps, BENCH_MAX_STEPS);
    }
    if (!(b->budget >= 0)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "--budget %g: must be 0 or more",
                             b->budget);
    }
    if (nets && (options[0].raw || options[1].raw)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "give either --net or --arch and --backbone");
    }
    if (env->profile.path && (nets || strcmp(env->device, "all") == 0)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--profile shows one run: name one device, and the network "
                             "by --arch and --backbone");
    }
    return clfcn_net_check_desc(&b->desc, err);
}

int cmd_bench(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_bench b = {
        .desc = CLI_REFERENCE_NET,
        .how = { .training = true, .focal_gamma = 2 },
        .steps = 10,
        .budget = 600,
        .verify = true,
    };
    struct plan plan = { .device_count = 1 };
    const char *nets = NULL, *csv = NULL;
    struct cli_option options[] = {
        CLI_OPT_ARCH(&b.desc.arch),
        CLI_OPT_BACKBONE(&b.desc.backbone),
        { .name = "net",
          .kind = CLI_STRING,
          .target = &nets,
          .arg = "LIST",
          .help = "several networks instead, such as fcns/vgg16,fcn32s/vgg11" },
        CLI_OPT_SIZE(&b.desc.width, &b.desc.height),
        CLI_OPT_BATCH(&b.desc.batch),
        CLI_OPT_CLASSES(&b.desc.classes),
        { .name = "steps",
          .kind = CLI_INT,
          .target = &b.steps,
          .arg = "K",
          .help = "timed repetitions, after one to warm up" },
        { .name = "budget",
          .kind = CLI_DOUBLE,
          .target = &b.budget,
          .arg = "SECONDS",
          .help =
              "leave out what a run would take longer for, on slow devices; 0: nothing" },
        CLI_OPT_LOSS(&b.how.loss),
        CLI_OPT_OPTIMIZER(&b.how.optimizer),
        CLI_OPT_GEMM(&b.how.gemm),
        CLI_OPT_WORKSPACE(&b.how.workspace_bytes),
        CLI_OPT_MEM(&b.how.mem_bytes),
        { .name = "no-verify",
          .kind = CLI_UNFLAG,
          .target = &b.verify,
          .help = "do not check the results against float64" },
        { .name = "csv",
          .kind = CLI_STRING,
          .target = &csv,
          .arg = "FILE",
          .help = "write a table too, a row per layer and pass" },
        CLI_OPT_KERNEL_MS(env),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc == CLFCN_OK) {
        rc = check(env, &b, nets, options, err);
    }
    if (rc != CLFCN_OK) {
        goto out;
    }
    plan.nets[0] = (struct net_name){ b.desc.arch, b.desc.backbone };
    plan.net_count = nets ? 0 : 1;
    rc = nets ? parse_nets(nets, &plan, err) : CLFCN_OK;
    if (rc == CLFCN_OK && strcmp(env->device, "all") == 0) {
        rc = list_devices(env, &plan, err);
    }
    if (rc < 0) {
        goto out;
    }
    if (csv) {
        cli_bench_csv_begin(&plan.csv);
    }
    rc = run_all(env, &plan, &b, err);
    if (csv && rc != CLFCN_EINTR) {
        const int wrote =
            plan.csv.failed
                ? clfcn_err_nomem(rc < 0 ? NULL : err)
                : clfcn_file_write(csv, plan.csv.str, plan.csv.len, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : wrote;
    }
    rc = cli_profile_finish(env, rc, err);
out:
    clfcn_strbuf_free(&plan.csv);
    free(plan.devices);
    cli_line_free(&line);
    return rc;
}
