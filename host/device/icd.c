/* icd.c - which drivers OpenCL's ICD loader loads, and how to make it load others. */
#include "icd.h"
#include "../util/file.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A list of libraries that grows. */
struct icds {
    struct clfcn_icd *list;
    int count;
};

static const char *env_or_null(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Append a library of library_len characters; file is taken over, or NULL. */
static int append(struct icds *icds, const char *library, size_t library_len, char *file,
                  const char *variable, struct clfcn_err *err)
{
    struct clfcn_icd *grown =
        realloc(icds->list, (size_t)(icds->count + 1) * sizeof(*grown));
    char *name = strndup(library, library_len);
    if (grown) {
        icds->list = grown;
    }
    if (!grown || !name) {
        free(name);
        free(file);
        return clfcn_err_nomem(err);
    }
    grown[icds->count++] = (struct clfcn_icd){ name, file, variable };
    return CLFCN_OK;
}

/* Add the library on the first line of an .icd file, whose name is taken over. */
static int add_file(struct icds *icds, char *file, struct clfcn_err *err)
{
    char *text;
    size_t size;
    if (!file) {
        return clfcn_err_nomem(err);
    }
    if (clfcn_file_read(file, 64 << 10, &text, &size, NULL) < 0) {
        free(file);
        return CLFCN_OK;
    }
    const size_t len = strcspn(text, "\n");
    int rc = CLFCN_OK;
    if (len > 0) {
        rc = append(icds, text, len, file, NULL, err);
    } else {
        free(file);
    }
    free(text);
    return rc;
}

static bool is_icd_file(const char *name)
{
    const size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".icd") == 0;
}

static int add_folder(struct icds *icds, const char *folder, struct clfcn_err *err)
{
    char **names;
    int count, rc = CLFCN_OK;
    if (clfcn_path_list(folder, &names, &count, NULL) < 0) {
        return CLFCN_OK;
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (is_icd_file(names[i])) {
            rc = add_file(icds, clfcn_path_join(folder, names[i]), err);
        }
    }
    clfcn_path_list_free(names, count);
    return rc;
}

/* $OCL_ICD_VENDORS: a folder; for ocl-icd also an .icd file, first looked for in the
 * system's folder if it has no slash, or else a library. */
static int add_vendors(struct icds *icds, const char *vendors, const char *system_folder,
                       struct clfcn_err *err)
{
    if (clfcn_path_is_dir(vendors)) {
        return add_folder(icds, vendors, err);
    }
    if (!is_icd_file(vendors)) {
        return append(icds, vendors, strlen(vendors), NULL, "OCL_ICD_VENDORS", err);
    }
    const int before = icds->count;
    int rc = CLFCN_OK;
    if (!strchr(vendors, '/')) {
        rc = add_file(icds, clfcn_path_join(system_folder, vendors), err);
    }
    if (rc == CLFCN_OK && icds->count == before) {
        rc = add_file(icds, strdup(vendors), err);
    }
    return rc;
}

/* $OCL_ICD_FILENAMES, which only Khronos' loader knows: libraries between colons, besides
 * the others. */
static int add_filenames(struct icds *icds, const char *names, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    while (*names && rc == CLFCN_OK) {
        const size_t len = strcspn(names, ":");
        if (len > 0) {
            rc = append(icds, names, len, NULL, "OCL_ICD_FILENAMES", err);
        }
        names += len + (names[len] == ':');
    }
    return rc;
}

int clfcn_icd_list(struct clfcn_icd **list, int *count, struct clfcn_err *err)
{
    struct icds icds = { 0 };
    const char *system_folder = env_or_null("OPENCL_VENDOR_PATH"); /* ocl-icd only */
    const char *vendors = env_or_null("OCL_ICD_VENDORS");
    const char *filenames = env_or_null("OCL_ICD_FILENAMES");
    int rc = CLFCN_OK;
    *list = NULL;
    *count = 0;
    if (!system_folder) {
        system_folder = "/etc/OpenCL/vendors";
    }
    if (vendors) {
        rc = add_vendors(&icds, vendors, system_folder, err);
    } else {
        rc = add_folder(&icds, system_folder, err);
    }
    if (rc == CLFCN_OK && filenames) {
        rc = add_filenames(&icds, filenames, err);
    }
    if (rc < 0) {
        clfcn_icd_list_free(icds.list, icds.count);
        return rc;
    }
    *list = icds.list;
    *count = icds.count;
    return CLFCN_OK;
}

void clfcn_icd_list_free(struct clfcn_icd *list, int count)
{
    for (int i = 0; i < count; ++i) {
        free(list[i].library);
        free(list[i].file);
    }
    free(list);
}

static bool is_of_filenames(const struct clfcn_icd *icd)
{
    return !icd->file && strcmp(icd->variable, "OCL_ICD_FILENAMES") == 0;
}

/* Write the file that names a library. It keeps its name, as the loaders take files in
 * the order in which the folder happens to hold them. */
static int write_icd(const char *folder, const struct clfcn_icd *icd,
                     struct clfcn_err *err)
{
    const char *name = icd->file ? clfcn_path_base(icd->file) : "driver.icd";
    char *path = clfcn_path_join(folder, name);
    if (!path) {
        return clfcn_err_nomem(err);
    }
    int rc = CLFCN_OK;
    FILE *f = fopen(path, "w");
    const bool written = f && fprintf(f, "%s\n", icd->library) > 0;
    if (!f || (fclose(f) != 0) || !written) {
        rc = clfcn_err_errno(err, errno, "cannot write %s", path);
    }
    free(path);
    return rc;
}

int clfcn_icd_view_create(struct clfcn_icd_view *view, const char *parent,
                          const char *name, const struct clfcn_icd *const *icds,
                          int count, struct clfcn_err *err)
{
    struct clfcn_strbuf vendors = { 0 }, filenames = { 0 };
    *view = (struct clfcn_icd_view){ .folder = clfcn_path_join(parent, name) };
    int rc =
        view->folder ? clfcn_path_mkdir(view->folder, 0700, err) : clfcn_err_nomem(err);
    clfcn_strbuf_add(&vendors, "OCL_ICD_VENDORS=%s", view->folder ? view->folder : "");
    clfcn_strbuf_add(&filenames, "OCL_ICD_FILENAMES");
    char separator = '=';
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        if (is_of_filenames(icds[i])) {
            clfcn_strbuf_add(&filenames, "%c%s", separator, icds[i]->library);
            separator = ':';
        } else {
            rc = write_icd(view->folder, icds[i], err);
        }
    }
    view->vendors = vendors.str;
    view->filenames = filenames.str;
    if (rc == CLFCN_OK && (vendors.failed || filenames.failed)) {
        rc = clfcn_err_nomem(err);
    }
    if (rc < 0) {
        clfcn_icd_view_destroy(view);
    }
    return rc;
}

void clfcn_icd_view_destroy(struct clfcn_icd_view *view)
{
    char **names;
    int count;
    if (view->folder && clfcn_path_list(view->folder, &names, &count, NULL) == CLFCN_OK) {
        for (int i = 0; i < count; ++i) {
            char *path = clfcn_path_join(view->folder, names[i]);
            if (path) {
                remove(path);
            }
            free(path);
        }
        clfcn_path_list_free(names, count);
        remove(view->folder);
    }
    free(view->folder);
    free(view->vendors);
    free(view->filenames);
    *view = (struct clfcn_icd_view){ 0 };
}
