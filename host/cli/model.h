/* model.h - a trained network as a command's argument: a checkpoint, or bare weights
 * described by options. */
#ifndef CLFCN_CLI_MODEL_H
#define CLFCN_CLI_MODEL_H

#include "../train/checkpoint.h"
#include "options.h"

/* What the command line says of it; zero or NULL where it says nothing. */
struct cli_model_options {
    const char *arch, *backbone;
    int width, height, batch;
    const char *resize;
    const char *classes; /* classes.txt */
    enum clfcn_gemm_kind gemm;
    size_t workspace_bytes;
};

#define CLI_MODEL_ROWS(m) \
    { .name = "arch", .kind = CLI_STRING, .target = &(m)->arch, \
      .choice = cli_choice_arch, \
      .help = "head of the network (a bare weights file needs it)" }, \
    { .name = "backbone", .kind = CLI_STRING, .target = &(m)->backbone, \
      .choice = cli_choice_backbone, \
      .help = "its backbone (a bare weights file needs it)" }, \
    { .name = "size", .kind = CLI_SIZE, .target = &(m)->width, .height = &(m)->height, \
      .dflt = "as trained", \
      .help = "width x height of the network's input, multiples of 32 " \
              "(a bare weights file needs it)" }, \
    { .name = "batch", .kind = CLI_INT, .target = &(m)->batch, \
      .dflt = "as trained, else 4", .help = "images a pass" }, \
    { .name = "resize", .kind = CLI_STRING, .target = &(m)->resize, .arg = "NAME", \
      .dflt = "as trained, else bilinear", \
      .help = "of pictures to the network's size: bilinear or area" }, \
    CLI_OPT_GEMM(&(m)->gemm), \
    CLI_OPT_WORKSPACE(&(m)->workspace_bytes)

/* Zero-initialised is closed. */
struct cli_model {
    struct clfcn_weights_file file;
    struct clfcn_checkpoint_info info; /* has_metadata false: bare weights */
    struct clfcn_net_desc desc;
    enum clfcn_resize resize;
    struct clfcn_classes classes;
};

/* Open path and settle what network it is. dataset_classes, of the data it will be used
 * on, may be NULL. CLFCN_EINVAL if a bare file lacks a description; CLFCN_EDATA if file,
 * options and data contradict one another. */
int cli_model_open(struct cli_model *model, const char *path,
                   const struct cli_model_options *options,
                   const struct clfcn_classes *dataset_classes, struct clfcn_err *err);
void cli_model_close(struct cli_model *model);

/* Build it for inference on dev, with its weights. batch is lowered to images if that is
 * less. */
int cli_model_build(struct cli_model *model, const char *path,
                    const struct cli_model_options *options, int images,
                    struct clfcn_dev *dev, struct clfcn_net **net, struct clfcn_err *err);

#endif
