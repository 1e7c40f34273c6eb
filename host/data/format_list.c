/* format_list.c - a text file that names the pictures, with classes.txt beside it.
 *
 * A line is IMAGE<TAB>MASK, or IMAGE<TAB>MASK<TAB>train or val, paths relative to the
 * list's folder; or one name alone, of a picture in images/ beside the list (cat-17,
 * cat-17.jpg or images/cat-17.jpg), whose mask is that of the same stem in masks/. */
#include "../util/path.h"
#include "format.h"
#include "lines.h"
#include "listing.h"
#include <stdlib.h>
#include <string.h>

struct list {
    const char *path;
    char *dir;                          /* its folder */
    struct clfcn_listing images, masks; /* of the folders beside it, read when needed */
    bool listed;
    struct clfcn_found *found;
};

static enum clfcn_likeness recognise(const char *path)
{
    return clfcn_path_is_dir(path) ? CLFCN_UNLIKE : CLFCN_LIKE;
}

/* Whether a relative path climbs out of where it starts. */
static bool leaves_folder(const char *path)
{
    int depth = 0;
    while (*path && depth >= 0) {
        const size_t n = strcspn(path, "/");
        if (n == 2 && memcmp(path, "..", 2) == 0) {
            --depth;
        } else if (n > 0 && !(n == 1 && *path == '.')) {
            ++depth;
        }
        path += n + (path[n] == '/');
    }
    return depth < 0;
}

/* The file that a field names; free *out with free(). */
static int resolve(const struct list *l, int line, const char *field, char **out,
                   struct clfcn_err *err)
{
    *out = NULL;
    if (*field != '/' && leaves_folder(field)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s:%d: '%.200s' leads out of the list's folder; move the "
                             "list up, or give an absolute path",
                             l->path, line, field);
    }
    *out = *field == '/' ? strdup(field) : clfcn_path_join(l->dir, field);
    if (!*out) {
        return clfcn_err_nomem(err);
    }
    if (!clfcn_path_is_file(*out)) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s:%d: %.400s: no such file; add it or remove the line",
                             l->path, line, *out);
    }
    return CLFCN_OK;
}

static int parse_part(const struct list *l, int line, const char *word,
                      enum clfcn_part *part, struct clfcn_err *err)
{
    *part = !word                        ? CLFCN_PART_ANY
            : strcmp(word, "train") == 0 ? CLFCN_PART_TRAIN
                                         : CLFCN_PART_VAL;
    if (word && *part == CLFCN_PART_VAL && strcmp(word, "val") != 0) {
        return clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s:%d: '%.40s' is neither train nor val; a line is "
                             "IMAGE<TAB>MASK[<TAB>train|val], or an image's name alone",
                             l->path, line, word);
    }
    return CLFCN_OK;
}

static int add_pair(struct list *l, const struct clfcn_line *line, const char *image,
                    const char *mask, const char *word, struct clfcn_err *err)
{
    char *image_path = NULL, *mask_path = NULL, *stem = clfcn_path_stem(image);
    enum clfcn_part part;
    int rc = stem ? parse_part(l, line->number, word, &part, err) : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = resolve(l, line->number, image, &image_path, err);
    }
    if (rc == CLFCN_OK) {
        rc = resolve(l, line->number, mask, &mask_path, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_found_add(l->found, stem, image_path, mask_path, part, err);
    }
    free(stem);
    free(image_path);
    free(mask_path);
    return rc;
}

static int list_folders(struct list *l, struct clfcn_err *err)
{
    char *images = clfcn_path_join(l->dir, "images");
    char *masks = clfcn_path_join(l->dir, "masks");
    int rc = images && masks ? clfcn_listing_read(images, NULL, &l->images, err)
                             : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_listing_read(masks, NULL, &l->masks, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "%s: pictures without masks", l->path);
    }
    free(images);
    free(masks);
    l->listed = true;
    return rc;
}

static int add_name(struct list *l, const struct clfcn_line *line, struct clfcn_err *err)
{
    const char *name = line->text;
    int rc = l->listed ? CLFCN_OK : list_folders(l, err);
    if (rc < 0) {
        return rc;
    }
    if (strncmp(name, "images/", 7) == 0) {
        name += 7;
    }
    char *stem = clfcn_image_name_ok(name) && !strchr(name, '/') ? clfcn_path_stem(name)
                                                                 : strdup(name);
    if (!stem) {
        return clfcn_err_nomem(err);
    }
    const struct clfcn_listed *image = clfcn_listing_find(&l->images, stem);
    const struct clfcn_listed *mask = clfcn_listing_find(&l->masks, stem);
    rc = image && mask
             ? clfcn_found_add(l->found, stem, image->path, mask->path, CLFCN_PART_ANY,
                               err)
             : clfcn_err_set(err, CLFCN_EDATA, 0,
                             "%s:%d: no %s '%.200s' in %s/ beside the list; a line is "
                             "IMAGE<TAB>MASK[<TAB>train|val], or an image's name alone",
                             l->path, line->number, image ? "mask" : "picture", stem,
                             image ? "masks" : "images");
    free(stem);
    return rc;
}

static int add_line(struct list *l, const struct clfcn_line *line, struct clfcn_err *err)
{
    char *mask = strchr(line->text, '\t'), *word;
    if (!mask) {
        return add_name(l, line, err);
    }
    *mask++ = '\0';
    word = strchr(mask, '\t');
    if (word) {
        *word++ = '\0';
    }
    return add_pair(l, line, line->text, mask, word, err);
}

/* The folder of a file; a new string, or NULL. */
static char *folder_of(const char *path)
{
    const size_t n = (size_t)(clfcn_path_base(path) - path);
    return n > 1 ? strndup(path, n - 1) : strdup(n == 1 ? "/" : ".");
}

static int open_list(const char *path, struct clfcn_found *found, struct clfcn_err *err)
{
    struct list l = { .path = path, .dir = folder_of(path), .found = found };
    struct clfcn_lines lines;
    int rc = clfcn_lines_read(path, &lines, err);
    if (rc == CLFCN_OK && !l.dir) {
        rc = clfcn_err_nomem(err);
    }
    if (rc == CLFCN_OK && lines.count == 0) {
        rc = clfcn_err_set(err, CLFCN_EDATA, 0, "%s: names no picture", path);
    }
    for (int i = 0; i < lines.count && rc == CLFCN_OK; ++i) {
        rc = add_line(&l, &lines.list[i], err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_own_classes(l.dir, found, err);
    }
    clfcn_listing_free(&l.images);
    clfcn_listing_free(&l.masks);
    clfcn_lines_free(&lines);
    free(l.dir);
    return rc;
}

const struct clfcn_format clfcn_format_list = { "list", "a text file that names pictures",
                                                recognise, open_list };
