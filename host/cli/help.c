/* help.c - what --help prints: usage, then the options, aligned, with their defaults. */
#include "options.h"
#include <ctype.h>
#include <string.h>

enum { PAGE = 90, LEFT = 26 };

/* Print words from column indent on, where the cursor is, wrapped to the page. */
static void print_wrapped(const char *text, int indent)
{
    int column = indent;
    const char *s = text;
    while (*s) {
        int n = (int)strcspn(s, " ");
        if (column > indent && column + 1 + n > PAGE) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            ++column;
        }
        printf("%.*s", n, s);
        column += n;
        s += n;
        s += strspn(s, " ");
    }
    putchar('\n');
}

static const char *placeholder(const struct cli_option *o)
{
    if (o->arg) {
        return o->arg;
    }
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_UNFLAG:
        return "";
    case CLI_STRING:
    case CLI_PAIR:
    case CLI_CHOICE:
        return "NAME";
    case CLI_BYTES:
        return "BYTES";
    case CLI_SIZE:
        return "WxH";
    case CLI_INT:
    case CLI_INT64:
    case CLI_UINT64:
        return "N";
    case CLI_DOUBLE:
        return "X";
    case CLI_AUGMENT:
        return "LIST";
    }
    return "";
}

static void print_option(const struct cli_option *o)
{
    char left[64], text[512], dflt[64];
    const char *arg = placeholder(o);
    int n = o->letter ? snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof(left), "  --%s", o->name);
    if (*arg) {
        snprintf(left + n, sizeof(left) - (size_t)n, " %s", arg);
    }
    size_t len = (size_t)snprintf(text, sizeof(text), "%s", o->help);
    for (int i = 0; o->kind == CLI_CHOICE && o->choice(i) && len < sizeof(text); ++i) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s", i ? "," : ":",
                                o->choice(i));
    }
    cli_value_text(o, dflt, sizeof(dflt));
    if (*dflt && len < sizeof(text)) {
        snprintf(text + len, sizeof(text) - len, " [%s]", dflt);
    }
    printf("%-*s", LEFT, left);
    if (strlen(left) >= LEFT) {
        printf("\n%*s", LEFT, "");
    }
    print_wrapped(text, LEFT);
}

void cli_help_command(const struct cli_command *command, const struct cli_option *own,
                      const struct cli_option *common)
{
    printf("Usage: clfcn %s%s%s\n\n%c%s.\n", command->name, *command->args ? " " : "",
           command->args, toupper((unsigned char)command->help[0]), command->help + 1);
    printf("\nOptions, with their defaults in brackets:\n");
    for (const struct cli_option *o = own; o->name; ++o) {
        print_option(o);
    }
    if (own->name) {
        putchar('\n');
    }
    for (const struct cli_option *o = common; o->name; ++o) {
        print_option(o);
    }
}
