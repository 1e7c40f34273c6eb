/* results.c - what `clfcn predict` makes of one picture. */
#include "results.h"
#include "../train/legend.h"
#include "../train/samples.h"
#include "../util/strbuf.h"
#include "../util/trace.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

static bool is_taken(char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; ++i) {
        if (strcasecmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Name number c, after those before it; NULL if memory is exhausted. */
static char *map_name(const struct clfcn_classes *classes, int c, char *const *names)
{
    char safe[sizeof(classes->list[c].name)];
    snprintf(safe, sizeof(safe), "%s", classes->list[c].name);
    for (char *s = safe; *s; ++s) {
        *s = is_plain(*s) ? *s : '_';
    }
    struct clfcn_strbuf name = { 0 };
    clfcn_strbuf_add(&name, "probs.%s", safe);
    /* A number makes it unlike the others; that again may be the name of a class. */
    for (int n = c; !name.failed && is_taken(names, c, name.str); ++n) {
        name.len = 0;
        clfcn_strbuf_add(&name, "probs.%s-%d", safe, n);
    }
    if (name.failed) {
        clfcn_strbuf_free(&name);
        return NULL;
    }
    return name.str;
}

char **cli_results_map_names(const struct clfcn_classes *classes)
{
    char **names = calloc((size_t)classes->count, sizeof(*names));
    for (int c = 0; names && c < classes->count; ++c) {
        names[c] = map_name(classes, c, names);
        if (!names[c]) {
            cli_results_free_names(names, c);
            return NULL;
        }
    }
    return names;
}

void cli_results_free_names(char **names, int count)
{
    for (int c = 0; names && c < count; ++c) {
        free(names[c]);
    }
    free(names);
}

static int make_room(struct cli_results *r, struct clfcn_err *err)
{
    const struct cli_results_how *how = r->how;
    const size_t classes = (size_t)how->classes->count;
    const int width = r->image.width, height = r->image.height;
    const size_t pixels = (size_t)width * (size_t)height;
    const size_t logits = classes * (size_t)how->net_width * (size_t)how->net_height;
    r->bytes = pixels * (size_t)(3 * r->image.depth / 8 + 1);
    r->pixels = calloc(classes, sizeof(*r->pixels));
    r->logits = how->logits ? malloc(logits * sizeof(*r->logits)) : NULL;
    r->maps = how->prob_maps ? calloc(classes, sizeof(*r->maps)) : NULL;
    if (!r->pixels || (how->logits && !r->logits) || (how->prob_maps && !r->maps)) {
        return clfcn_err_nomem(err);
    }
    int rc = clfcn_image_alloc(&r->mask, width, height, 1, 8, err);
    for (size_t c = 0; r->maps && c < classes && rc == CLFCN_OK; ++c) {
        rc = clfcn_image_alloc(&r->maps[c], width, height, 1, 8, err);
        r->bytes += pixels;
    }
    return rc;
}

int cli_results_read(struct cli_results *r, const struct cli_results_how *how,
                     const struct cli_input_file *file, bool *unreadable,
                     struct clfcn_err *err)
{
    const double begin = clfcn_trace_begin();
    *r = (struct cli_results){ .how = how, .file = file };
    int rc = clfcn_image_read(file->path, CLFCN_AS_RGB, &r->image, err);
    *unreadable = rc == CLFCN_EDATA;
    clfcn_trace_end("decode image", begin);
    return rc < 0 ? rc : make_room(r, err);
}

/* Keep a row of the probabilities. */
static int take_row(void *user, int y, const float *probs, struct clfcn_err *err)
{
    struct cli_results *r = user;
    const int classes = r->how->classes->count, width = r->image.width;
    int rc = CLFCN_OK;
    if (r->how->probs && y == 0) {
        char *path = cli_inputs_result(r->file, r->how->out, "probs.npy");
        rc = path ? cli_npy_open(&r->probs, path, classes, r->image.height, width, err)
                  : clfcn_err_nomem(err);
        free(path);
    }
    for (int c = 0; c < classes && rc == CLFCN_OK; ++c) {
        const float *row = probs + (size_t)c * (size_t)width;
        if (r->how->probs) {
            rc = cli_npy_put(&r->probs, c, y, 1, row, err);
        }
        for (int x = 0; r->maps && x < width; ++x) {
            r->maps[c].px.u8[(size_t)y * (size_t)width + (size_t)x] =
                (uint8_t)(255 * row[x] + 0.5f);
        }
    }
    return rc;
}

struct clfcn_predict_job cli_results_job(struct cli_results *r)
{
    return (struct clfcn_predict_job){
        .labels = r->mask.px.u8,
        .logits = r->logits,
        .row = r->how->probs || r->how->prob_maps ? take_row : NULL,
        .user = r,
    };
}

static int write_png(const struct cli_results *r, const struct clfcn_image *im,
                     const char *suffix, struct clfcn_err *err)
{
    char *path = cli_inputs_result(r->file, r->how->out, suffix);
    const int rc = path ? clfcn_png_write(path, im, err) : clfcn_err_nomem(err);
    free(path);
    return rc;
}

static int write_mask(const struct cli_results *r, struct clfcn_err *err)
{
    const struct clfcn_classes *classes = r->how->classes;
    uint8_t palette[CLFCN_MAX_CLASSES][3];
    for (int c = 0; c < classes->count; ++c) {
        memcpy(palette[c], classes->list[c].color, 3);
    }
    char *path = cli_inputs_result(r->file, r->how->out, "png");
    const int rc =
        path ? clfcn_png_write_indexed(path, &r->mask, (const uint8_t(*)[3])palette,
                                       classes->count, err)
             : clfcn_err_nomem(err);
    free(path);
    return rc;
}

static int write_overlay(const struct cli_results *r, struct clfcn_err *err)
{
    const struct clfcn_classes *classes = r->how->classes;
    struct clfcn_image blend = { 0 };
    bool shown[CLFCN_MAX_CLASSES];
    int rc = clfcn_overlay(&r->image, r->mask.px.u8, classes, r->how->alpha, &blend, err);
    if (rc == CLFCN_OK && r->how->legend) {
        for (int c = 0; c < classes->count; ++c) {
            shown[c] = r->pixels[c] > 0;
        }
        rc = clfcn_legend_add(&blend, classes, shown, err);
    }
    if (rc == CLFCN_OK) {
        rc = write_png(r, &blend, "overlay.png", err);
    }
    clfcn_image_free(&blend);
    return rc;
}

static int write_logits(const struct cli_results *r, struct clfcn_err *err)
{
    const struct cli_results_how *how = r->how;
    struct cli_npy npy = { 0 };
    char *path = cli_inputs_result(r->file, how->out, "npy");
    int rc = path ? cli_npy_open(&npy, path, how->classes->count, how->net_height,
                                 how->net_width, err)
                  : clfcn_err_nomem(err);
    for (int c = 0; c < how->classes->count && rc == CLFCN_OK; ++c) {
        const size_t plane = (size_t)how->net_width * (size_t)how->net_height;
        rc = cli_npy_put(&npy, c, 0, how->net_height, r->logits + (size_t)c * plane, err);
    }
    if (rc == CLFCN_OK) {
        rc = cli_npy_commit(&npy, err);
    }
    cli_npy_abort(&npy);
    free(path);
    return rc;
}

static int write_maps(const struct cli_results *r, struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int c = 0; c < r->how->classes->count && rc == CLFCN_OK; ++c) {
        struct clfcn_strbuf suffix = { 0 };
        clfcn_strbuf_add(&suffix, "%s.png", r->how->map_names[c]);
        rc = suffix.failed ? clfcn_err_nomem(err)
                           : write_png(r, &r->maps[c], suffix.str, err);
        clfcn_strbuf_free(&suffix);
    }
    return rc;
}

int cli_results_write(struct cli_results *r, struct clfcn_err *err)
{
    const double begin = clfcn_trace_begin();
    const size_t all = (size_t)r->image.width * (size_t)r->image.height;
    for (size_t i = 0; i < all; ++i) {
        ++r->pixels[r->mask.px.u8[i]];
    }
    int rc = write_mask(r, err);
    if (rc == CLFCN_OK && r->how->overlay) {
        rc = write_overlay(r, err);
    }
    if (rc == CLFCN_OK && r->how->logits) {
        rc = write_logits(r, err);
    }
    if (rc == CLFCN_OK && r->how->probs) {
        rc = cli_npy_commit(&r->probs, err);
    }
    if (rc == CLFCN_OK && r->maps) {
        rc = write_maps(r, err);
    }
    clfcn_trace_end("write mask", begin);
    return rc;
}

void cli_results_free(struct cli_results *r)
{
    for (int c = 0; r->maps && c < r->how->classes->count; ++c) {
        clfcn_image_free(&r->maps[c]);
    }
    cli_npy_abort(&r->probs);
    clfcn_image_free(&r->image);
    clfcn_image_free(&r->mask);
    free(r->maps);
    free(r->logits);
    free(r->pixels);
    *r = (struct cli_results){ 0 };
}
