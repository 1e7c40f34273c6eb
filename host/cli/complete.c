/* complete.c - a script that makes bash complete clfcn's command lines. */
#include "complete.h"
#include "options.h"
#include <string.h>

/* _clfcn_command COMMAND PREVIOUS-WORD sets $wants to what belongs behind that word if it
 * is an option with a value (words, which are $values then, files, folders, or nothing),
 * else $argument to what the command's arguments are, $words to those that name no
 * file, and $options. */
static const char head[] = "_clfcn_command()\n"
                           "{\n"
                           "    case $1 in\n";

/* `--arch=fcn` comes as three words, as '=' breaks words in bash. */
static const char tail[] =
    "    esac\n"
    "}\n\n"
    "_clfcn()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local wants= values= argument= words= options= IFS=$' \\t\\n'\n"
    "    if [[ $cur == = ]]; then\n"
    "        cur=\n"
    "    elif [[ $prev == = ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    if (( COMP_CWORD == 1 )); then\n"
    "        wants=words values=\"$_clfcn_commands --help --version\"\n"
    "    else\n"
    "        _clfcn_command \"${COMP_WORDS[1]}\" \"$prev\"\n"
    "    fi\n"
    "    if [[ -z $wants && $cur == -* ]]; then\n"
    "        wants=words values=$options\n"
    "    fi\n"
    "    if [[ -z $wants ]]; then\n"
    "        values=$words\n"
    "    fi\n"
    "    if [[ -n $values ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
    "    fi\n"
    "    IFS=$'\\n'\n"
    "    case ${wants:-$argument} in\n"
    "    files)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        COMPREPLY+=($(compgen -f -- \"$cur\")) ;;\n"
    "    folders)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        COMPREPLY+=($(compgen -d -- \"$cur\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _clfcn clfcn\n";

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* What belongs behind an option; NULL behind a flag. */
static const char *wants(const struct cli_option *o)
{
    const char *arg = cli_option_arg(o);
    return !*arg || o->kind == CLI_GROUP                  ? NULL
           : o->choice || strcmp(arg, "SPEC") == 0        ? "words"
           : starts_with(arg, "DIR")                      ? "folders"
           : o->kind == CLI_STRING && strstr(arg, "FILE") ? "files"
                                                          : "nothing";
}

static void print_values(const struct cli_option *o)
{
    const char *what = wants(o);
    if (!what) {
        return;
    }
    printf("        --%s) wants=%s", o->name, what);
    if (o->choice) {
        printf(" values='");
        for (int i = 0; o->choice(i); ++i) {
            printf("%s%s", i ? " " : "", o->choice(i));
        }
        putchar('\'');
    } else if (strcmp(what, "words") == 0) {
        printf(" values='auto cpu gpu'");
    } else if (strcmp(o->name, "data") == 0) {
        printf(" values=demo");
    }
    printf(" ;;\n");
}

static void print_names(const struct cli_option *options, const char **separator)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        if (o->kind != CLI_GROUP) {
            printf("%s--%s", *separator, o->name);
            *separator = " ";
        }
    }
}

void cli_complete_command(const struct cli_command *command, const struct cli_option *own,
                          const struct cli_option *common)
{
    const char *separator = "";
    printf("    %s)\n        argument=%s words=%s options='", command->name,
           command->max_args == 0 ? "nothing" : "files",
           strstr(command->args, "|demo") ? "demo" : "");
    print_names(own, &separator);
    print_names(common, &separator);
    printf("'\n        case $2 in\n");
    for (const struct cli_option *o = own; o->name; ++o) {
        print_values(o);
    }
    for (const struct cli_option *o = common; o->name; ++o) {
        print_values(o);
    }
    printf("        esac ;;\n");
}

void cli_complete_begin(const struct cli_command *commands, int count)
{
    printf("# Completion for bash, by 'clfcn --completion bash'.\n\n_clfcn_commands='");
    for (int i = 0; i < count; ++i) {
        printf("%s%s", i ? " " : "", commands[i].name);
    }
    printf("'\n\n%s", head);
}

void cli_complete_end(void)
{
    fputs(tail, stdout);
}
