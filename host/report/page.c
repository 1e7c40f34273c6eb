/* page.c - the frames around the sections: the report's, which is a file, and the
 * dashboard's. */
#include "page.h"
#include "../util/sys.h"
#include "html.h"
#include <inttypes.h>
#include <math.h>

static void begin(struct clfcn_strbuf *out, const char *name)
{
    clfcn_strbuf_add(
        out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<link rel=\"icon\" href=\"data:,\">\n<title>clfcn: ");
    clfcn_html_text(out, name);
    clfcn_strbuf_add(out, "</title>\n<style>\n%s</style>\n", clfcn_report_css);
}

void clfcn_page_tile(struct clfcn_strbuf *out, const char *name, const char *format,
                     double value, const char *note)
{
    char text[32];
    if (!isfinite(value)) {
        return;
    }
    snprintf(text, sizeof(text), format, value);
    clfcn_strbuf_add(
        out, "<div class=\"tile\"><span>%s</span><b>%s</b><span>%s</span></div>\n", name,
        text, note);
}

void clfcn_page_report(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    char now[32], state[CLFCN_PAGE_STATE_LEN];
    clfcn_clock_iso(now, sizeof(now));
    begin(out, h->name);
    clfcn_strbuf_add(out, "</head>\n<body><main>\n<header>\n");
    clfcn_page_head(out, h);
    clfcn_strbuf_add(out, "<p class=\"state\"%s>",
                     clfcn_page_failed(h) ? " data-state=\"failed\"" : "");
    clfcn_html_text(out, clfcn_page_state(h, state));
    clfcn_strbuf_add(
        out,
        "</p>\n<p class=\"soft\">%d of %g epochs, %" PRId64 " steps</p>\n</header>\n",
        h->epoch_total, clfcn_history_number(h->config, "epochs"), h->step_count);
    clfcn_page_summary(out, h);
    clfcn_page_charts(out, h);
    clfcn_page_results(out, h, false);
    clfcn_strbuf_add(
        out, "<footer>Written by clfcn %s, %s</footer>\n</main></body>\n</html>\n",
        clfcn_version(), now);
}

void clfcn_page_dashboard(struct clfcn_strbuf *out, const char *name)
{
    begin(out, name);
    clfcn_strbuf_add(
        out, "<script src=\"dashboard.js\" defer></script>\n</head>\n<body><main>\n"
             "<header><div id=\"head\"><h1>");
    clfcn_html_text(out, name);
    clfcn_strbuf_add(
        out,
        "</h1></div></header>\n"
        "<div class=\"controls\" role=\"group\" aria-label=\"Training\">\n"
        "<p id=\"state\" class=\"state\" role=\"status\">Connecting</p>\n"
        "<button type=\"button\" id=\"pause\" disabled>Pause</button>\n"
        "<button type=\"button\" id=\"stop\" disabled>Stop</button>\n</div>\n"
        "<dialog id=\"confirm\" aria-labelledby=\"question\"><form method=\"dialog\">\n"
        "<p id=\"question\">Stop this run? Its state is saved; <code>clfcn train "
        "--resume</code> goes on from there.</p>\n"
        "<button value=\"no\" autofocus>Go on training</button>\n"
        "<button value=\"stop\" class=\"danger\">Stop</button></form></dialog>\n"
        "<noscript><p>This page needs JavaScript; <code>clfcn report</code> writes one "
        "that does not.</p></noscript>\n"
        "<section id=\"now\" aria-label=\"Progress\"></section>\n"
        "<section id=\"summary\" aria-label=\"Metrics\"></section>\n"
        "<section id=\"charts\" aria-label=\"Curves\"></section>\n"
        "<section id=\"results\" aria-label=\"Results\"></section>\n"
        "<footer>clfcn %s</footer>\n</main></body>\n</html>\n",
        clfcn_version());
}
