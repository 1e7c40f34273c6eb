/* info_run.c - what clfcn info shows of a run's folder. */
#include "../report/history.h"
#include "../train/runlog.h"
#include "../util/err.h"
#include "../util/strbuf.h"
#include "info.h"
#include <inttypes.h>
#include <math.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && clfcn_is_one_line(s) ? s : "?"; /* it may come from anywhere */
}

static int number_of(const json_t *object, const char *key)
{
    return (int)json_number_value(json_object_get(object, key));
}

/* The last epoch that was completed, or NULL. */
static const struct clfcn_history_epoch *last_epoch(const struct clfcn_history *h)
{
    return h->epoch_count > 0 ? &h->epochs[h->epoch_count - 1] : NULL;
}

/* A new reference. */
static json_t *to_json(const struct clfcn_history *h)
{
    const struct clfcn_history_epoch *last = last_epoch(h), *best = clfcn_history_best(h);
    return json_pack("{ss ss ss ss si si si sI so so so so}", "run", h->dir, "arch",
                     text_of(h->config, "arch"), "backbone",
                     text_of(h->config, "backbone"), "size", text_of(h->config, "size"),
                     "batch", number_of(h->config, "batch"), "epochs",
                     number_of(h->config, "epochs"), "epoch", last ? last->number : 0,
                     "step", (json_int_t)h->step_count, "train_loss",
                     clfcn_json_number(last ? last->train_loss : NAN), "mean_iou",
                     clfcn_json_number(last ? last->mean_iou : NAN), "best_mean_iou",
                     clfcn_json_number(best ? best->mean_iou : NAN), "best_epoch",
                     best ? json_integer(best->number) : json_null());
}

static void print_time(const struct clfcn_history *h,
                       const struct clfcn_history_epoch *last)
{
    char text[CLFCN_DURATION_LEN];
    printf("time        %s for %d epochs", clfcn_format_duration(h->seconds, text),
           h->epoch_total);
    if (isfinite(last->images_per_s)) {
        printf(", %.2f images/s in the last", last->images_per_s);
    }
    printf("\n");
}

static void print_text(const struct clfcn_history *h)
{
    const struct clfcn_history_epoch *last = last_epoch(h), *best = clfcn_history_best(h);
    printf("run         %s\n", h->dir);
    printf("network     %s on %s, %s, batch %d, %d classes\n", text_of(h->config, "arch"),
           text_of(h->config, "backbone"), text_of(h->config, "size"),
           number_of(h->config, "batch"), h->classes.count);
    printf("training    %s, %s, on %s\n", text_of(h->config, "loss"),
           text_of(h->config, "optimizer"), text_of(h->config, "data"));
    if (h->start) {
        printf("device      %s, driver %s\n", text_of(h->start, "device"),
               text_of(h->start, "driver"));
    }
    printf("progress    %d of %d epochs, %" PRId64 " steps\n", last ? last->number : 0,
           number_of(h->config, "epochs"), h->step_count);
    if (last && isfinite(last->train_loss)) {
        printf("last epoch  train loss %.4f", last->train_loss);
        if (isfinite(last->mean_iou)) {
            printf(", val loss %.4f, pixel acc %.4f, mean IoU %.4f", last->val_loss,
                   last->pixel_acc, last->mean_iou);
        }
        printf("\n");
    }
    if (best) {
        printf("best        mean IoU %.4f after epoch %d\n", best->mean_iou,
               best->number);
    }
    if (last) {
        print_time(h, last);
    }
}

int cli_info_run(const struct cli_env *env, const char *dir, struct clfcn_err *err)
{
    struct clfcn_history h;
    int rc = clfcn_history_read(&h, dir, err);
    if (rc == CLFCN_OK && env->json) {
        rc = cli_print_json(to_json(&h), err);
    } else if (rc == CLFCN_OK) {
        print_text(&h);
    }
    clfcn_history_close(&h);
    return rc;
}
