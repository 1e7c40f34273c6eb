/* cmd_predict.c - clfcn predict: masks for pictures. */
#include "../util/path.h"
#include "../util/sys.h"
#include "model.h"
#include "predict.h"
#include "profile.h"

int cmd_predict(struct cli_env *env, int argc, char **argv, struct clfcn_err *err)
{
    struct cli_model_options how = { 0 };
    struct cli_predict job = { .env = env };
    struct cli_option options[] = {
        { .name = "out", .kind = CLI_STRING, .target = &job.out, .arg = "DIR",
          .help = "folder for NAME.png: class numbers with the classes' colours as "
                  "palette, at the picture's size" },
        { .name = "overlay", .kind = CLI_FLAG, .target = &job.overlay,
          .help = "also NAME.overlay.png: the picture under the classes' colours" },
        { .name = "logits", .kind = CLI_FLAG, .target = &job.logits,
          .help = "also NAME.npy: float32 [class][height][width] at the network's size" },
        CLI_MODEL_ROWS(&how),
        { .name = "classes", .kind = CLI_STRING, .target = &how.classes, .arg = "FILE",
          .help = "classes.txt (a bare weights file needs it)" },
        CLI_OPT_KERNEL_MS(env),
        CLI_OPT_PROFILE(env),
        { 0 },
    };
    struct cli_line line;
    struct cli_model model = { 0 };
    struct cli_inputs inputs = { 0 };
    struct clfcn_dev *dev = NULL;
    int rc = cli_line_read(&line, env, options, argc, argv, err);
    if (rc != CLFCN_OK) {
        goto out;
    }
    if (!job.out) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0,
                           "--out is missing: the folder for the masks");
        goto out;
    }
    const char *path = line.args[0];
    rc = cli_model_open(&model, path, &how, NULL, err);
    if (rc < 0) {
        goto out;
    }
    rc = cli_inputs_gather(&inputs, line.args + 1, line.arg_count - 1, job.out, err);
    if (rc < 0) {
        goto out;
    }
    rc = cli_device_open(env, &dev, err);
    if (rc == CLFCN_OK) {
        rc = cli_profile_start(env, dev, err);
    }
    if (rc < 0) {
        goto out;
    }
    rc = cli_model_build(&model, path, &how, inputs.count, dev, &job.net, err);
    if (rc < 0) {
        goto out;
    }
    rc = clfcn_path_mkdir(job.out, 0777, err);
    if (rc < 0) {
        goto out;
    }
    clfcn_interrupt_install();
    job.classes = &model.classes;
    job.resize = model.resize;
    job.inputs = &inputs;
    job.stop = clfcn_interrupt_flag();
    rc = cli_predict_run(&job, err);
out:
    clfcn_net_destroy(&job.net);
    clfcn_dev_close(&dev);
    rc = cli_profile_finish(env, rc, err);
    cli_inputs_free(&inputs);
    cli_model_close(&model);
    cli_line_free(&line);
    return rc;
}
