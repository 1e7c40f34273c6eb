/* help.c - what --help prints: usage, then the options, aligned, with their defaults. */
#include "options.h"
#include "../util/sys.h"
#include <ctype.h>
#include <string.h>

enum { LEFT = 24, NARROWEST = 60, WIDEST = 100 };

/* Columns to fill. Without a terminal there are 80. */
static int page_width(void)
{
    const int width = clfcn_term_width();
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width;
}

/* Print words from column indent on, where the cursor is, wrapped to the page. */
static void print_wrapped(const char *text, int indent)
{
    const int width = page_width();
    int column = indent;
    const char *s = text;
    while (*s) {
        int n = (int)strcspn(s, " ");
        if (column > indent && column + 1 + n > width) {
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

const char *cli_option_arg(const struct cli_option *o)
{
    if (o->arg) {
        return o->arg;
    }
    switch (o->kind) {
    case CLI_GROUP:
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

static bool has_word(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *s = text; (s = strstr(s, word)) != NULL; s += n) {
        if ((s == text || !isalnum((unsigned char)s[-1])) &&
            !isalnum((unsigned char)s[n])) {
            return true;
        }
    }
    return false;
}

/* Whether the help itself says what there is to choose from. */
static bool names_choices(const struct cli_option *o)
{
    bool all = true;
    for (int i = 0; all && o->choice(i); ++i) {
        all = has_word(o->help, o->choice(i));
    }
    return all;
}

const char *cli_option_text(const struct cli_option *o, char *buf, size_t n)
{
    const bool list = o->kind == CLI_CHOICE && !names_choices(o);
    size_t len = (size_t)snprintf(buf, n, "%s", o->help);
    for (int i = 0; list && o->choice(i) && len < n; ++i) {
        len += (size_t)snprintf(buf + len, n - len, "%s %s", i ? "," : ":", o->choice(i));
    }
    return buf;
}

static void print_option(const struct cli_option *o)
{
    char left[64], text[512], dflt[64];
    const char *arg = cli_option_arg(o);
    int n = o->letter ? snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name)
                      : snprintf(left, sizeof(left), "  --%s", o->name);
    if (*arg) {
        snprintf(left + n, sizeof(left) - (size_t)n, " %s", arg);
    }
    cli_option_text(o, text, sizeof(text));
    cli_value_text(o, dflt, sizeof(dflt));
    const size_t len = strlen(text);
    if (*dflt) {
        snprintf(text + len, sizeof(text) - len, " [%s]", dflt);
    }
    printf("%-*s", LEFT, left);
    if (strlen(left) >= LEFT) {
        printf("\n%*s", LEFT, "");
    }
    print_wrapped(text, LEFT);
}

static void print_group(const char *title)
{
    putchar('\n');
    cli_heading("%s:", title);
}

static void print_table(const struct cli_option *options)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        if (o->kind == CLI_GROUP) {
            print_group(o->help);
        } else {
            print_option(o);
        }
    }
}

void cli_help_command(const struct cli_command *command, const struct cli_option *own,
                      const struct cli_option *common)
{
    char text[256];
    cli_heading("Usage:");
    snprintf(text, sizeof(text), "clfcn %s %s", command->name, command->args);
    printf("  ");
    print_wrapped(text, 2);
    snprintf(text, sizeof(text), "%c%s. Defaults stand in brackets.",
             toupper((unsigned char)command->help[0]), command->help + 1);
    putchar('\n');
    print_wrapped(text, 0);
    if (own->name && own->kind != CLI_GROUP) {
        print_group("Options");
    }
    print_table(own);
    print_group("General");
    print_table(common);
}
