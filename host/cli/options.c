/* options.c - taking a command line apart, by a table of options. */
#include "options.h"
#include "../util/nearest.h"
#include <stdlib.h>
#include <string.h>

static int option_count(const struct cli_option *o)
{
    int n = 0;
    while (o[n].name) {
        ++n;
    }
    return n;
}

static void add_common(struct cli_line *line, struct cli_env *env, bool *help)
{
    int n = 0;
    if (env->command->device) {
        line->common[n++] = (struct cli_option){
            .name = "device", .kind = CLI_STRING, .target = &env->device, .arg = "SPEC",
            .help = "where to compute: auto, cpu, gpu, a number from 'clfcn devices', or "
                    "part of a name; under mpirun also a list as 0,2, one for each rank "
                    "on a host",
        };
    }
    line->common[n++] = (struct cli_option){
        .name = "json", .kind = CLI_FLAG, .target = &env->json,
        .help = "machine-readable output, one object a line",
    };
    line->common[n++] = (struct cli_option){
        .name = "quiet", .kind = CLI_FLAG, .target = &env->quiet,
        .help = "only results, warnings and errors",
    };
    line->common[n++] = (struct cli_option){
        .name = "verbose", .letter = 'v', .kind = CLI_FLAG, .target = &env->verbose,
        .help = "also say what is done inside",
    };
    line->common[n++] = (struct cli_option){
        .name = "help", .letter = 'h', .kind = CLI_FLAG, .target = help,
        .help = "show this list",
    };
}

/* Lay both tables out for popt: a row returns i + 1 for the option line->index[i]. */
static int build_table(struct cli_line *line, struct clfcn_err *err)
{
    int own = option_count(line->options), total = own + option_count(line->common);
    line->table = calloc((size_t)total + 1, sizeof(*line->table));
    line->index = calloc((size_t)total + 1, sizeof(*line->index));
    if (!line->table || !line->index) {
        return clfcn_err_nomem(err);
    }
    for (int i = 0, row = 0; i < total; ++i) {
        const struct cli_option *o = i < own ? &line->options[i] : &line->common[i - own];
        bool flag = o->kind == CLI_FLAG || o->kind == CLI_UNFLAG;
        line->index[i] = o;
        if (o->kind == CLI_GROUP) {
            continue;
        }
        line->table[row++] = (struct poptOption){
            .longName = o->name,
            .shortName = o->letter,
            .argInfo = flag      ? POPT_ARG_NONE
                       : o->bare ? POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL
                                 : POPT_ARG_STRING,
            .val = i + 1,
        };
    }
    return CLFCN_OK;
}

static int bad_option(const struct cli_line *line, int code, const struct cli_env *env,
                      struct clfcn_err *err)
{
    char word[64];
    snprintf(word, sizeof(word), "%s", poptBadOption(line->popt, POPT_BADOPTION_NOALIAS));
    word[strcspn(word, "=")] = '\0';
    if (code == POPT_ERROR_NOARG) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s: its value is missing", word);
    }
    if (code == POPT_ERROR_UNWANTEDARG) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s takes no value", word);
    }
    if (code != POPT_ERROR_BADOPT) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "%s: %s", word, poptStrerror(code));
    }
    struct clfcn_nearest near = { .word = word + strspn(word, "-") };
    for (int i = 0; line->index[i]; ++i) {
        if (line->index[i]->kind != CLI_GROUP) {
            clfcn_nearest_offer(&near, line->index[i]->name);
        }
    }
    if (near.best) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "unknown option %s; did you mean --%s?", word, near.best);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0, "unknown option %s; see 'clfcn %s --help'",
                         word, env->command->name);
}

static int collect(struct cli_line *line, const struct cli_env *env,
                   struct clfcn_err *err)
{
    int own = option_count(line->options), val;
    while ((val = poptGetNextOpt(line->popt)) > 0) {
        int i = val - 1;
        struct cli_option *o = i < own ? &line->options[i] : &line->common[i - own];
        char *raw = poptGetOptArg(line->popt);
        if (!raw) {
            raw = strdup(o->bare ? o->bare : ""); /* a flag: present is all to know */
        }
        if (!raw) {
            return clfcn_err_nomem(err);
        }
        const bool again = o->kind == CLI_PAIR && o->raw;
        if (again && o->second) {
            free(raw);
            return clfcn_err_set(err, CLFCN_EINVAL, 0, "--%s is given more than twice",
                                 o->name);
        }
        char **to = again ? &o->second : &o->raw;
        free(*to);
        *to = raw;
    }
    if (val < -1) {
        return bad_option(line, val, env, err);
    }
    line->args = poptGetArgs(line->popt);
    while (line->args && line->args[line->arg_count]) {
        ++line->arg_count;
    }
    return CLFCN_OK;
}

static int check_args(const struct cli_line *line, const struct cli_command *cmd,
                      struct clfcn_err *err)
{
    if (line->arg_count < cmd->min_args) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "an argument is missing: clfcn %s %s",
                             cmd->name, cmd->args);
    }
    if (cmd->max_args >= 0 && line->arg_count > cmd->max_args) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "unexpected argument '%s': clfcn %s %s",
                             line->args[cmd->max_args], cmd->name, cmd->args);
    }
    return CLFCN_OK;
}

static int apply_table(const struct cli_option *options, struct clfcn_err *err)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        int rc = o->raw ? cli_value_set(o, err) : CLFCN_OK;
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

int cli_line_parse(struct cli_line *line, struct cli_env *env, struct cli_option *options,
                   int argc, char **argv, struct clfcn_err *err)
{
    bool help = false;
    *line = (struct cli_line){ .options = options };
    add_common(line, env, &help);
    int rc = build_table(line, err);
    if (rc < 0) {
        return rc;
    }
    line->popt = poptGetContext("clfcn", argc, (const char **)argv, line->table, 0);
    if (!line->popt) {
        return clfcn_err_nomem(err);
    }
    rc = collect(line, env, err);
    if (rc < 0) {
        return rc;
    }
    /* Help shows the defaults: before anything is applied. */
    for (const struct cli_option *o = line->common; o->name; ++o) {
        if (o->target == &help && o->raw) {
            env->help(env->command, line->options, line->common);
            return CLI_HELPED;
        }
    }
    rc = apply_table(line->common, err);
    if (rc < 0) {
        return rc;
    }
    cli_log_start(env);
    return check_args(line, env->command, err);
}

int cli_line_apply(struct cli_line *line, struct clfcn_err *err)
{
    return apply_table(line->options, err);
}

int cli_line_read(struct cli_line *line, struct cli_env *env, struct cli_option *options,
                  int argc, char **argv, struct clfcn_err *err)
{
    int rc = cli_line_parse(line, env, options, argc, argv, err);
    return rc == CLFCN_OK ? cli_line_apply(line, err) : rc;
}

static void free_raw(struct cli_option *options)
{
    for (struct cli_option *o = options; o && o->name; ++o) {
        free(o->raw);
        free(o->second);
        o->raw = o->second = NULL;
    }
}

void cli_line_free(struct cli_line *line)
{
    free_raw(line->options);
    free_raw(line->common);
    poptFreeContext(line->popt);
    free(line->table);
    free(line->index);
    *line = (struct cli_line){ 0 };
}
