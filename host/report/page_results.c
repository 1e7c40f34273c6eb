/* page_results.c - what a run has come to: figures, classes, samples, epochs. */
#include "../util/file.h"
#include "../util/log.h"
#include "../util/path.h"
#include "html.h"
#include "page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pictures of one epoch, and bytes of a picture, that a page takes. */
enum { MAX_PICTURES = 8, MAX_PICTURE_BYTES = 4 << 20 };

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

void clfcn_page_summary(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    if (h->epoch_count == 0) {
        clfcn_strbuf_add(out, "<p class=\"soft none\">No epoch is complete yet.</p>\n");
        return;
    }
    const struct clfcn_history_epoch *last = &h->epochs[h->epoch_count - 1];
    const struct clfcn_history_epoch *best = clfcn_history_best(h);
    char note[64];
    clfcn_strbuf_add(out, "<div class=\"tiles\">\n");
    if (best) {
        snprintf(note, sizeof(note), "after epoch %d", best->number);
        clfcn_page_tile(out, "Best mean IoU", "%.4f", best->mean_iou, note);
    }
    snprintf(note, sizeof(note), "after epoch %d", last->number);
    clfcn_page_tile(out, "Mean IoU", "%.4f", last->mean_iou, note);
    clfcn_page_tile(out, "Pixel accuracy", "%.4f", last->pixel_acc, note);
    clfcn_page_tile(out, "Validation loss", "%.4f", last->val_loss, note);
    clfcn_page_tile(out, "Training loss", "%.4f", last->train_loss, "of the last epoch");
    snprintf(note, sizeof(note), "data wait %.1f s",
             isfinite(last->wait_s) ? last->wait_s : 0);
    clfcn_page_tile(out, "Images a second", "%.2f", last->images_per_s,
                    isfinite(last->wait_s) ? note : "last epoch");
    duration(h->seconds, note, sizeof(note));
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
    clfcn_strbuf_add(out,
                     "<h2>IoU of each class</h2>\n<div class=\"scroll\" tabindex=\"0\" "
                     "role=\"region\" aria-label=\"IoU of each class\"><table><thead><tr>"
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

/* The content of a picture as a URL; nothing, and a warning, if it cannot be read. */
static void embed(struct clfcn_strbuf *out, const struct clfcn_history *h,
                  const char *file)
{
    char *dir = clfcn_path_join(h->dir, "samples");
    char *path = dir ? clfcn_path_join(dir, file) : NULL;
    char *data = NULL;
    size_t size = 0;
    struct clfcn_err err;
    out->failed = out->failed || !path;
    if (path && clfcn_file_read(path, MAX_PICTURE_BYTES, &data, &size, &err) < 0) {
        clfcn_warn("the report lacks a picture: %s", err.msg);
    } else if (path) {
        clfcn_strbuf_add(out, "data:image/png;base64,");
        clfcn_html_base64(out, data, size);
    }
    free(data);
    free(path);
    free(dir);
}

static void picture(struct clfcn_strbuf *out, const struct clfcn_history *h,
                    const char *file, bool link)
{
    clfcn_strbuf_add(out, "<figure><img alt=\"image, truth and prediction of ");
    clfcn_html_text(out, file);
    clfcn_strbuf_add(out, "\" src=\"");
    if (link) {
        clfcn_strbuf_add(out, "samples/");
        clfcn_html_url(out, file);
    } else {
        embed(out, h, file);
    }
    clfcn_strbuf_add(out, "\"><figcaption>");
    clfcn_html_text(out, file);
    clfcn_strbuf_add(out, "</figcaption></figure>\n");
}

static void pictures_of(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        int epoch, bool link)
{
    int shown = 0;
    clfcn_strbuf_add(out, "<h3>After epoch %d</h3>\n<div class=\"pictures\">\n", epoch);
    for (int i = 0; i < h->sample_count && shown < MAX_PICTURES; ++i) {
        if (h->samples[i].epoch == epoch) {
            picture(out, h, h->samples[i].file, link);
            ++shown;
        }
    }
    clfcn_strbuf_add(out, "</div>\n");
}

static void pictures(struct clfcn_strbuf *out, const struct clfcn_history *h, bool link)
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
    pictures_of(out, h, last, link);
    if (first != last) {
        pictures_of(out, h, first, link);
    }
}

static void epoch_table(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    if (h->epoch_count == 0) {
        return;
    }
    const struct clfcn_history_epoch *best = clfcn_history_best(h);
    clfcn_strbuf_add(
        out, "<h2>Epochs</h2>\n<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" "
             "aria-label=\"Epochs\"><table><thead><tr><th>epoch</th>"
             "<th>train loss</th><th>val loss</th><th>mean IoU</th><th>pixel acc</th>"
             "<th>mean acc</th><th>f.w. IoU</th><th>seconds</th></tr></thead><tbody>\n");
    for (int i = 0; i < h->epoch_count; ++i) {
        const struct clfcn_history_epoch *e = &h->epochs[i];
        clfcn_strbuf_add(out, "<tr%s><td>%d%s</td>", e == best ? " class=\"best\"" : "",
                         e->number, e == best ? " best" : "");
        const double values[] = { e->train_loss, e->val_loss, e->mean_iou,
                                  e->pixel_acc,  e->mean_acc, e->fw_iou };
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); ++k) {
            value_cell(out, values[k], "%.4f");
        }
        value_cell(out, e->seconds, "%.1f");
        clfcn_strbuf_add(out, "</tr>\n");
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
    if (h->epoch_count < h->epoch_total) {
        clfcn_strbuf_add(out, "<p class=\"soft\">%d of %d epochs are shown.</p>\n",
                         h->epoch_count, h->epoch_total);
    }
}

static void text_cell(struct clfcn_strbuf *out, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    clfcn_strbuf_add(out, "<td>");
    clfcn_html_text(out, text ? text : "");
    clfcn_strbuf_add(out, "</td>");
}

/* Who trained together, and what each did in the last epoch. */
static void rank_table(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    const json_t *ranks = json_object_get(h->start, "ranks");
    if (json_array_size(ranks) == 0) {
        return;
    }
    clfcn_strbuf_add(
        out, "<h2>Ranks</h2>\n<div class=\"scroll tall\" tabindex=\"0\" role=\"region\" "
             "aria-label=\"Ranks\"><table><thead><tr><th>rank</th><th>host</th>"
             "<th>device</th><th>images a step</th><th>images/s</th><th>waiting, s</th>"
             "<th>exchanged, MB</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < json_array_size(ranks); ++i) {
        const json_t *rank = json_array_get(ranks, i), *did = json_array_get(h->ranks, i);
        clfcn_strbuf_add(out, "<tr><td>%d</td>", (int)i);
        text_cell(out, rank, "host");
        text_cell(out, rank, "device");
        value_cell(out, clfcn_history_number(rank, "batch"), "%.0f");
        value_cell(out, clfcn_history_number(did, "images_per_s"), "%.1f");
        value_cell(out, clfcn_history_number(did, "wait_s"), "%.1f");
        value_cell(out, 1e-6 * clfcn_history_number(did, "bytes"), "%.1f");
        clfcn_strbuf_add(out, "</tr>\n");
    }
    clfcn_strbuf_add(out, "</tbody></table></div>\n");
}

/* Text that may be broken after each comma. */
static void list_text(struct clfcn_strbuf *out, const char *text)
{
    struct clfcn_strbuf escaped = { 0 };
    clfcn_html_text(&escaped, text);
    for (const char *s = escaped.str; s && *s;) {
        const size_t n = strcspn(s, ",");
        clfcn_strbuf_add_bytes(out, s, n);
        clfcn_strbuf_add(out, "%s", s[n] ? ",<wbr>" : "");
        s += n + (s[n] != '\0');
    }
    out->failed = out->failed || escaped.failed;
    clfcn_strbuf_free(&escaped);
}

/* An option that was not given, and whose value stands for that. */
static bool is_unset(const char *key, const json_t *value)
{
    return json_is_null(value) ||
           (strcmp(key, "max-steps") == 0 && json_integer_value(value) < 0);
}

static void configuration(struct clfcn_strbuf *out, const struct clfcn_history *h)
{
    const char *key;
    json_t *value;
    clfcn_strbuf_add(out, "<h2>Configuration</h2>\n<dl>\n");
    json_object_foreach(h->config, key, value)
    {
        if (is_unset(key, value) || strcmp(key, "classes-text") == 0) {
            continue;
        }
        char *text = json_is_string(value)
                         ? strdup(json_string_value(value))
                         : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        out->failed = out->failed || !text;
        clfcn_strbuf_add(out, "<div><dt>");
        clfcn_html_text(out, key);
        clfcn_strbuf_add(out, "</dt><dd>");
        list_text(out, text);
        clfcn_strbuf_add(out, "</dd></div>\n");
        free(text);
    }
    clfcn_strbuf_add(out, "</dl>\n");
}

void clfcn_page_results(struct clfcn_strbuf *out, const struct clfcn_history *h,
                        bool link)
{
    class_table(out, h);
    pictures(out, h, link);
    epoch_table(out, h);
    rank_table(out, h);
    configuration(out, h);
}
