/* options.h - a command's options as a table: parsed, checked, and listed by --help. */
#ifndef CLFCN_CLI_OPTIONS_H
#define CLFCN_CLI_OPTIONS_H

#include "../data/format.h"
#include "cli.h"
#include <popt.h>

enum cli_kind {
    CLI_GROUP,    /* no option: help is the heading of those that follow */
    CLI_FLAG,     /* bool, becomes true */
    CLI_UNFLAG,   /* bool, becomes false */
    CLI_STRING,   /* const char *, borrowed from the line */
    CLI_PAIR,     /* const char *[2], likewise: an option that may be given twice */
    CLI_INT,
    CLI_INT64,
    CLI_UINT64,   /* up to INT64_MAX: what JSON files hold */
    CLI_DOUBLE,
    CLI_BYTES,  /* size_t; K, M or G may follow the number */
    CLI_SIZE,   /* WIDTHxHEIGHT: int target, int height */
    CLI_CHOICE, /* an enum that counts from 0, by name */
    CLI_AUGMENT, /* struct clfcn_augment */
};

/* One option. A name of NULL ends a table. */
struct cli_option {
    const char *name; /* without dashes */
    enum cli_kind kind;
    void *target;     /* of the kind's type: holds the default, receives the value */
    int *height;      /* CLI_SIZE only */
    const char *(*choice)(int i); /* of CLI_CHOICE, and of a CLI_STRING that shells are to
                                     complete: name of i, NULL past the last */
    const char *arg;  /* what stands for the value in the help, NULL: the kind's usual */
    const char *help;
    const char *dflt; /* default to show instead of the target's value; "": none */
    const char *bare; /* the value where it is left out; NULL: it may not be */
    char letter;      /* short form, or 0 */
    bool resume;      /* train only: may be given with --resume */
    char *raw; /* filled by cli_line_parse(): the value as given, NULL if it was not */
    char *second; /* CLI_PAIR only: likewise, of the second time */
};

/* A command line taken apart. Zero-initialised is empty. */
struct cli_line {
    struct cli_option *options; /* the command's own, borrowed */
    struct cli_option common[8];
    const char **args;          /* what is not an option, borrowed from popt */
    int arg_count;
    poptContext popt;
    struct poptOption *table;
    const struct cli_option **index; /* option of each row of table */
};

/* Take argv apart; targets are not touched yet, except the common options', which go to
 * env and take effect. CLI_HELPED after --help; CLFCN_EINVAL names what is wrong. Free
 * with cli_line_free() in every case; strings live until then. */
int cli_line_parse(struct cli_line *line, struct cli_env *env, struct cli_option *options,
                   int argc, char **argv, struct clfcn_err *err);
/* Convert the values that were given into their targets. */
int cli_line_apply(struct cli_line *line, struct clfcn_err *err);
void cli_line_free(struct cli_line *line);

/* Both in one. */
int cli_line_read(struct cli_line *line, struct cli_env *env, struct cli_option *options,
                  int argc, char **argv, struct clfcn_err *err);

/* Convert o->raw into o->target. (value.c) */
int cli_value_set(const struct cli_option *o, struct clfcn_err *err);
/* The target's value as text; "" if there is none to show. (value.c) */
void cli_value_text(const struct cli_option *o, char *buf, size_t n);

/* What stands for the option's value: "DIR", "N"; "" for a flag. (help.c) */
const char *cli_option_arg(const struct cli_option *o);
/* Its help with the choices there are, without the default; buf is returned. (help.c) */
const char *cli_option_text(const struct cli_option *o, char *buf, size_t n);

/* Each prints a command's options to stdout in its way, and is a cli_help_fn: for people
 * (help.c), as a manual page (manual.c), as a part of the completion (complete.c). */
void cli_help_command(const struct cli_command *command, const struct cli_option *own,
                      const struct cli_option *common);
void cli_manual_command(const struct cli_command *command, const struct cli_option *own,
                        const struct cli_option *common);
void cli_complete_command(const struct cli_command *command, const struct cli_option *own,
                          const struct cli_option *common);

/* Names for CLI_CHOICE. */
const char *cli_choice_arch(int i);
const char *cli_choice_backbone(int i);
const char *cli_choice_loss(int i);
const char *cli_choice_optimizer(int i);
const char *cli_choice_gemm(int i);
const char *cli_choice_lr_policy(int i);
const char *cli_choice_sync_bn(int i);
const char *cli_choice_wire(int i);
const char *cli_choice_resize(int i);

/* The network that commands about devices take unless options say otherwise. */
#define CLI_REFERENCE_NET \
    { .arch = CLFCN_FCNS, .backbone = CLFCN_VGG16, .classes = 2, .width = 160, \
      .height = 160, .batch = 4 }

/* Heads the rows that follow it. */
#define CLI_GROUP_ROW(title) { .name = "", .kind = CLI_GROUP, .help = (title) }

/* Rows that several commands have. */
#define CLI_OPT_ARCH(t) \
    { .name = "arch", .kind = CLI_CHOICE, .target = (t), .choice = cli_choice_arch, \
      .help = "head of the network" }
#define CLI_OPT_BACKBONE(t) \
    { .name = "backbone", .kind = CLI_CHOICE, .target = (t), \
      .choice = cli_choice_backbone, .help = "its backbone" }
#define CLI_OPT_SIZE(w, h) \
    { .name = "size", .kind = CLI_SIZE, .target = (w), .height = (h), \
      .help = "width x height of the network's input, multiples of 32" }
#define CLI_OPT_BATCH(t) \
    { .name = "batch", .kind = CLI_INT, .target = (t), .help = "images a pass" }
#define CLI_OPT_CLASSES(t) \
    { .name = "classes", .kind = CLI_INT, .target = (t), .help = "number of classes" }
#define CLI_OPT_LOSS(t) \
    { .name = "loss", .kind = CLI_CHOICE, .target = (t), .choice = cli_choice_loss, \
      .help = "loss function" }
#define CLI_OPT_OPTIMIZER(t) \
    { .name = "optimizer", .kind = CLI_CHOICE, .target = (t), \
      .choice = cli_choice_optimizer, .help = "update rule" }
#define CLI_OPT_AUGMENT(t, shown) \
    { .name = "augment", .kind = CLI_AUGMENT, .target = (t), .dflt = (shown), \
      .help = "random changes to the pictures: flip, vflip, scale=0.75-1.5, crop, " \
              "rotate=10, brightness=0.2, contrast=0.2, saturation=0.2, noise=0.02, " \
              "some of them, with these or other amounts, or standard" }
#define CLI_OPT_RESIZE(t) \
    { .name = "resize", .kind = CLI_CHOICE, .target = (t), \
      .choice = cli_choice_resize, \
      .help = "to the network's size: bilinear as PyTorch does it, or area, the mean " \
              "over each pixel" }
#define CLI_OPT_CLIP_GRAD(t) \
    { .name = "clip-grad", .kind = CLI_DOUBLE, .target = (t), .arg = "NORM", \
      .help = "scale gradients down to this norm of all together; 0: never" }
#define CLI_OPT_GEMM(t) \
    { .name = "gemm", .kind = CLI_CHOICE, .target = (t), .choice = cli_choice_gemm, \
      .help = "matrix products", .resume = true }
#define CLI_OPT_WORKSPACE(t) \
    { .name = "workspace", .kind = CLI_BYTES, .target = (t), .resume = true, \
      .help = "limit of the convolutions' scratch memory on the device", \
      .dflt = "chosen for the device" }
#define CLI_OPT_MEM(t) \
    { .name = "mem", .kind = CLI_BYTES, .target = (t), .resume = true, \
      .help = "make it fit into so much device memory, at the least cost of time; batch " \
              "norm still sees the whole batch", \
      .dflt = "no limit" }

#define CLI_OPT_KERNEL_MS(env) \
    { .name = "max-kernel-ms", .kind = CLI_DOUBLE, .target = &(env)->max_kernel_ms, \
      .resume = true, .arg = "N", \
      .help = "cut kernels that take more milliseconds into slices; 0: never", \
      .dflt = "50 on integrated GPUs, else 0" }

#define CLI_OPT_TENSORBOARD(t) \
    { .name = "tensorboard", .kind = CLI_STRING, .target = (t), .arg = "DIR", \
      .resume = true, .help = "write an event file for TensorBoard there, too" }

#define CLI_OPT_FORMAT(t) \
    { .name = "format", .kind = CLI_STRING, .target = (t), .arg = "NAME", \
      .choice = clfcn_format_name, .dflt = "recognised", \
      .help = "of the data: plain, voc, camvid, cityscapes or list" }
#define CLI_OPT_IGNORE(t) \
    { .name = "ignore", .kind = CLI_STRING, .target = (t), .arg = "VALUES", \
      .help = "mask values that count nowhere, too: 255, 0-7, or r,g,b", .dflt = "none" }
#define CLI_OPT_LIST(t) \
    { .name = "list", .kind = CLI_STRING, .target = (t), .arg = "FILE", \
      .help = "in place of --data: lines of IMAGE<TAB>MASK, or names of images" }

#define CLI_DATA_ROWS(d) \
    { .name = "data", .kind = CLI_STRING, .target = &(d)->data, .arg = "DIR", \
      .help = "folder of a data set; or demo, the built-in set" }, \
    CLI_OPT_FORMAT(&(d)->format), \
    { .name = "images", .kind = CLI_STRING, .target = &(d)->images, .arg = "DIR", \
      .help = "folder of pictures, where not in --data" }, \
    { .name = "masks", .kind = CLI_STRING, .target = &(d)->masks, .arg = "DIR", \
      .help = "folder of masks, with the pictures' names" }, \
    { .name = "classes", .kind = CLI_STRING, .target = &(d)->classes, .arg = "FILE", \
      .help = "a line a class: NAME VALUES [#RRGGBB]" }, \
    CLI_OPT_IGNORE(&(d)->ignore)

#endif
