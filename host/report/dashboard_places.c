/* dashboard_places.c - no client keeps others out.
 *
 * The server has places for so many connections, and closes those on which nothing moves.
 * But whoever sends a byte now and then, or reads one, would keep a place for good. So a
 * request must be whole, and its answer be read, in some time; and where places become
 * few, the connection that has waited longest for a request gives its own up. Streams of
 * events have a number of places to themselves. */
#include "../util/listen.h"
#include "../util/sys.h"
#include "dashboard_impl.h"
#include <stdlib.h>

/* Seconds for a request, from the end of the one before or the connection's begin; and
 * for reading its body and sending the answer. */
static const double request_seconds = 10, answer_seconds = 120;

/* Places that are free for whoever comes next, as soon as those who give way have gone.
 */
enum { FREE_PLACES = 8 };

struct clfcn_dashboard_place {
    struct clfcn_dashboard_place *next; /* who came before */
    int fd;
    double since; /* what it is doing */
    bool answering, stream, left;
};

static struct clfcn_dashboard_place *place_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The server sees the end of what the client has to say, and closes. */
static void leave(struct clfcn_dashboard_place *p)
{
    clfcn_listen_hang_up(p->fd);
    p->left = true;
}

/* Let the one that has waited longest for a request go, if too few places are free. */
static void make_room(struct clfcn_dashboard *d)
{
    struct clfcn_dashboard_place *oldest = NULL;
    int taken = 0;
    for (struct clfcn_dashboard_place *p = d->places; p; p = p->next) {
        taken += !p->left;
        if (!p->left && !p->answering && (!oldest || p->since <= oldest->since)) {
            oldest = p;
        }
    }
    if (oldest && taken > CLFCN_DASHBOARD_CONNECTIONS - FREE_PLACES) {
        leave(oldest);
    }
}

static void take_place(struct clfcn_dashboard *d, struct MHD_Connection *connection,
                       void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct clfcn_dashboard_place *p = info ? calloc(1, sizeof(*p)) : NULL;
    if (p) {
        *p = (struct clfcn_dashboard_place){ .next = d->places,
                                             .fd = (int)info->connect_fd,
                                             .since = clfcn_clock() };
        d->places = p;
        make_room(d);
    }
    *context = p;
}

void clfcn_dashboard_connected(void *dashboard, struct MHD_Connection *connection,
                               void **context, enum MHD_ConnectionNotificationCode what)
{
    struct clfcn_dashboard *d = dashboard;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        take_place(d, connection, context);
        return;
    }
    struct clfcn_dashboard_place **at = &d->places;
    while (*at && *at != *context) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = (*at)->next;
        free(*context);
        *context = NULL;
    }
}

void clfcn_dashboard_asked(struct MHD_Connection *connection, bool stream)
{
    struct clfcn_dashboard_place *p = place_of(connection);
    if (p) {
        p->answering = true;
        p->stream = stream;
        p->since = clfcn_clock();
    }
}

void clfcn_dashboard_answered(void *dashboard, struct MHD_Connection *connection,
                              void **request, enum MHD_RequestTerminationCode how)
{
    struct clfcn_dashboard_place *p = place_of(connection);
    if (p) {
        p->answering = p->stream = false;
        p->since = clfcn_clock();
    }
}

void clfcn_dashboard_hurry(struct clfcn_dashboard *d)
{
    const double now = clfcn_clock();
    for (struct clfcn_dashboard_place *p = d->places; p; p = p->next) {
        const double most = p->answering ? answer_seconds : request_seconds;
        if (!p->left && !p->stream && now - p->since > most) {
            leave(p);
        }
    }
}
