/* dashboard_impl.h - what the dashboard's files share. */
#ifndef CLFCN_REPORT_DASHBOARD_IMPL_H
#define CLFCN_REPORT_DASHBOARD_IMPL_H

#include "../util/thread.h"
#include "../util/token.h"
#include "dashboard.h"
#include "live.h"
#include <microhttpd.h>

/* Connections at a time, and how many of them may listen to events; seconds after which
 * one that does not move is closed. */
enum { CLFCN_DASHBOARD_CONNECTIONS = 48, CLFCN_DASHBOARD_CLIENTS = 24,
       CLFCN_DASHBOARD_TIMEOUT = 30 };

struct clfcn_dashboard_client;
struct clfcn_dashboard_place;

struct clfcn_dashboard {
    char *dir, *name; /* of the run */
    char url[400];
    /* Who may ask: whoever names one of these hosts, or knows the token ("": none). */
    char hosts[2][64];
    char token[CLFCN_TOKEN_LEN];
    char cookie[32]; /* name of the one that holds the token */

    /* The callers' threads and the server's. */
    struct clfcn_mutex lock;
    struct clfcn_live_input input; /* of pause and stop, only what the thread keeps */
    volatile bool pause;

    /* The server's thread alone. */
    struct clfcn_thread thread;
    struct MHD_Daemon *daemon;
    struct clfcn_live live;
    struct clfcn_dashboard_place *places;
    struct clfcn_dashboard_client *clients;
    int client_count;
    bool closing; /* streams end when they have nothing left to tell */
};

/* Answer a request. (dashboard_http.c) */
enum MHD_Result clfcn_dashboard_answer(void *dashboard, struct MHD_Connection *connection,
                                       const char *url, const char *method,
                                       const char *version, const char *upload,
                                       size_t *upload_size, void **request);
/* Queue a response, with the headers that all have, and drop the reference to it. */
enum MHD_Result clfcn_dashboard_reply(struct MHD_Connection *connection, unsigned status,
                                      struct MHD_Response *response);

/* Begin a stream of server-sent events: every section as it stands, then as they change.
 * (dashboard_events.c) */
enum MHD_Result clfcn_dashboard_subscribe(struct clfcn_dashboard *d,
                                          struct MHD_Connection *connection);
/* Wake the streams that have something to tell; with all, every one. */
void clfcn_dashboard_wake(struct clfcn_dashboard *d, bool all);

/* What MHD tells of connections and requests. (dashboard_places.c) */
void clfcn_dashboard_connected(void *dashboard, struct MHD_Connection *connection,
                               void **context, enum MHD_ConnectionNotificationCode what);
void clfcn_dashboard_answered(void *dashboard, struct MHD_Connection *connection,
                              void **request, enum MHD_RequestTerminationCode how);
/* Its headers are there; stream: what it gets has no end. */
void clfcn_dashboard_asked(struct MHD_Connection *connection, bool stream);
/* Let those go who are too slow. */
void clfcn_dashboard_hurry(struct clfcn_dashboard *d);

#endif
