/* screen.c - lines on the terminal, and one live line below them that is redrawn. */
#include "screen.h"
#include "../util/sys.h"
#include <stdarg.h>
#include <string.h>

void cli_screen_init(struct cli_screen *s)
{
    clfcn_mutex_init(&s->lock);
    s->terminal = clfcn_term_is_tty(stderr);
    s->live = false;
}

void cli_screen_finish(struct cli_screen *s)
{
    cli_screen_clear(s);
    clfcn_mutex_finish(&s->lock);
}

static void wipe(struct cli_screen *s)
{
    if (s->live) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        s->live = false;
    }
}

void cli_screen_print(struct cli_screen *s, FILE *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    clfcn_mutex_lock(&s->lock);
    wipe(s);
    vfprintf(f, fmt, ap);
    fflush(f);
    clfcn_mutex_unlock(&s->lock);
    va_end(ap);
}

void cli_screen_live(struct cli_screen *s, const char *text)
{
    clfcn_mutex_lock(&s->lock);
    /* The last column stays free: some terminals wrap as soon as it is written. */
    int width = clfcn_term_width() - 1;
    int n = (int)strlen(text);
    fprintf(stderr, "\r%.*s\033[K", n < width ? n : width, text);
    fflush(stderr);
    s->live = true;
    clfcn_mutex_unlock(&s->lock);
}

void cli_screen_clear(struct cli_screen *s)
{
    clfcn_mutex_lock(&s->lock);
    wipe(s);
    clfcn_mutex_unlock(&s->lock);
}
