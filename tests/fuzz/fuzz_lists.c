/* Text files of data sets, by the input's first byte: list files, name lists such as
 * VOC's, colour tables. The set has pictures 0 to 3, which no format opens before it is
 * read. */
#include "../../host/data/format.h"
#include "../../host/data/listing.h"
#include "../../host/util/path.h"
#include "fuzz.h"
#include <stdio.h>

static char folder[512];
static struct clfcn_listing images, masks;

static void list(const char *name, struct clfcn_listing *out)
{
    char path[512];
    snprintf(path, sizeof(path), "%s", fuzz_path(name));
    FUZZ_ASSERT(clfcn_listing_read(path, NULL, out, NULL) == CLFCN_OK);
}

static void make_set(void)
{
    for (int i = 0; i < 8; ++i) {
        char name[32];
        const char *const kind = i % 2 ? "masks" : "images";
        snprintf(name, sizeof(name), "%s/%d.png", kind, i / 2);
        clfcn_path_mkdir(fuzz_path(kind), 0700, NULL);
        fuzz_file(name, "", 0);
    }
    fuzz_file("classes.txt", "a 0\nb 1\n", 8);
    list("images", &images);
    list("masks", &masks);
    snprintf(folder, sizeof(folder), "%s", fuzz_path(""));
}

static void check_found(const struct clfcn_found *found)
{
    for (int i = 0; i < found->count; ++i) {
        FUZZ_ASSERT(clfcn_path_is_file(found->items[i].image));
        FUZZ_ASSERT(clfcn_path_is_file(found->items[i].mask));
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct clfcn_found found = { 0 };
    struct clfcn_classes classes = { 0 };
    struct clfcn_err err;
    if (size == 0) {
        return;
    }
    if (images.count == 0) {
        const bool held = fuzz_memory_hold(true);
        make_set();
        fuzz_memory_hold(held);
    }
    const char *path = fuzz_file("list.txt", data + 1, size - 1);
    int rc;
    switch (*data % 3) {
    case 0:
        rc = clfcn_format_list.open(path, &found, &err);
        break;
    case 1:
        rc = clfcn_pair_names(folder, "list.txt", &images, &masks, CLFCN_PART_ANY, &found,
                              &err);
        break;
    default:
        rc = clfcn_color_table_read(path, &classes, &err);
    }
    fuzz_check_message(rc, &err);
    if (rc == CLFCN_OK) {
        check_found(&found);
    }
    clfcn_found_free(&found);
    clfcn_classes_free(&classes);
}
