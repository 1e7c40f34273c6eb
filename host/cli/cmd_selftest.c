/* cmd_selftest.c - clfcn selftest: whether a device computes what it should; kept, and
 * obeyed by training.
 */
#include "../net/selftest.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "findings.h"
#include "options.h"
#include <stdlib.h>

struct selftest {
    struct clfcn_net_desc desc;
    struct clfcn_net_options how;
    bool own; /* also the network that the options name */
    struct cli_env *env;
    struct clfcn_certificate found;
};

static void progress(void *user, const char *subject)
{
    struct selftest *t = user;
    char text[128];
    if (t->env->screen.terminal && !t->env->json && !t->env->quiet) {
        snprintf(text, sizeof(text), "testing %s", subject);
        cli_screen_live(&t->env->screen, text);
    } else {
        clfcn_debug("testing %s", subject);
    }
}

/* Rows, and for people a summary. */
static int print(const struct selftest *t, const char *path, struct clfcn_err *err)
{
    const struct clfcn_certificate *c = &t->found;
    const int right = c->count - cli_findings_wrong(c);
    int rc = CLFCN_OK;
    if (!t->env->json) {
        cli_findings_print(c);
    }
    for (int i = 0; t->env->json && rc == CLFCN_OK && i < c->count; ++i) {
        rc = cli_print_json(cli_finding_to_json(&c->list[i]), err);
    }
    if (rc == CLFCN_OK && t->env->json) {
        return cli_print_json(json_pack("{si si ss}", "correct_kernels", right, "kernels",
                                        c->count, "certificate", path),
                              err);
    }
    printf("%d of %d correct; kept in %s\n", right, c->count, path);
    return rc;
}

/* Let what was found take the place of what was known of the same kernels. */
static int keep(const struct selftest *t, const struct clfcn_dev *dev,
                struct clfcn_err *err)
{
    struct clfcn_certificate all;
    clfcn_certificate_load(dev, &all);
    int rc = clfcn_certificate_update(&all, &t->found, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_certificate_save(&all, dev, err);
    }
    clfcn_certificate_free(&all);
    return rc;
}

static int run(struct selftest *t, struct clfcn_err *err)
{
    const struct clfcn_net_selftest what = { .desc = t->own ? &t->desc : NULL,
                                             .options = &t->how,
                                             .stop = clfcn_interrupt_flag(),
                                             .progress = progress,
                                             .user = t };
    struct clfcn_dev *dev = NULL;
    char *path = NULL;
    int rc = cli_device_open(t->env, &dev, err);
    if (rc < 0) {
        return rc;
    }
    clfcn_interrupt_install();
    rc = clfcn_net_selftest(dev, &what, &t->found, err);
    cli_screen_clear(&t->env->screen);
    if (rc == CLFCN_OK) {
        rc = keep(t, dev, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_certificate_path(dev, &path, err);
    }
    if (rc == CLFCN_OK) {
        rc = print(t, path, err);
    }
    const int wrong = cli_findings_wrong(&t->found);
    if (rc == CLFCN_OK && wrong > 0) {
        rc =
            clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                          "%d of %d kernels are wrong on this device; networks are built "
                          "without them where there are others",
                          wrong, t->found.count);
    }
    free(path);
    clfcn_certificate_free(&t->found);
    clfcn_dev_close(&dev);
    return rc;
}

int cmd_selftest(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct selftest t = {
        .desc = CLI_REFERENCE_NET,
        .how = { .training = true },
        .env = env,
    };
    struct cli_option options[] = {
        CLI_OPT_ARCH(&t.desc.arch),
        CLI_OPT_BACKBONE(&t.desc.backbone),
        CLI_OPT_SIZE(&t.desc.width, &t.desc.height),
        CLI_OPT_BATCH(&t.desc.batch),
        CLI_OPT_CLASSES(&t.desc.classes),
        CLI_OPT_GEMM(&t.how.gemm),
        CLI_OPT_WORKSPACE(&t.how.workspace_bytes),
        { 0 },
    };
    struct cli_line line;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    for (int i = 0; rc == CLFCN_OK && i < 5; ++i) {
        t.own = t.own || options[i].raw;
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_net_check_desc(&t.desc, err);
    }
    if (rc == CLFCN_OK) {
        rc = run(&t, err);
    }
    cli_line_free(&line);
    return rc;
}
