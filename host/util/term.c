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
