/* manual.c - manual pages, as roff with the macros of man(7). */
#include "manual.h"
#include "options.h"
#include <ctype.h>
#include <string.h>

/* Where on its line text begins: control lines start with a dot or a quote. */
enum place { LINE_START, WITHIN };

/* Text as it is. A dash is one that can be copied into a shell. */
static void put(const char *text, enum place place)
{
    bool start = place == LINE_START;
    for (const char *s = text; *s; ++s) {
        if (start && (*s == '.' || *s == '\'')) {
            fputs("\\&", stdout);
        }
        if (*s == '\\') {
            fputs("\\e", stdout);
        } else if (*s == '-') {
            fputs("\\-", stdout);
        } else if (*s == '\'') {
            fputs("\\(aq", stdout);
        } else {
            putchar(*s);
        }
        start = *s == '\n';
    }
}

/* A whole line of the input in bold: a command to type. */
static void put_bold(const char *text)
{
    fputs("\\fB", stdout);
    put(text, WITHIN);
    fputs("\\fR", stdout);
}

static void put_paragraphs(const char *text)
{
    for (const char *s = text; *s;) {
        const char *end = strstr(s, "\n\n");
        const size_t n = end ? (size_t)(end - s) : strlen(s);
        char paragraph[2048];
        snprintf(paragraph, sizeof(paragraph), "%.*s", (int)n, s);
        put(paragraph, LINE_START);
        putchar('\n');
        s += n;
        if (end) {
            s += 2;
            puts(".PP");
        }
    }
}

static void put_pairs(const char *heading, const struct cli_manual_pair *pairs)
{
    if (heading) {
        printf(".SH %s\n", heading);
    }
    for (; pairs->what; ++pairs) {
        puts(".TP");
        put_bold(pairs->what);
        putchar('\n');
        put(pairs->text, LINE_START);
        putchar('\n');
    }
}

static void put_examples(const struct cli_manual_pair *examples, int count)
{
    puts(".SH EXAMPLES");
    for (int i = 0; i < count && examples[i].what; ++i) {
        puts(i > 0 ? ".PP" : ".\\\"");
        put(examples[i].text, LINE_START);
        puts("\n.PP\n.nf\n.RS 4");
        put(examples[i].what, LINE_START);
        puts("\n.RE\n.fi");
    }
}

/* When the pages' words were last changed. */
static const char edition[] = "2026-11-23";

/* "train" has the page "clfcn-train". */
static void put_title(const char *command, const char *help)
{
    char upper[32];
    snprintf(upper, sizeof(upper), "%s", command);
    for (char *s = upper; *s; ++s) {
        *s = (char)toupper((unsigned char)*s);
    }
    printf(
        ".TH CLFCN%s%s 1 \"%s\" \"clfcn %s\" \"User commands\"\n.SH NAME\nclfcn%s%s \\- ",
        *upper ? "\\-" : "", upper, edition, clfcn_version(), *command ? "\\-" : "",
        command);
    put(help, WITHIN);
    putchar('\n');
}

/* Whether some of the options may be given when a run is gone on with. */
static bool resumes(const struct cli_option *own)
{
    bool found = false;
    for (const struct cli_option *o = own; o->name; ++o) {
        found = found || strcmp(o->name, "resume") == 0;
    }
    return found;
}

static void put_option(const struct cli_option *o, bool resumes)
{
    char text[512], dflt[64];
    puts(".TP");
    if (o->letter) {
        printf("\\fB\\-%c\\fR, ", o->letter);
    }
    fputs("\\fB\\-\\-", stdout);
    put(o->name, WITHIN);
    fputs("\\fR", stdout);
    if (*cli_option_arg(o)) {
        fputs(" \\fI", stdout);
        put(cli_option_arg(o), WITHIN);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    cli_option_text(o, text, sizeof(text));
    if (text[strcspn(text, " :")] != ':') { /* a value's name stays as it is typed */
        text[0] = (char)toupper((unsigned char)text[0]);
    }
    put(text, LINE_START);
    putchar('.');
    cli_value_text(o, dflt, sizeof(dflt));
    if (*dflt) {
        fputs("\nDefault: ", stdout);
        put(dflt, WITHIN);
        putchar('.');
    }
    puts(resumes && o->resume ? "\nAlso with \\fB\\-\\-resume\\fR." : "");
}

static void put_options(const struct cli_option *options, bool resumes)
{
    for (const struct cli_option *o = options; o->name; ++o) {
        if (o->kind == CLI_GROUP) {
            printf(".SS %s\n", o->help);
        } else {
            put_option(o, resumes);
        }
    }
}

static void put_see(const char *const *see, int count)
{
    puts(".SH SEE ALSO\n.BR clfcn (1),");
    for (int i = 0; i < count && see[i]; ++i) {
        printf(".BR clfcn\\-%s (1),\n", see[i]);
    }
    puts("the README.md of the source");
}

void cli_manual_command(const struct cli_command *command, const struct cli_option *own,
                        const struct cli_option *common)
{
    const struct cli_manual *m = cli_manual_find(command->name);
    put_title(command->name, command->help);
    printf(".SH SYNOPSIS\n\\fBclfcn %s\\fR ", command->name);
    put(command->args, WITHIN);
    puts("\n.SH DESCRIPTION");
    put_paragraphs(m ? m->text : command->help);
    puts(".SH OPTIONS\nAn option\\(aqs value follows it, or is joined to it by an equals "
         "sign.");
    put_options(own, resumes(own));
    puts(".SS General");
    put_options(common, false);
    put_pairs("EXIT STATUS", cli_manual_statuses);
    puts(".SH FILES");
    if (m) {
        put_pairs(NULL, m->files);
    }
    put_pairs(NULL, cli_manual_files);
    put_pairs("ENVIRONMENT", cli_manual_variables);
    if (m) {
        put_examples(m->examples, CLI_MANUAL_EXAMPLES);
        put_see(m->see, CLI_MANUAL_SEE);
    }
}

void cli_manual_program(const struct cli_command *commands, int count)
{
    const struct cli_manual *m = cli_manual_find("");
    put_title("", "train fully convolutional networks on any OpenCL device");
    puts(".SH SYNOPSIS\n\\fBclfcn\\fR COMMAND [options]\n.SH DESCRIPTION");
    put_paragraphs(m->text);
    puts(".SH COMMANDS");
    for (int i = 0; i < count; ++i) {
        printf(".TP\n.BR clfcn\\-%s (1)\n", commands[i].name);
        put(commands[i].help, LINE_START);
        putchar('\n');
    }
    put_pairs("OPTIONS", (const struct cli_manual_pair[]){
                             { "--help", "List the commands." },
                             { "--version", "Say the version." },
                             { "--man [COMMAND]",
                               "Print this page, or the command's, for man(1) to show." },
                             { "--completion bash",
                               "Print what makes bash complete clfcn's command lines." },
                             { 0 },
                         });
    put_pairs("EXIT STATUS", cli_manual_statuses);
    put_pairs("FILES", cli_manual_files);
    put_pairs("ENVIRONMENT", cli_manual_variables);
    put_examples(m->examples, CLI_MANUAL_EXAMPLES);
    puts(".SH SEE ALSO");
    for (int i = 0; i < count; ++i) {
        printf(".BR clfcn\\-%s (1)%s\n", commands[i].name, i + 1 < count ? "," : "");
    }
}
