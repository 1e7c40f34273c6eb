/* listen.h - a TCP port to be served. */
#ifndef CLFCN_UTIL_LISTEN_H
#define CLFCN_UTIL_LISTEN_H

#include "err.h"

enum { CLFCN_LISTEN_NAME = 264 };

struct clfcn_listener {
    int fd;   /* < 0: closed */
    int port; /* the one taken, also where any was asked for */
    /* As a browser on this machine or beside it reaches it: "127.0.0.1:8097",
     * "[::1]:8097", "thishost:8097". */
    char name[CLFCN_LISTEN_NAME];
};

/* Listen at host, an address or a name, on a port; 0: any that is free. CLFCN_EIO with
 * the system's reason, EADDRINUSE in err->native if the port is taken. */
int clfcn_listen(const char *host, int port, struct clfcn_listener *out,
                 struct clfcn_err *err);
/* End a connection that somebody else is to close. */
void clfcn_listen_hang_up(int fd);

void clfcn_listen_close(struct clfcn_listener *listener);

#endif
