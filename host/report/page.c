/* page.c - the report's sections, top to bottom. */
#include "page.h"
#include "../util/file.h"
#include "../util/path.h"
#include "../util/sys.h"
#include "html.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures of one epoch, and bytes of a picture, that a page takes. */
enum { MAX_PICTURES = 8, MAX_PICTURE_BYTES = 4 << 20 };

static const char *config_text(const struct clfcn_history *h, const char *key)
{
    const char *s = json_string_value(json_object_get(h->config, key));
    return s ? s : "?";
}

static double config_number(const struct clfcn_history *h, const char *key)
{
    return json_number_value(json_object_get(h->config, key));
}

static void header(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    int epochs = h->epoch_count > 0 ? h->epochs[h->epoch_count - 1].number : 0;
    const char *device = json_string_value(json_object_get(h->start, "device"));
    const char *driver = json_string_value(json_object_get(h->start, "driver"));
    clfcn_strbuf_add(out, "<header><h1>");
    clfcn_html_text(out, h->name);
    clfcn_strbuf_add(out, "</h1>\n<p>");
    clfcn_html_text(out, config_text(h, "arch"));
    clfcn_strbuf_add(out, " on ");
    clfcn_html_text(out, config_text(h, "backbone"));
    clfcn_strbuf_add(out, ", ");
    clfcn_html_text(out, config_text(h, "size"));
    clfcn_strbuf_add(out, ", batch %g, ", config_number(h, "batch"));
    clfcn_html_text(out, config_text(h, "optimizer"));
    clfcn_strbuf_add(out, ", loss ");
    clfcn_html_text(out, config_text(h, "loss"));
    clfcn_strbuf_add(out, ": %d of %g epochs, %d steps</p>\n", epochs,
                     config_number(h, "epochs"), h->step_count);
    if (device) {
        clfcn_strbuf_add(out, "<p class=\"soft\">");
        clfcn_html_text(out, device);
        if (driver) {
            clfcn_strbuf_add(out, ", driver ");
            clfcn_html_text(out, driver);
        }
        clfcn_strbuf_add(out, "</p>\n");
    }
    clfcn_strbuf_add(out, "</header>\n");
}

/* A figure with its name above and a note below; nothing if it is not known. */
static void tile(struct clfcn_strbuf *out, const char *name, const char *format,
                 double value, const char *note)
{
    char text[32];
    if (!isfinite(value)) {
        return;
    }
    snprintf(text, sizeof(text), format, value);
    clfcn_strbuf_add(
        out, "<div class=\"tile\"><span>%s</span><b>%s</b><span>%s</span></div>\n", name,
        text, note);
}

static void duration(double s, char *buf, size_t n)
{
    if (s < 120) {
        snprintf(buf, n, "%.1f s", s);
    } else if (s < 7200) {
        snprintf(buf, n, "%.1f min", s / 60);
    } else {
        snprintf(buf, n, "%.1f h", s / 3600);
    }
}

static void tiles(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    if (h->epoch_count == 0) {
        clfcn_strbuf_add(out, "<p class=\"soft\">No epoch is complete yet.</p>\n");
        return;
    }
    const struct clfcn_history_epoch *last = &h->epochs[h->epoch_count - 1];
    const struct clfcn_history_epoch *best = clfcn_history_best(h);
    double seconds = 0;
    for (int i = 0; i < h->epoch_count; ++i) {
        seconds += isfinite(h->epochs[i].seconds) ? h->epochs[i].seconds : 0;
    }
    char note[64];
    clfcn_strbuf_add(out, "<div class=\"tiles\">\n");
    if (best) {
        snprintf(note, sizeof(note), "after epoch %d", best->number);
        tile(out, "Best mean IoU", "%.4f", best->mean_iou, note);
    }
    snprintf(note, sizeof(note), "after epoch %d", last->number);
    tile(out, "Mean IoU", "%.4f", last->mean_iou, note);
    tile(out, "Pixel accuracy", "%.4f", last->pixel_acc, note);
    tile(out, "Validation loss", "%.4f", last->val_loss, note);
    tile(out, "Training loss", "%.4f", last->train_loss, "of the last epoch");
    snprintf(note, sizeof(note), "data wait %.1f s",
             isfinite(last->wait_s) ? last->wait_s : 0);
    tile(out, "Images a second", "%.2f", last->images_per_s,
         isfinite(last->wait_s) ? note : "last epoch");
    duration(seconds, note, sizeof(note));
    clfcn_strbuf_add(out, "<div class=\"tile\"><span>Time</span><b>%s</b><span>", note);
    duration(last->seconds, note, sizeof(note));
    clfcn_strbuf_add(out, "last: %s</span></div>\n</div>\n", note);
}

static void value_cell(struct clfcn_strbuf *out, double v, const char *format)
{
    char text[32];
    snprintf(text, sizeof(text), format, v);
    clfcn_strbuf_add(out, "<td>%s</td>", isfinite(v) ? text : "\xe2\x80\x93");
}

static void class_row(struct clfcn_strbuf *out, const struct clfcn_history *h, int c,
                      const struct clfcn_history_epoch *best,
                      const struct clfcn_history_epoch *last)
{
    double b = c < best->iou_count ? best->iou[c] : NAN;
    double l = c < last->iou_count ? last->iou[c] : NAN;
    clfcn_strbuf_add(out, "<tr><th scope=\"row\">");
    if (c < h->classes.count) {
        const struct clfcn_class *k = &h->classes.list[c];
        clfcn_strbuf_add(
            out, "<span class=\"swatch\" style=\"background:#%02x%02x%02x\"></span>",
            k->color[0], k->color[1], k->color[2]);
        clfcn_html_text(out, k->name);
    } else {
        clfcn_strbuf_add(out, "class %d", c);
    }
    clfcn_strbuf_add(out, "</th>");
    value_cell(out, b, "%.4f");
    if (last != best) {
        value_cell(out, l, "%.4f");
    }
    clfcn_strbuf_add(
        out,
        "<td class=\"meter\"><div><div style=\"width:%.1f%%\"></div></div></td>"
        "</tr>\n",
        isfinite(l) && l > 0 ? 100 * fmin(l, 1) : 0);
}

static void class_table(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    const struct clfcn_history_epoch *best = clfcn_history_best(h);
    if (!best || best->iou_count == 0) {
        return;
    }
    const struct clfcn_history_epoch *last = &h->epochs[h->epoch_count - 1];
    clfcn_strbuf_add(
        out,
        "<h2>IoU of each class</h2>\n<div class=\"scroll\"><table><thead><tr>"
        "<th>class</th><th>best, epoch %d</th>",
        best->number);
    if (last != best) {
        clfcn_strbuf_add(out, "<th>last, epoch %d</th>", last->number);
    }
    clfcn_strbuf_add(out, "<th></th></tr></thead><tbody>\n");
    for (int c = 0; c < best->iou_count; ++c) {
        class_row(out, h, c, best, last);
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
}

/* One sample, embedded; a picture that cannot be read is left out. */
static void picture(struct clfcn_strbuf *out, const struct clfcn_history *h,
                    const char *file)
{
    char *dir = clfcn_path_join(h->dir, "samples");
    char *path = dir ? clfcn_path_join(dir, file) : NULL;
    char *data = NULL;
    size_t size = 0;
    if (path &&
        clfcn_file_read(path, MAX_PICTURE_BYTES, &data, &size, NULL) == CLFCN_OK) {
        clfcn_strbuf_add(out, "<figure><img alt=\"image, truth and prediction of ");
        clfcn_html_text(out, file);
        clfcn_strbuf_add(out, "\" src=\"data:image/png;base64,");
        clfcn_html_base64(out, data, size);
        clfcn_strbuf_add(out, "\"><figcaption>");
        clfcn_html_text(out, file);
        clfcn_strbuf_add(out, "</figcaption></figure>\n");
    }
    free(data);
    free(path);
    free(dir);
}

static void pictures_of(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        int epoch)
{
    int shown = 0;
    clfcn_strbuf_add(out, "<h3>After epoch %d</h3>\n<div class=\"pictures\">\n", epoch);
    for (int i = 0; i < h->sample_count && shown < MAX_PICTURES; ++i) {
        if (h->samples[i].epoch == epoch) {
            picture(out, h, h->samples[i].file);
            ++shown;
        }
    }
    clfcn_strbuf_add(out, "</div>\n");
}

static void pictures(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    if (h->sample_count == 0) {
        return;
    }
    int first = h->samples[0].epoch, last = first;
    for (int i = 0; i < h->sample_count; ++i) {
        int e = h->samples[i].epoch;
        first = e < first ? e : first;
        last = e > last ? e : last;
    }
    clfcn_strbuf_add(out, "<h2>Samples: image, truth, prediction</h2>\n");
    pictures_of(out, h, last);
    if (first != last) {
        pictures_of(out, h, first);
    }
}

static void epoch_table(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    if (h->epoch_count == 0) {
        return;
    }
    const struct clfcn_history_epoch *best = clfcn_history_best(h);
    clfcn_strbuf_add(
        out, "<h2>Epochs</h2>\n<div class=\"scroll\"><table><thead><tr><th>epoch</th>"
             "<th>train loss</th><th>val loss</th><th>mean IoU</th><th>pixel acc</th>"
             "<th>mean acc</th><th>f.w. IoU</th><th>seconds</th></tr></thead><tbody>\n");
    for (int i = 0; i < h->epoch_count; ++i) {
        const struct clfcn_history_epoch *e = &h->epochs[i];
        clfcn_strbuf_add(out, "<tr%s><td>%d%s</td>", e == best ? " class=\"best\"" : "",
                         e->number, e == best ? " best" : "");
        const double values[] = { e->train_loss, e->val_loss, e->mean_iou,
                                  e->pixel_acc, e->mean_acc, e->fw_iou };
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); ++k) {
            value_cell(out, values[k], "%.4f");
        }
        value_cell(out, e->seconds, "%.1f");
        clfcn_strbuf_add(out, "</tr>\n");
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
}

static void configuration(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    const char *key;
    json_t *value;
    clfcn_strbuf_add(out, "<h2>Configuration</h2>\n<dl>\n");
    json_object_foreach(h->config, key, value)
    {
        if (json_is_null(value) || strcmp(key, "classes-text") == 0) {
            continue;
        }
        char *text = json_is_string(value)
                         ? strdup(json_string_value(value))
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        out->failed = out->failed || !text;
        clfcn_strbuf_add(out, "<div><dt>");
        clfcn_html_text(out, key);
        clfcn_strbuf_add(out, "</dt><dd>");
        clfcn_html_text(out, text);
        clfcn_strbuf_add(out, "</dd></div>\n");
        free(text);
    }
    clfcn_strbuf_add(out, "</dl>\n");
}

void clfcn_page_build(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    char now[32];
    clfcn_clock_iso(now, sizeof(now));
    clfcn_strbuf_add(
        out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
             "<title>clfcn: ");
    clfcn_html_text(out, h->name);
    clfcn_strbuf_add(out, "</title>\n<style>\n%s</style>\n</head>\n<body><main>\n",
                     clfcn_report_css);
    header(out, h);
    tiles(out, h);
    clfcn_page_charts(out, h);
    class_table(out, h);
    pictures(out, h);
    epoch_table(out, h);
    configuration(out, h);
    clfcn_strbuf_add(
        out, "<footer>Written by clfcn %s, %s</footer>\n</main></body>\n</html>\n",
        clfcn_version(), now);
}
