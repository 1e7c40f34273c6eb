/* run_verify.c - steps of which a part is recomputed in float64, as --verify-every asks.
 */
#include "../comm/comm.h"
#include "../device/dev.h"
#include "../net/audit.h"
#include "run.h"

#include <inttypes.h>
#include <math.h>

/* What a report to a vendor has to say of a wrong tensor. */
static void add_report(const struct clfcn_run *run, const struct clfcn_audit *a,
                       json_t *event)
{
    const struct clfcn_device_info *info = clfcn_dev_get_info(run->dev);
    char title[256];
    clfcn_dev_title(run->dev, title, sizeof(title));
    json_t *more = json_pack(
        "{so so so so so* s:o s:o ss ss ss ss ss}", "shape",
        clfcn_json_integers(a->dims, a->ndim), "index",
        clfcn_json_integers(a->index, a->ndim), "device_value",
        clfcn_json_number(a->device), "reference", clfcn_json_number(a->reference),
        "repeated_value",
        a->again == CLFCN_AUDIT_NOT_REPEATED ? NULL : clfcn_json_number(a->device_again),
        "repeated",
        a->again == CLFCN_AUDIT_NOT_REPEATED
            ? json_null()
            : json_string(a->again == CLFCN_AUDIT_RIGHT ? "right" : "wrong"),
        "algorithm", a->algorithm[0] ? json_string(a->algorithm) : json_null(), "kernels",
        a->kernels, "device", title, "driver", info->driver, "platform", info->platform,
        "version", clfcn_version());
    json_object_update(event, more);
    json_decref(more);
}

/* An event for each, of which there are few beside those of all steps. */
static int log_audit(struct clfcn_run *run, int64_t step, const struct clfcn_audit *a,
                     struct clfcn_err *err)
{
    json_t *event = json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:b, s:o, s:f, s:I, s:f}", "step", (json_int_t)step,
        "layer", a->layer, "kind", a->kind, "pass", a->pass, "tensor", a->tensor,
        "correct", (int)!a->wrong, "apart", clfcn_json_number(a->apart), "tolerance",
        a->tolerance, "compared", (json_int_t)a->compared, "ms", a->ms);
    if (event != NULL && a->wrong) {
        add_report(run, a, event);
    }
    return clfcn_runlog_event(run->log, "verify", event, err);
}

int clfcn_run_step(struct clfcn_run *run, int slot, const struct clfcn_net_hyper *hyper,
                   struct clfcn_err *err)
{
    const int every = run->config.verify_every;
    struct clfcn_audit audit;
    if (every == 0 || hyper->update % every != 0) {
        return clfcn_net_step(run->net, slot, hyper, err);
    }
    struct clfcn_err ignored;
    int rc = clfcn_net_step_audited(run->net, slot, hyper, run->config.seed, &audit, err);
    const int logged =
        rc == CLFCN_OK || audit.wrong
            ? log_audit(run, hyper->update, &audit, rc == CLFCN_OK ? err : &ignored)
            : CLFCN_OK;
    if (rc == CLFCN_OK && audit.not_finite) {
        run->spoiled = hyper->update;
    }
    if (audit.wrong) {
        clfcn_err_note(err, "step %" PRId64, hyper->update);
    }
    if (audit.wrong && run->config.comm == NULL) { /* else the end says it anyway */
        clfcn_err_add(err, "; the last checkpoint is %s/checkpoints/last.safetensors",
                      run->config.out);
    }
    return rc < 0 ? rc : logged;
}
