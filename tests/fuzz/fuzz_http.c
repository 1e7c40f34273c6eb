/* Requests to the live page, as bytes on a connection, by the input's first byte to a
 * page with or without a token. Only who names this machine, or knows the token, and
 * sends the controls' header may control a run; and nothing but samples is to be had. */
#define _GNU_SOURCE /* memmem */
#include "../../host/report/dashboard_impl.h"
#include "../../host/util/path.h"
#include "../../host/util/sys.h"
#include "fuzz.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 200 };

static const char secret[] = "what no page shows",
                  token[] = "0123456789abcdef0123456789abcdef";
static struct clfcn_dashboard dashboard;
static char folder[512], name[] = "run";

static void make_dashboard(void)
{
    snprintf(folder, sizeof(folder), "%s", fuzz_path(""));
    clfcn_path_mkdir(fuzz_path("samples"), 0700, NULL);
    fuzz_file("samples/a.png", "a picture", 9);
    fuzz_file("secret.png", secret, sizeof(secret));
    dashboard = (struct clfcn_dashboard){ .dir = folder, .name = name };
    snprintf(dashboard.hosts[0], sizeof(dashboard.hosts[0]), "127.0.0.1:8097");
    snprintf(dashboard.hosts[1], sizeof(dashboard.hosts[1]), "localhost:8097");
    snprintf(dashboard.cookie, sizeof(dashboard.cookie), "clfcn-8097");
    clfcn_strbuf_add(&dashboard.live.sections[CLFCN_LIVE_HEAD].text, "one\ntwo\r\n");
    dashboard.live.sections[CLFCN_LIVE_HEAD].version = 1;
}

static void start_daemon(void)
{
    dashboard.daemon = MHD_start_daemon(
        MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        clfcn_dashboard_answer, &dashboard, MHD_OPTION_NOTIFY_CONNECTION,
        clfcn_dashboard_connected, &dashboard, MHD_OPTION_NOTIFY_COMPLETED,
        clfcn_dashboard_answered, &dashboard, MHD_OPTION_END);
    FUZZ_ASSERT(dashboard.daemon);
}

static void check_answer(const char *answer, size_t n)
{
    FUZZ_ASSERT(!memmem(answer, n, secret, strlen(secret)));
    FUZZ_ASSERT(!*dashboard.token || !memmem(answer, n, "a picture", 9) ||
                memmem(answer, n, "200", 3));
}

/* Let the server run until it has closed the connection, of which ours is the other end.
 */
static void talk(int ours)
{
    char answer[4096];
    for (int i = 0; i < ROUNDS; ++i) {
        dashboard.closing = i > 2;
        clfcn_dashboard_wake(&dashboard, dashboard.closing);
        MHD_run(dashboard.daemon);
        ssize_t n;
        while ((n = recv(ours, answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
            check_answer(answer, (size_t)n);
        }
        if (n == 0) {
            return;
        }
    }
}

static bool contains(const char *text, size_t size, const char *part)
{
    for (size_t i = 0; i + strlen(part) <= size; ++i) {
        if (strncasecmp(text + i, part, strlen(part)) == 0) {
            return true;
        }
    }
    return false;
}

static void check_control(const char *request, size_t size)
{
    volatile bool *stop = (volatile bool *)clfcn_interrupt_flag();
    if (dashboard.pause || *stop) {
        FUZZ_ASSERT(contains(request, size, "X-Clfcn-Control"));
        FUZZ_ASSERT(*dashboard.token ? contains(request, size, token)
                                     : contains(request, size, "127.0.0.1:8097") ||
                                           contains(request, size, "localhost:8097"));
    }
    *stop = dashboard.pause = false;
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const struct sockaddr_in from = { .sin_family = AF_INET };
    const char *request = (const char *)data + 1;
    int ends[2];
    const bool held = fuzz_memory_hold(true);
    if (!dashboard.dir) {
        make_dashboard();
    }
    if (size == 0) {
        fuzz_memory_hold(held);
        return;
    }
    snprintf(dashboard.token, sizeof(dashboard.token), "%s", *data & 1 ? token : "");
    start_daemon();
    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    FUZZ_ASSERT(send(ends[1], request, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1);
    shutdown(ends[1], SHUT_WR);
    fuzz_memory_hold(held);
    if (MHD_add_connection(dashboard.daemon, ends[0], (const struct sockaddr *)&from,
                           sizeof(from)) == MHD_YES) {
        talk(ends[1]);
    }
    close(ends[1]);
    dashboard.closing = true;
    clfcn_dashboard_wake(&dashboard, true);
    MHD_stop_daemon(dashboard.daemon);
    FUZZ_ASSERT(!dashboard.places && !dashboard.clients && dashboard.client_count == 0);
    check_control(request, size - 1);
}
