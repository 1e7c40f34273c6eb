/* json.c - reading and building JSON. */
#include "json.h"
#include <errno.h>

json_t *clfcn_json_read(const char *text, size_t n, size_t flags, json_error_t *why,
                        int *code, struct clfcn_err *err)
{
    errno = 0; /* which allocators set, and jansson's own error may be that of a text */
    json_t *json = json_loadb(text, n, flags, why);
    *code = json ? CLFCN_OK : errno == ENOMEM ? clfcn_err_nomem(err) : CLFCN_EDATA;
    return json;
}

static void give_up(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

void clfcn_json_append(json_t **list, json_t *item)
{
    if (json_array_append_new(*list, item) < 0) {
        give_up(list);
    }
}

void clfcn_json_set(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) < 0) {
        give_up(object);
    }
}
