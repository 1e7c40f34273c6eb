/* term.c - what the terminal can do. */
#include "sys.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool clfcn_term_is_tty(FILE *f)
{
    const char *term = getenv("TERM");
    return isatty(fileno(f)) && term && *term && strcmp(term, "dumb") != 0;
}

bool clfcn_term_has_color(FILE *f)
{
    const char *no_color = getenv("NO_COLOR");
    return clfcn_term_is_tty(f) && !(no_color && *no_color);
}

const char *clfcn_term_style(FILE *f, enum clfcn_term_style style)
{
    static const char *const escapes[] = {
        [CLFCN_TERM_PLAIN] = "\033[0m",
        [CLFCN_TERM_BOLD] = "\033[1m",
        [CLFCN_TERM_RED] = "\033[1;31m",
        [CLFCN_TERM_YELLOW] = "\033[1;33m",
    };
    return clfcn_term_has_color(f) ? escapes[style] : "";
}

int clfcn_term_width(void)
{
    static const int fds[] = { STDERR_FILENO, STDOUT_FILENO };
    for (int i = 0; i < 2; ++i) {
        struct winsize size;
        if (ioctl(fds[i], TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
            return size.ws_col;
        }
    }
    return 80;
}
