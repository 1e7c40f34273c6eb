/* format_plain.c - images/, masks/ and classes.txt in one folder. */
#include "../util/path.h"
#include "format.h"
#include <stdlib.h>

static enum clfcn_likeness recognise(const char *path)
{
    const int there = clfcn_holds_dir(path, "images") + clfcn_holds_dir(path, "masks") +
                      clfcn_holds_file(path, "classes.txt");
    return there == 3 ? CLFCN_LIKE : there > 0 ? CLFCN_PARTLY : CLFCN_UNLIKE;
}

static int open_plain(const char *path, struct clfcn_found *found, struct clfcn_err *err)
{
    char *images = clfcn_path_join(path, "images");
    char *masks = clfcn_path_join(path, "masks");
    int rc = images && masks
                 ? clfcn_pair_folders(images, masks, NULL, CLFCN_PART_ANY, found, err)
                 : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_own_classes(path, found, err);
    }
    free(images);
    free(masks);
    return rc;
}

const struct clfcn_format clfcn_format_plain = { "plain",
                                                 "images/, masks/ and classes.txt",
                                                 recognise, open_plain };
