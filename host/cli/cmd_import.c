/* cmd_import.c - clfcn import: weights that PyTorch saved, as safetensors. */
#include "../net/state_dict.h"
#include "options.h"
#include <string.h>

static bool is_safetensors(const char *path)
{
    static const char ending[] = ".safetensors";
    const size_t n = strlen(path);
    return n > strlen(ending) && strcmp(path + n - strlen(ending), ending) == 0;
}

static int report(struct cli_env *env, const char *out, const struct clfcn_state_dict *sd,
                  struct clfcn_err *err)
{
    const char *backbone = clfcn_backbone_name(sd->backbone);
    const int tensors = clfcn_state_dict_tensors(sd);
    if (env->json) {
        return cli_print_json(
            json_pack("{ss si ss so}", "file", out, "tensors", tensors, "backbone",
                      backbone, "classes",
                      sd->classes ? json_integer(sd->classes) : json_null()),
            err);
    }
    if (sd->classes) {
        printf("%s: %d tensors of an FCN on %s, %d classes\n", out, tensors, backbone,
               sd->classes);
    } else {
        printf("%s: %d tensors of a %s\n", out, tensors, backbone);
    }
    return CLFCN_OK;
}

int cmd_import(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    bool partial = false;
    struct cli_option options[] = {
        { .name = "partial",
          .kind = CLI_FLAG,
          .target = &partial,
          .help = "take what matches an FCN or a VGG, and warn of the rest" },
        { 0 },
    };
    struct cli_line line;
    struct clfcn_weights_file file = { 0 };
    struct clfcn_state_dict *sd = NULL;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    const char *in = line.args[0], *out = line.args[1];
    if (!is_safetensors(out)) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                           "%s: import writes safetensors: name it so, OUT.safetensors",
                           out);
        goto out;
    }
    rc = cli_input(clfcn_weights_open(in, &file, err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_guess(&file, in, &sd, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_check(sd, "take what matches with --partial", partial, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_state_dict_save(sd, CLFCN_F32, out, err);
    }
    if (rc == CLFCN_OK) {
        rc = report(env, out, sd, err);
    }
out:
    clfcn_state_dict_destroy(&sd);
    clfcn_weights_close(&file);
    cli_line_free(&line);
    return rc;
}
