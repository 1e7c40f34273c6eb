/* predict.c - pictures through a network, a batch at a time: while the device works on
 * one slot's batch, the host decodes the next into the other slot and writes the last
 * one's masks. */
#include "predict.h"
#include "../data/resize.h"
#include "../train/samples.h"
#include "../util/trace.h"
#include "npy.h"
#include <stdlib.h>
#include <string.h>

/* One picture on its way through. */
struct item {
    const struct cli_input_file *file; /* NULL: this place of the batch is empty */
    struct clfcn_image image;          /* kept only for the overlay */
    int width, height;                 /* of the picture */
    uint64_t *pixels;                  /* [classes] pixels of each in the mask */
    int rc;
    bool unreadable; /* rc is the picture's fault, not the output's */
    struct clfcn_err err;
};

struct slot {
    const struct cli_predict *job;
    struct clfcn_net_desc desc;
    float *images, *logits; /* [3 | classes][batch][height][width] */
    struct item *items;     /* [batch] */
    int count;              /* pictures in this batch, 0: idle */
};

static size_t plane(const struct slot *s)
{
    return (size_t)s->desc.width * (size_t)s->desc.height;
}

static int slot_init(struct slot *s, const struct cli_predict *job, struct clfcn_err *err)
{
    s->job = job;
    s->desc = *clfcn_net_get_desc(job->net);
    size_t batch = (size_t)s->desc.batch, classes = (size_t)s->desc.classes;
    s->images = calloc(3 * batch * plane(s), sizeof(float));
    s->logits = calloc(classes * batch * plane(s), sizeof(float));
    s->items = calloc(batch, sizeof(*s->items));
    if (!s->images || !s->logits || !s->items) {
        return clfcn_err_nomem(err);
    }
    for (size_t i = 0; i < batch; ++i) {
        s->items[i].pixels = calloc(classes, sizeof(uint64_t));
        if (!s->items[i].pixels) {
            return clfcn_err_nomem(err);
        }
    }
    return CLFCN_OK;
}

static void slot_finish(struct slot *s)
{
    for (int i = 0; s->items && i < s->desc.batch; ++i) {
        clfcn_image_free(&s->items[i].image);
        free(s->items[i].pixels);
    }
    free(s->items);
    free(s->images);
    free(s->logits);
}

/* Decode picture i of the batch into the slot's input. Runs on several threads. */
static void decode(void *arg, int i)
{
    struct slot *s = arg;
    struct item *it = &s->items[i];
    float *input = s->images + (size_t)i * plane(s);
    size_t stride = (size_t)s->desc.batch * plane(s);
    const double begin = clfcn_trace_begin();
    it->rc = clfcn_image_read(it->file->path, CLFCN_AS_RGB, &it->image, &it->err);
    it->unreadable = it->rc == CLFCN_EDATA || it->rc == CLFCN_EIO;
    if (it->rc < 0) {
        for (int c = 0; c < 3; ++c) {
            memset(input + (size_t)c * stride, 0, plane(s) * sizeof(float));
        }
        return;
    }
    it->width = it->image.width;
    it->height = it->image.height;
    clfcn_resize_to_input_as(&it->image, s->job->resize, s->desc.width, s->desc.height,
                             input, stride);
    clfcn_trace_end("decode image", begin);
    if (!s->job->overlay) {
        clfcn_image_free(&it->image);
    }
}

static int write_mask(const struct slot *s, struct item *it,
                      const struct clfcn_image *mask, struct clfcn_err *err)
{
    uint8_t palette[CLFCN_MAX_CLASSES][3];
    for (int c = 0; c < s->desc.classes; ++c) {
        memcpy(palette[c], s->job->classes->list[c].color, 3);
    }
    char *path = cli_inputs_result(it->file, s->job->out, "png");
    int rc = path ? clfcn_png_write_indexed(path, mask, (const uint8_t(*)[3])palette,
                                            s->desc.classes, err)
                  : clfcn_err_nomem(err);
    free(path);
    return rc;
}

static int write_overlay(const struct slot *s, struct item *it,
                         const struct clfcn_image *mask, struct clfcn_err *err)
{
    struct clfcn_image blend = { 0 };
    char *path = cli_inputs_result(it->file, s->job->out, "overlay.png");
    int rc =
        path ? clfcn_overlay(&it->image, mask->px.u8, s->job->classes, 0.5, &blend, err)
             : clfcn_err_nomem(err);
    if (rc == CLFCN_OK) {
        rc = clfcn_png_write(path, &blend, err);
    }
    clfcn_image_free(&blend);
    free(path);
    return rc;
}

static int write_logits(const struct slot *s, struct item *it, const float *logits,
                        size_t stride, struct clfcn_err *err)
{
    char *path = cli_inputs_result(it->file, s->job->out, "npy");
    int rc = path ? cli_npy_write(path, logits, s->desc.classes, stride, s->desc.height,
                                  s->desc.width, err)
                  : clfcn_err_nomem(err);
    free(path);
    return rc;
}

/* Write the results of picture i of the batch. Runs on several threads. */
static void finish(void *arg, int i)
{
    struct slot *s = arg;
    struct item *it = &s->items[i];
    const float *logits = s->logits + (size_t)i * plane(s);
    size_t stride = (size_t)s->desc.batch * plane(s);
    struct clfcn_image mask = { 0 };
    const double begin = clfcn_trace_begin();
    if (it->rc < 0) {
        return;
    }
    it->rc = clfcn_image_alloc(&mask, it->width, it->height, 1, 8, &it->err);
    if (it->rc < 0) {
        return;
    }
    clfcn_resize_argmax(logits, s->desc.classes, stride, s->desc.width, s->desc.height,
                        mask.px.u8, it->width, it->height);
    memset(it->pixels, 0, (size_t)s->desc.classes * sizeof(*it->pixels));
    for (size_t p = 0; p < (size_t)it->width * (size_t)it->height; ++p) {
        ++it->pixels[mask.px.u8[p]];
    }
    it->rc = write_mask(s, it, &mask, &it->err);
    if (it->rc == CLFCN_OK && s->job->overlay) {
        it->rc = write_overlay(s, it, &mask, &it->err);
    }
    if (it->rc == CLFCN_OK && s->job->logits) {
        it->rc = write_logits(s, it, logits, stride, &it->err);
    }
    clfcn_image_free(&mask);
    clfcn_image_free(&it->image);
    clfcn_trace_end("write mask", begin);
}

static int print_json(const struct slot *s, const struct item *it, struct clfcn_err *err)
{
    char *mask = cli_inputs_result(it->file, s->job->out, "png");
    double all = (double)it->width * (double)it->height;
    json_t *shares = json_object();
    for (int c = 0; c < s->desc.classes; ++c) {
        json_object_set_new(shares, s->job->classes->list[c].name,
                            json_real((double)it->pixels[c] / all));
    }
    json_t *o = json_pack("{ss* ss* si si so}", "image", it->file->path, "mask", mask,
                          "width", it->width, "height", it->height, "classes", shares);
    free(mask);
    return cli_print_json(o, err);
}

static int print_text(const struct slot *s, const struct item *it, struct clfcn_err *err)
{
    char *mask = cli_inputs_result(it->file, s->job->out, "png");
    if (!mask) {
        return clfcn_err_nomem(err);
    }
    cli_screen_print(&s->job->env->screen, stdout, "%s -> %s", it->file->path, mask);
    const char *separator = ":";
    for (int c = 0; c < s->desc.classes; ++c) {
        double share = (double)it->pixels[c] / ((double)it->width * (double)it->height);
        if (it->pixels[c]) {
            cli_screen_print(&s->job->env->screen, stdout, "%s %s %.1f%%", separator,
                             s->job->classes->list[c].name, 100 * share);
            separator = ",";
        }
    }
    cli_screen_print(&s->job->env->screen, stdout, "\n");
    free(mask);
    return CLFCN_OK;
}

/* Say what became of each picture of a finished batch, in order. */
static int report(const struct slot *s, struct clfcn_err *broken, struct clfcn_err *err)
{
    struct cli_env *env = s->job->env;
    for (int i = 0; i < s->count; ++i) {
        const struct item *it = &s->items[i];
        int rc = it->rc;
        if (rc < 0 && it->unreadable) {
            cli_note_broken(env, broken, &it->err);
            continue;
        }
        if (rc < 0) {
            *err = it->err;
            return rc;
        }
        rc = env->json    ? print_json(s, it, err)
             : env->quiet ? CLFCN_OK
                          : print_text(s, it, err);
        if (rc < 0) {
            return rc;
        }
    }
    return CLFCN_OK;
}

/* Decode count inputs from first on into an idle slot; the device begins on them. */
static int begin(struct slot *s, int index, int first, int count, int threads,
                 struct clfcn_err *err)
{
    s->count = count;
    for (int i = 0; i < count; ++i) {
        s->items[i].file = &s->job->inputs->list[first + i];
    }
    clfcn_parallel_for(count, threads, decode, s);
    const struct clfcn_net_input in = { .images = s->images };
    int rc = clfcn_net_upload(s->job->net, index, &in, err);
    return rc < 0 ? rc : clfcn_net_infer(s->job->net, index, s->logits, err);
}

static int end(struct slot *s, int index, int threads, struct clfcn_err *broken,
               struct clfcn_err *err)
{
    if (s->count == 0) {
        return CLFCN_OK;
    }
    int rc = clfcn_net_wait(s->job->net, index, NULL, err);
    if (rc < 0) {
        return rc;
    }
    clfcn_parallel_for(s->count, threads, finish, s);
    rc = report(s, broken, err);
    s->count = 0;
    return rc;
}

int cli_predict_run(const struct cli_predict *job, struct clfcn_err *err)
{
    struct clfcn_err broken = { 0 };
    struct slot slots[CLFCN_NET_SLOTS] = { 0 };
    int threads = clfcn_cpu_count(), batch = clfcn_net_get_desc(job->net)->batch;
    int total = job->inputs->count, at = 0, rc = CLFCN_OK;
    for (int i = 0; i < CLFCN_NET_SLOTS && rc == CLFCN_OK; ++i) {
        rc = slot_init(&slots[i], job, err);
    }
    for (int first = 0; first < total && rc == CLFCN_OK; first += batch) {
        if (*job->stop) {
            rc = clfcn_err_set(err, CLFCN_EINTR, 0, "interrupted after %d of %d pictures",
                               first, total);
            break;
        }
        int count = total - first < batch ? total - first : batch;
        rc = begin(&slots[at], at, first, count, threads, err);
        at ^= 1;
        if (rc == CLFCN_OK) {
            rc = end(&slots[at], at, threads, &broken, err);
        }
    }
    /* The batch still under way: its results if all is well, else only its buffers back.
     */
    at ^= 1;
    if (rc == CLFCN_OK || rc == CLFCN_EINTR) {
        struct clfcn_err late = { 0 };
        int last = end(&slots[at], at, threads, &broken, rc == CLFCN_OK ? err : &late);
        rc = rc == CLFCN_OK ? last : rc;
    }
    for (int i = 0; i < CLFCN_NET_SLOTS; ++i) {
        if (slots[i].count > 0) {
            clfcn_net_wait(job->net, i, NULL, NULL);
        }
        slot_finish(&slots[i]);
    }
    if (rc == CLFCN_OK && broken.code < 0) {
        *err = broken;
        rc = broken.code;
    }
    return rc;
}
