/* format.c - which layout a data set has, and what the formats share. */
#include "format.h"
#include "../util/array.h"
#include "../util/nearest.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are asked. */
static const struct clfcn_format *const formats[] = {
    &clfcn_format_list, &clfcn_format_plain, &clfcn_format_voc, &clfcn_format_cityscapes,
    &clfcn_format_camvid
};
enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

const char *clfcn_format_name(int i)
{
    return i < FORMAT_COUNT ? formats[i]->name : NULL;
}

int clfcn_found_add(struct clfcn_found *found, const char *name, const char *image,
                    const char *mask, enum clfcn_part part, struct clfcn_err *err)
{
    struct clfcn_item *grown = clfcn_array_grow(found->items, (size_t)found->count + 1,
                                                &found->room, sizeof *grown);
    if (!grown) {
        return clfcn_err_nomem(err);
    }
    found->items = grown;
    struct clfcn_item *item = &grown[found->count++];
    *item = (struct clfcn_item){ strdup(name), strdup(image), strdup(mask), part };
    return item->name && item->image && item->mask ? CLFCN_OK : clfcn_err_nomem(err);
}

void clfcn_found_free(struct clfcn_found *found)
{
    for (int i = 0; i < found->count; ++i) {
        free(found->items[i].name);
        free(found->items[i].image);
        free(found->items[i].mask);
    }
    free(found->items);
    clfcn_classes_free(&found->classes);
    *found = (struct clfcn_found){ 0 };
}

static int choose_by_name(const char *name, const struct clfcn_format **out,
                          struct clfcn_err *err)
{
    struct clfcn_nearest near = { .word = name };
    for (int i = 0; i < FORMAT_COUNT; ++i) {
        if (strcmp(formats[i]->name, name) == 0) {
            *out = formats[i];
            return CLFCN_OK;
        }
        clfcn_nearest_offer(&near, formats[i]->name);
    }
    return clfcn_err_set(err, CLFCN_EINVAL, 0,
                         "no format '%s' of data sets: there are list, plain, voc, "
                         "cityscapes and camvid%s%s%s",
                         name, near.best ? " (did you mean " : "",
                         near.best ? near.best : "", near.best ? "?)" : "");
}

/* Of a folder: every file is taken for a list, the first of the formats. */
static int none_recognised(const char *path, struct clfcn_err *err)
{
    struct clfcn_strbuf all = { 0 };
    for (int i = 1; i < FORMAT_COUNT; ++i) {
        clfcn_strbuf_add(&all, "%s%s (%s)", i > 1 ? ", " : "", formats[i]->marks,
                         formats[i]->name);
    }
    const int rc = all.failed ? clfcn_err_nomem(err)
                              : clfcn_err_set(err, CLFCN_EDATA, 0,
                                              "%s: no data set recognised; looked for %s",
                                              path, all.str);
    clfcn_strbuf_free(&all);
    return rc;
}

int clfcn_format_choose(const char *path, const char *name,
                        const struct clfcn_format **out, struct clfcn_err *err)
{
    enum clfcn_likeness best = CLFCN_UNLIKE;
    *out = NULL;
    if (name) {
        return choose_by_name(name, out, err);
    }
    bool found = false;
    if (clfcn_path_find(path, &found, err) < 0) {
        return clfcn_input_error(CLFCN_EIO, err);
    }
    if (!found) {
        return clfcn_err_set(
            err, CLFCN_EDATA, ENOENT,
            "%s: no such folder; a data set is a folder with images/, masks/ and "
            "classes.txt, one of VOC, CamVid or Cityscapes, a list file, or 'demo' for "
            "the built-in set",
            path);
    }
    for (int i = 0; i < FORMAT_COUNT; ++i) {
        const enum clfcn_likeness likeness = formats[i]->recognise(path);
        if (likeness > best) {
            best = likeness;
            *out = formats[i];
        }
    }
    return *out ? CLFCN_OK : none_recognised(path, err);
}

bool clfcn_holds_dir(const char *dir, const char *name)
{
    char *path = clfcn_path_join(dir, name);
    const bool holds = path && clfcn_path_is_dir(path);
    free(path);
    return holds;
}

bool clfcn_holds_file(const char *dir, const char *name)
{
    char *path = clfcn_path_join(dir, name);
    const bool holds = path && clfcn_path_is_file(path);
    free(path);
    return holds;
}

int clfcn_own_classes(const char *dir, struct clfcn_found *found, struct clfcn_err *err)
{
    char *path = clfcn_path_join(dir, "classes.txt");
    const int rc =
        path ? clfcn_classes_read(path, &found->classes, err) : clfcn_err_nomem(err);
    free(path);
    return rc;
}

int clfcn_color_table_classes(const char *dir, const char *name,
                              struct clfcn_found *found, struct clfcn_err *err)
{
    char *path = clfcn_path_join(dir, name);
    const int rc =
        path ? clfcn_color_table_read(path, &found->classes, err) : clfcn_err_nomem(err);
    found->by_color = true;
    free(path);
    return rc;
}

int clfcn_format_classes(const char *dir, const char *table, const char *format,
                         struct clfcn_found *found, struct clfcn_err *err)
{
    if (clfcn_holds_file(dir, "classes.txt")) {
        return clfcn_own_classes(dir, found, err);
    }
    const int rc = clfcn_classes_parse(table, format, &found->classes, err);
    found->classes.built_in = true;
    return rc;
}
