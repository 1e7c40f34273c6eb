/* listen.c - a TCP port to be served. */
#include "listen.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 32 };

static int open_at(const struct addrinfo *at)
{
    const int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) {
        return -1;
    }
    const int on = 1; /* a port that a run before has just left is free */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        const int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

static bool is_any(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        return memcmp(&in6->sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0;
    }
    return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Port and name of an open listener. */
static int find_name(struct clfcn_listener *l)
{
    struct sockaddr_storage address = { 0 };
    socklen_t n = sizeof(address);
    char host[NI_MAXHOST] = "";
    if (getsockname(l->fd, (struct sockaddr *)&address, &n) < 0) {
        return -1;
    }
    const bool six = address.ss_family == AF_INET6;
    l->port = ntohs(six ? ((struct sockaddr_in6 *)&address)->sin6_port
                        : ((struct sockaddr_in *)&address)->sin_port);
    if (is_any(&address)) {
        if (gethostname(host, sizeof(host) - 1) < 0) {
            return -1;
        }
        snprintf(l->name, sizeof(l->name), "%.255s:%d", host, l->port);
        return 0;
    }
    if (getnameinfo((struct sockaddr *)&address, n, host, sizeof(host), NULL, 0,
                    NI_NUMERICHOST) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    snprintf(l->name, sizeof(l->name), six ? "[%.250s]:%d" : "%.250s:%d", host, l->port);
    return 0;
}

int clfcn_listen(const char *host, int port, struct clfcn_listener *out,
                 struct clfcn_err *err)
{
    *out = (struct clfcn_listener){ .fd = -1 };
    const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    const int why = getaddrinfo(host, service, &wanted, &found);
    if (why != 0) {
        return clfcn_err_set(err, CLFCN_EIO, 0, "%s: %s", host, gai_strerror(why));
    }
    for (const struct addrinfo *at = found; at && out->fd < 0; at = at->ai_next) {
        out->fd = open_at(at);
    }
    const int errnum = errno;
    freeaddrinfo(found);
    if (out->fd < 0) {
        return clfcn_err_errno(err, errnum, "port %d of %s", port, host);
    }
    if (find_name(out) < 0) {
        const int reason = errno;
        clfcn_listen_close(out);
        return clfcn_err_errno(err, reason, "port %d of %s", port, host);
    }
    return CLFCN_OK;
}

void clfcn_listen_hang_up(int fd)
{
    shutdown(fd, SHUT_RDWR);
}

void clfcn_listen_close(struct clfcn_listener *listener)
{
    if (listener->fd >= 0) {
        close(listener->fd);
        listener->fd = -1;
    }
}
