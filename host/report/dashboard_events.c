/* dashboard_events.c - streams of server-sent events.
 *
 * A stream holds no queue, only the versions of the sections that its client has: when
 * the client is ready for more, it gets those that are newer by then. So a slow client
 * skips what it was too slow for, and one that reads nothing is closed for want of
 * progress. */
#include "../util/sys.h"
#include "dashboard_impl.h"
#include <stdlib.h>
#include <string.h>

/* Seconds without news after which a stream says that it lives: else a client that went
 * away would never be noticed. */
static const double heartbeat = 2;

struct clfcn_dashboard_client {
    struct clfcn_dashboard *dashboard;
    struct MHD_Connection *connection;
    struct clfcn_dashboard_client *next;
    bool suspended;
    uint64_t seen[CLFCN_LIVE_PARTS]; /* versions */
    struct clfcn_strbuf message;     /* on its way, */
    size_t sent;                     /* up to here */
    double sent_at;
};

static bool has_news(const struct clfcn_dashboard_client *c)
{
    for (int p = 0; p < CLFCN_LIVE_PARTS; ++p) {
        if (c->dashboard->live.sections[p].version != c->seen[p]) {
            return true;
        }
    }
    return false;
}

/* One event: a line "data: ..." for each line of text. */
static void add_event(struct clfcn_strbuf *out, const char *name,
                      const struct clfcn_strbuf *text)
{
    clfcn_strbuf_add(out, "event: %s\n", name);
    for (size_t i = 0; i < text->len;) {
        const size_t n = strcspn(text->str + i, "\r\n");
        clfcn_strbuf_add(out, "data: ");
        clfcn_strbuf_add_bytes(out, text->str + i, n);
        clfcn_strbuf_add(out, "\n");
        i += n + 1;
    }
    clfcn_strbuf_add(out, "\n");
}

/* The next message: what the client has not seen, or a sign of life. */
static void compose(struct clfcn_dashboard_client *c)
{
    clfcn_strbuf_free(&c->message);
    c->sent = 0;
    if (!has_news(c) && !c->dashboard->closing &&
        clfcn_clock() - c->sent_at >= heartbeat) {
        clfcn_strbuf_add(&c->message, ":\n\n");
    }
    for (int p = 0; p < CLFCN_LIVE_PARTS; ++p) {
        const struct clfcn_live_section *s = &c->dashboard->live.sections[p];
        if (s->version != c->seen[p]) {
            add_event(&c->message, clfcn_live_name((enum clfcn_live_part)p), &s->text);
            c->seen[p] = s->version;
        }
    }
    c->sent_at = clfcn_clock();
}

static ssize_t read_stream(void *client, uint64_t at, char *buf, size_t max)
{
    struct clfcn_dashboard_client *c = client;
    if (c->sent == c->message.len) {
        compose(c);
    }
    if (c->message.failed) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (c->message.len == 0 && c->dashboard->closing) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (c->message.len == 0) {
        c->suspended = true;
        MHD_suspend_connection(c->connection);
        return 0;
    }
    const size_t left = c->message.len - c->sent, n = left < max ? left : max;
    memcpy(buf, c->message.str + c->sent, n);
    c->sent += n;
    return (ssize_t)n;
}

static void end_stream(void *client)
{
    struct clfcn_dashboard_client *c = client;
    struct clfcn_dashboard_client **at = &c->dashboard->clients;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    --c->dashboard->client_count;
    clfcn_strbuf_free(&c->message);
    free(c);
}

enum MHD_Result clfcn_dashboard_subscribe(struct clfcn_dashboard *d,
                                          struct MHD_Connection *connection)
{
    enum { BLOCK = 16 << 10 };
    struct clfcn_dashboard_client *c = calloc(1, sizeof(*c));
    if (!c) {
        return MHD_NO;
    }
    *c = (struct clfcn_dashboard_client){ .dashboard = d,
                                          .connection = connection,
                                          .next = d->clients };
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK, read_stream, c, end_stream);
    if (!response) {
        free(c);
        return MHD_NO;
    }
    d->clients = c;
    ++d->client_count;
    clfcn_dashboard_asked(connection, true);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    return clfcn_dashboard_reply(connection, MHD_HTTP_OK, response);
}

void clfcn_dashboard_wake(struct clfcn_dashboard *d, bool all)
{
    const double now = clfcn_clock();
    for (struct clfcn_dashboard_client *c = d->clients; c; c = c->next) {
        if (c->suspended && (all || has_news(c) || now - c->sent_at >= heartbeat)) {
            c->suspended = false;
            MHD_resume_connection(c->connection);
        }
    }
}
