/* diverge_json.c - clfcn diverge --json: everything in one object. */
#include "../train/runlog.h"
#include "../util/json.h"
#include "diverge.h"

static json_t *devices_to_json(const struct cli_diverge *d)
{
    json_t *list = json_array();
    for (int s = 0; s < 2; ++s) {
        const struct clfcn_device_info *info = &d->dev[s]->info;
        clfcn_json_append(&list,
                          json_pack("{ss si ss ss ss ss ss}", "spec", d->spec[s], "index",
                                    info->index, "name", info->name, "vendor",
                                    info->vendor, "platform", info->platform, "driver",
                                    info->driver, "version", info->version));
    }
    return list;
}

static json_t *net_to_json(const struct cli_diverge *d)
{
    return json_pack(
        "{ss ss si si si si ss ss ss}", "arch", clfcn_arch_name(d->desc.arch), "backbone",
        clfcn_backbone_name(d->desc.backbone), "classes", d->desc.classes, "width",
        d->desc.width, "height", d->desc.height, "batch", d->desc.batch, "loss",
        clfcn_loss_name(d->net.loss), "optimizer", clfcn_optimizer_name(d->net.optimizer),
        "gemm", clfcn_gemm_name(d->net.gemm));
}

/* null where there is no choice. */
static json_t *algorithms_to_json(const struct clfcn_diverge_row *row)
{
    const char *a = row->algorithm[0], *b = row->algorithm[1];
    return *a ? json_pack("[ss]", a, b) : json_null();
}

/* What tensor it is: shared by rows and the first difference. */
static json_t *tensor_to_json(const struct clfcn_diverge_row *row)
{
    return json_pack("{ss ss ss ss so so sf}", "layer", row->layer, "kind", row->kind,
                     "pass", row->pass, "tensor", row->tensor, "shape",
                     clfcn_json_integers(row->dims, row->ndim), "algorithms",
                     algorithms_to_json(row), "tolerance", row->tolerance);
}

static json_t *row_to_json(const struct clfcn_diverge_row *row)
{
    json_t *o = tensor_to_json(row);
    json_t *more =
        json_pack("{so so si si}", "relative", clfcn_json_number(row->worst.relative),
                  "worst", clfcn_json_number(row->worst.worst), "step", row->worst_step,
                  "beyond", row->beyond);
    json_object_update(o, more);
    json_decref(more);
    return o;
}

static json_t *first_to_json(const struct clfcn_diverge *r)
{
    const struct clfcn_diverge_first *first = &r->first;
    const struct clfcn_difference *diff = &first->difference;
    const struct clfcn_diverge_row *row = &r->rows[first->row];
    const char *wrong = cli_diverge_wrong(first);
    json_t *o = tensor_to_json(row);
    json_t *more = json_pack(
        "{si so so sI sI so so so so so s[ss]}", "step", first->step, "relative",
        clfcn_json_number(diff->relative), "worst", clfcn_json_number(diff->worst),
        "elements", (json_int_t)diff->count, "far", (json_int_t)diff->far, "index",
        clfcn_json_integers(first->index, row->ndim), "a", clfcn_json_number(diff->a), "b",
        clfcn_json_number(diff->b), "reference",
        first->has_reference ? clfcn_json_number(first->reference) : json_null(), "wrong",
        wrong ? json_string(wrong) : json_null(), "kernels", first->kernels[0],
        first->kernels[1]);
    json_object_update(o, more);
    json_decref(more);
    return o;
}

static json_t *steps_to_json(const struct cli_diverge *d)
{
    json_t *list = json_array();
    for (int i = 0; i < d->result.steps_done; ++i) {
        const struct clfcn_diverge_step *s = &d->result.steps[i];
        clfcn_json_append(
            &list, json_pack("{si s[oo] s[oo] so so}", "step", i + 1, "loss",
                             clfcn_json_number(s->loss[0]), clfcn_json_number(s->loss[1]),
                             "gradient_norm", clfcn_json_number(s->gradient[0]),
                             clfcn_json_number(s->gradient[1]), "gradient_apart",
                             clfcn_json_number(s->gradient_apart), "weights_apart",
                             clfcn_json_number(s->weights_apart)));
    }
    return list;
}

int cli_diverge_print_json(const struct cli_diverge *d, struct clfcn_err *err)
{
    const struct clfcn_diverge *r = &d->result;
    json_t *rows = json_array();
    for (int i = 0; i < r->row_count; ++i) {
        clfcn_json_append(&rows, row_to_json(&r->rows[i]));
    }
    return cli_print_json(
        json_pack(
            "{sb so ss ss so so ss si si sI sf so so}", "diverged", r->found, "first",
            r->found ? first_to_json(r) : json_null(), "clfcn", clfcn_version(),
            "command", d->command, "devices", devices_to_json(d), "net", net_to_json(d),
            "mode", d->how.free_running ? "free" : "isolated", "steps", d->how.steps,
            "steps_done", r->steps_done, "seed", (json_int_t)d->how.seed, "tolerance",
            d->how.tolerance, "trajectory", steps_to_json(d), "rows", rows),
        err);
}
