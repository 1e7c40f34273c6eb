/* dashboard_http.c - who may ask the dashboard for what.
 *
 * A page from elsewhere, open in the same browser, must neither read nor control a run.
 * So without a token only requests to this machine by its own names are answered: a
 * foreign name that resolves to 127.0.0.1 ("DNS rebinding") is refused. And controls need
 * a header that a foreign page cannot send without asking first, which nobody answers
 * here. */
#include "../util/file.h"
#include "../util/path.h"
#include "../util/sys.h"
#include "dashboard_impl.h"
#include "html.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PICTURE_BYTES = 4 << 20 };

static const char *const headers[][2] = {
    { "Cache-Control", "no-store" },
    { "X-Content-Type-Options", "nosniff" },
    { "Referrer-Policy", "no-referrer" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
    { "Content-Security-Policy",
      "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
      "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'" },
};

enum MHD_Result clfcn_dashboard_reply(struct MHD_Connection *connection, unsigned status,
                                      struct MHD_Response *response)
{
    if (!response) {
        return MHD_NO;
    }
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i) {
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
    }
    const enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Reply with n bytes from malloc(), which are taken over. */
static enum MHD_Result reply_bytes(struct MHD_Connection *connection, const char *type,
                                   const char *cookie, void *bytes, size_t n)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(bytes);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (cookie) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_SET_COOKIE, cookie);
    }
    return clfcn_dashboard_reply(connection, MHD_HTTP_OK, response);
}

/* text is a constant. */
static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status,
                                  const char *type, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    }
    return clfcn_dashboard_reply(connection, status, response);
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status,
                              const char *text)
{
    return reply_text(connection, status, "text/plain; charset=utf-8", text);
}

/* --- who --- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool knows_token(const struct clfcn_dashboard *d,
                        struct MHD_Connection *connection)
{
    const char *query =
        MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "token");
    const char *cookie =
        MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, d->cookie);
    const bool by_query = clfcn_token_equal(d->token, query);
    return clfcn_token_equal(d->token, cookie) || by_query;
}

static bool names_us(const struct clfcn_dashboard *d, struct MHD_Connection *connection)
{
    const char *host = header(connection, MHD_HTTP_HEADER_HOST);
    return host &&
           (strcasecmp(host, d->hosts[0]) == 0 || strcasecmp(host, d->hosts[1]) == 0);
}

/* Whether a control comes from the dashboard's own page, or from no browser. */
static bool is_own_page(struct MHD_Connection *connection)
{
    static const char scheme[] = "http://";
    const char *host = header(connection, MHD_HTTP_HEADER_HOST);
    const char *origin = header(connection, MHD_HTTP_HEADER_ORIGIN);
    if (!host || !header(connection, "X-Clfcn-Control")) {
        return false;
    }
    return !origin || (strncmp(origin, scheme, strlen(scheme)) == 0 &&
                       strcasecmp(origin + strlen(scheme), host) == 0);
}

/* --- what --- */

static enum MHD_Result send_page(const struct clfcn_dashboard *d,
                                 struct MHD_Connection *connection)
{
    char cookie[CLFCN_TOKEN_LEN + 96];
    struct clfcn_strbuf page = { 0 };
    clfcn_page_dashboard(&page, d->name);
    if (page.failed) {
        clfcn_strbuf_free(&page);
        return MHD_NO;
    }
    snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; HttpOnly; SameSite=Strict",
             d->cookie, d->token);
    return reply_bytes(connection, "text/html; charset=utf-8", *d->token ? cookie : NULL,
                       page.str, page.len);
}

/* Any file of the folder: a page may still show those of an earlier epoch. */
static enum MHD_Result send_sample(const struct clfcn_dashboard *d,
                                   struct MHD_Connection *connection, const char *name)
{
    const bool plain = *name != '.' && !strchr(name, '/') && clfcn_image_name_ok(name);
    char *dir = plain ? clfcn_path_join(d->dir, "samples") : NULL;
    char *path = dir ? clfcn_path_join(dir, name) : NULL;
    char *data = NULL;
    size_t size = 0;
    const bool found = /* opening a pipe would wait */
        path && clfcn_path_is_file(path) &&
        clfcn_file_read(path, MAX_PICTURE_BYTES, &data, &size, NULL) == CLFCN_OK;
    free(path);
    free(dir);
    return found ? reply_bytes(connection, "image/png", NULL, data, size)
                 : refuse(connection, MHD_HTTP_NOT_FOUND, "There is no such picture.\n");
}

static enum MHD_Result get(struct clfcn_dashboard *d, struct MHD_Connection *connection,
                           const char *url)
{
    static const char samples[] = "/samples/";
    if (strcmp(url, "/") == 0) {
        return send_page(d, connection);
    }
    if (strcmp(url, "/dashboard.js") == 0) {
        return reply_text(connection, MHD_HTTP_OK, "text/javascript; charset=utf-8",
                          clfcn_dashboard_js);
    }
    if (strcmp(url, "/events") == 0 && d->client_count >= CLFCN_DASHBOARD_CLIENTS) {
        return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                      "Too many are watching.\n");
    }
    if (strcmp(url, "/events") == 0) {
        return clfcn_dashboard_subscribe(d, connection);
    }
    if (strncmp(url, samples, strlen(samples)) == 0) {
        return send_sample(d, connection, url + strlen(samples));
    }
    return refuse(connection, MHD_HTTP_NOT_FOUND, "There is no such page.\n");
}

static enum MHD_Result post(struct clfcn_dashboard *d, struct MHD_Connection *connection,
                            const char *url)
{
    if (!is_own_page(connection)) {
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "Controls are for the dashboard's own page: others need the header "
                      "X-Clfcn-Control, and no foreign Origin.\n");
    }
    if (strcmp(url, "/pause") == 0) {
        clfcn_flag_set(&d->pause, true);
    } else if (strcmp(url, "/resume") == 0) {
        clfcn_flag_set(&d->pause, false);
    } else if (strcmp(url, "/stop") == 0) {
        clfcn_interrupt_request();
    } else {
        return refuse(connection, MHD_HTTP_NOT_FOUND, "There is no such control.\n");
    }
    return refuse(connection, MHD_HTTP_OK, "Done.\n");
}

static enum MHD_Result route(struct clfcn_dashboard *d, struct MHD_Connection *connection,
                             const char *url, const char *method)
{
    if (*d->token && !knows_token(d, connection)) {
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "This page needs the address that clfcn train printed, with its "
                      "token.\n");
    }
    if (!*d->token && !names_us(d, connection)) {
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "This page answers to 127.0.0.1 and localhost only.\n");
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
        (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 && strcmp(url, "/events") != 0)) {
        return get(d, connection, url);
    }
    if (strcmp(method, MHD_HTTP_METHOD_POST) == 0) {
        return post(d, connection, url);
    }
    return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and POST only.\n");
}

enum MHD_Result clfcn_dashboard_answer(void *dashboard, struct MHD_Connection *connection,
                                       const char *url, const char *method,
                                       const char *version, const char *upload,
                                       size_t *upload_size, void **request)
{
    static int begun;
    if (!*request) { /* its body, which nobody needs, is still to come */
        *request = &begun;
        clfcn_dashboard_asked(connection, false);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    return route(dashboard, connection, url, method);
}
