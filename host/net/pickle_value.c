/* pickle_value.c - the values of pickles: making, filling, looking up, freeing. */
#include "pickle.h"
#include "../util/array.h"

#include <stdlib.h>
#include <string.h>

int clfcn_pickle_new(struct clfcn_pickle *p, struct clfcn_pickle_value **out,
                     struct clfcn_err *err)
{
    if (p->count == CLFCN_PICKLE_MAX_VALUES) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "more than %d values",
                             CLFCN_PICKLE_MAX_VALUES);
    }
    struct clfcn_pickle_value **grown =
        clfcn_array_grow(p->values, p->count + 1, &p->room, sizeof(*grown));
    p->values = grown ? grown : p->values;
    *out = grown ? calloc(1, sizeof(**out)) : NULL;
    if (!*out) {
        return clfcn_err_nomem(err);
    }
    p->values[p->count++] = *out;
    return CLFCN_OK;
}

int clfcn_pickle_append(struct clfcn_pickle *p, struct clfcn_pickle_value *container,
                        struct clfcn_pickle_value *item, struct clfcn_err *err)
{
    if (p->items == CLFCN_PICKLE_MAX_ITEMS) {
        return clfcn_err_set(err, CLFCN_EDATA, 0, "more than %d items",
                             CLFCN_PICKLE_MAX_ITEMS);
    }
    struct clfcn_pickle_value **grown = clfcn_array_grow(
        container->items, container->count + 1, &container->room, sizeof(*grown));
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    container->items = grown;
    grown[container->count++] = item;
    ++p->items;
    return CLFCN_OK;
}

void clfcn_pickle_free(struct clfcn_pickle *p)
{
    for (size_t i = 0; i < p->count; ++i) {
        free(p->values[i]->items);
        free(p->values[i]);
    }
    free(p->values);
    *p = (struct clfcn_pickle){ 0 };
}

bool clfcn_pickle_is(const struct clfcn_pickle_value *v, const char *text)
{
    return v->kind == CLFCN_PICKLE_TEXT && v->length == strlen(text) &&
           memcmp(v->text, text, v->length) == 0;
}

const struct clfcn_pickle_value *clfcn_pickle_get(const struct clfcn_pickle_value *dict,
                                                  const char *key)
{
    for (size_t i = dict->count; dict->kind == CLFCN_PICKLE_DICT && i >= 2; i -= 2) {
        if (clfcn_pickle_is(dict->items[i - 2], key)) {
            return dict->items[i - 1];
        }
    }
    return NULL;
}

const char *clfcn_pickle_show(const struct clfcn_pickle_value *v, char *buf, size_t n)
{
    size_t i = 0;
    for (; i < v->length && i + 1 < n; ++i) {
        buf[i] = v->text[i] < ' ' || v->text[i] > '~' ? '?' : (char)v->text[i];
    }
    buf[i] = '\0';
    return buf;
}
