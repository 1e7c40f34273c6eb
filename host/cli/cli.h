/* cli.h - what every subcommand shares: its environment, errors, output. */
#ifndef CLFCN_CLI_CLI_H
#define CLFCN_CLI_CLI_H

#include "../data/dataset.h"
#include "../device/dev.h"
#include "screen.h"
#include <clfcn/comm.h>
#include <jansson.h>

struct cli_env;

/* A row of the table in main.c. */
struct cli_command {
    const char *name, *args, *help;
    int min_args, max_args; /* of what is not an option; max_args < 0: any number */
    bool device;            /* takes --device */
    /* Returns CLFCN_OK, CLI_HELPED or an error whose reason is in err. */
    int (*run)(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
};

struct cli_option;

/* What --help does with a command's own options and those that all commands have. */
typedef void (*cli_help_fn)(const struct cli_command *command,
                            const struct cli_option *own,
                            const struct cli_option *common);

/* The device's own. */
enum { CLI_KERNEL_MS_DEFAULT = -1 };

/* A command's status, not an error: its help was printed, nothing else is to be done. */
enum { CLI_HELPED = 1 };

struct cli_env {
    const struct cli_command *command; /* NULL before it is known */
    cli_help_fn help;
    const char *device; /* --device */
    struct clfcn_comm *comm; /* the other ranks (job.h); NULL: this process alone */
    bool told;               /* the command's error has been printed already */
    bool json, quiet, verbose;
    double max_kernel_ms; /* --max-kernel-ms, or CLI_KERNEL_MS_DEFAULT */
    struct cli_screen screen;
    struct {
        const char *path; /* --profile, borrowed from the line; NULL: none */
        bool writable;    /* and found to be */
    } profile;
};

int cmd_bench(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_compare(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_data(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_devices(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_diverge(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_eval(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_export(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_import(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_info(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_plan(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_predict(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_report(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_selftest(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_train(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);
int cmd_tune(struct cli_env *env, int argc, char **argv, struct clfcn_err *err);

/* Send the library's messages to stderr, as many as --quiet and -v ask for. */
void cli_log_start(struct cli_env *env);

/* Open the device that --device names, or this rank's one of those that it names, and say
 * once which it is. Collective where env->comm is set: fails in all ranks if it does in
 * one. */
int cli_device_open(struct cli_env *env, struct clfcn_dev **dev, struct clfcn_err *err);

/* An error's one line on stderr. */
void cli_print_error(struct cli_env *env, const struct clfcn_err *err);

/* Whatever goes wrong while an input is opened makes that input bad: CLFCN_EIO becomes
 * CLFCN_EDATA. Returns the code. */
int cli_input(int rc, struct clfcn_err *err);

/* Note that an input is bad while others are worth going on with: prints the one noted
 * before, so that the last is left in *noted to be the command's error. Starts
 * zero-initialised. */
void cli_note_broken(struct cli_env *env, struct clfcn_err *noted,
                     const struct clfcn_err *err);

/* Where labelled pictures come from, as --data, with --format, or --images --masks
 * --classes say. */
struct cli_data {
    const char *data, *format, *images, *masks, *classes;
    const char *ignore; /* values, as --ignore gives them, or NULL */
};
/* --list FILE, where it is given, is --data FILE --format list. */
int cli_data_take_list(const char *list, const char **data, const char **format,
                       struct clfcn_err *err);
int cli_dataset_open(const struct cli_data *from, struct clfcn_dataset **out,
                     struct clfcn_err *err);

/* Print a line to stdout, bold where that is welcome. */
void cli_heading(const char *fmt, ...) CLFCN_PRINTF(1, 2);

/* Print object as one line on stdout; steals the reference. NULL counts as exhausted
 * memory. */
int cli_print_json(json_t *object, struct clfcn_err *err);

/* "1.5 GiB"; buf is returned. */
enum { CLI_BYTES_LEN = 24 };
const char *cli_format_bytes(uint64_t bytes, char buf[CLI_BYTES_LEN]);

/* The middle one of n numbers (the mean of the two middle ones), n >= 1; sorts them. */
double cli_median(double *v, int n);

#endif
