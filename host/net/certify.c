#include "certify.h"

#include "../ops/channel.h"
#include "../ops/verify.h"
#include "../util/log.h"
#include "../util/sys.h"
#include <stdio.h>
#include <string.h>

/* The smallest layer that uses an algorithm, or a kind of layer, in a pass. */
struct use {
    struct clfcn_op *op;
    enum clfcn_pass pass; /* of other kinds than convolutions, INPUT is all of backward */
    const char *subject, *pass_name;
    double flop;
};

enum { RUNS = 3, MAX_USES = CLFCN_MAX_OPS * CLFCN_PASS_COUNT };

/* What a layer uses in a pass; false if nothing. */
static bool use_of(const struct clfcn_net *net, int layer, enum clfcn_pass pass,
                   struct use *use)
{
    struct clfcn_op *op = net->graph.ops[layer];
    *use = (struct use){ .op = op, .pass = pass, .pass_name = clfcn_pass_name(pass) };
    if (op->impl->conv) {
        const struct clfcn_conv *cv = op->impl->conv(op, pass);
        use->subject = cv ? cv->name : NULL;
        use->flop = cv ? clfcn_conv_flop(&cv->shape) : 0;
        return cv && clfcn_net_has_pass(net, layer, pass);
    }
    const bool backward = pass == CLFCN_PASS_INPUT;
    use->subject = op->impl->kind;
    use->pass_name = backward ? "backward" : "forward";
    use->flop = (double)clfcn_tensor_count(op->x);
    return net->options.training && clfcn_channel_knows(op) && pass != CLFCN_PASS_WEIGHT &&
           (op->dx || !backward);
}

static int refuse(const char *layer, const struct clfcn_finding *fault,
                  struct clfcn_err *err)
{
    return clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                         "%s%s%s is computed wrongly on this device (%s: %s), and there "
                         "is no other kernel for it: update the device's driver or "
                         "choose another with --device",
                         layer ? layer : "", layer ? ": " : "", fault->subject,
                         fault->pass, fault->why);
}

int clfcn_net_check_faults(const struct clfcn_net *net, struct clfcn_err *err)
{
    static const char *const passes[] = { "forward", "backward", "update" };
    const bool training = net->options.training;
    const char *const subjects[] = {
        training ? clfcn_loss_name(net->options.loss) : "",
        training ? clfcn_optimizer_name(net->options.optimizer) : "",
        "bias and ReLU",
        net->graph.part_ops > 0 ? "accumulate" : "",
        net->options.clip_norm > 0.0 ? "clip" : "",
    };
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        for (int p = 0; p < (training ? 2 : 1) && !op->impl->conv; ++p) {
            const struct clfcn_finding *fault =
                clfcn_certificate_fault(&net->certificate, op->impl->kind, passes[p]);
            if (fault) {
                return refuse(op->name, fault, err);
            }
        }
    }
    for (int i = 0; i < CLFCN_ARRAY_LEN(subjects) * CLFCN_ARRAY_LEN(passes); ++i) {
        const struct clfcn_finding *fault = clfcn_certificate_fault(
            &net->certificate, subjects[i / CLFCN_ARRAY_LEN(passes)],
            passes[i % CLFCN_ARRAY_LEN(passes)]);
        if (fault) {
            return refuse(NULL, fault, err);
        }
    }
    return CLFCN_OK;
}

/* Each subject and pass that the certificate does not know, once. */
static int list_unknown(const struct clfcn_net *net, struct use uses[MAX_USES])
{
    int count = 0;
    for (int i = 0; i < net->graph.op_count * CLFCN_PASS_COUNT; ++i) {
        struct use use;
        int at = 0;
        if (!use_of(net, i / CLFCN_PASS_COUNT, (enum clfcn_pass)(i % CLFCN_PASS_COUNT),
                    &use) ||
            clfcn_certificate_find(&net->certificate, use.subject, use.pass_name)) {
            continue;
        }
        while (at < count && (strcmp(uses[at].subject, use.subject) != 0 ||
                              strcmp(uses[at].pass_name, use.pass_name) != 0)) {
            ++at;
        }
        if (at == count || use.flop < uses[at].flop) {
            uses[at] = use;
        }
        count += at == count;
    }
    return count;
}

static int verify(struct use *use, const struct clfcn_op_run *run,
                  struct clfcn_finding *found, struct clfcn_err *err)
{
    static const struct clfcn_verify_how how = { .data = CLFCN_TRIAL_NORMAL,
                                                 .runs = RUNS };
    struct clfcn_op *op = use->op;
    const int rc =
        op->impl->conv
            ? clfcn_verify_conv(op->impl->conv(op, use->pass), run, &how, found, err)
            : clfcn_verify_op(op, run, use->pass == CLFCN_PASS_INPUT, &how, found, err);
    snprintf(found->subject, sizeof(found->subject), "%s", use->subject);
    snprintf(found->pass, sizeof(found->pass), "%s", use->pass_name);
    snprintf(found->at, sizeof(found->at), "%s, %d of %dx%d", op->name, op->x->n,
             op->x->w, op->x->h);
    return rc;
}

/* Verify one, with memory of its own. */
static int certify(struct clfcn_net *net, struct use *use, bool *again,
                   struct clfcn_err *err)
{
    struct clfcn_op_run run = { .dev = net->dev, .training = net->options.training };
    const struct clfcn_op *op = use->op;
    struct clfcn_finding found;
    int rc = op->columns_bytes ? clfcn_buffer_create(net->dev, op->columns_bytes,
                                                     "columns", &run.columns, err)
                               : CLFCN_OK;
    if (rc == CLFCN_OK && op->scratch_bytes) {
        rc = clfcn_buffer_create(net->dev, op->scratch_bytes, "scratch", &run.scratch,
                                 err);
    }
    if (rc == CLFCN_OK) {
        rc = verify(use, &run, &found, err);
    }
    clfcn_buffer_release(net->dev, &run.columns);
    clfcn_buffer_release(net->dev, &run.scratch);
    if (rc == CLFCN_EDEVMEM || rc == CLFCN_ENOMEM) {
        clfcn_debug("%s is not verified: %s", use->subject, err->msg);
        return CLFCN_OK;
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_certificate_add(&net->certificate, &found, err);
    }
    if (rc < 0) {
        clfcn_err_note(err, "layer '%s': verifying %s, %s", op->name, use->subject,
                       use->pass_name);
    } else if (!found.correct) {
        *again = *again || op->impl->conv;
        rc = op->impl->conv ? CLFCN_OK : refuse(op->name, &found, err);
    }
    return rc;
}

int clfcn_net_certify(struct clfcn_net *net, bool *again, struct clfcn_err *err)
{
    struct use uses[MAX_USES];
    struct clfcn_err save_err;
    const int count = list_unknown(net, uses);
    int rc = CLFCN_OK;
    *again = false;
    if (count == 0) {
        return CLFCN_OK;
    }
    clfcn_info("verifying %d kernels on this device, once; 'clfcn selftest' does it "
               "thoroughly",
               count);
    const double start = clfcn_clock();
    for (int i = 0; rc == CLFCN_OK && i < count; ++i) {
        rc = certify(net, &uses[i], again, err);
    }
    clfcn_debug("verifying took %.2f s", clfcn_clock() - start);
    if (clfcn_certificate_save(&net->certificate, net->dev, &save_err) < 0) {
        clfcn_debug("the certificate is not stored: %s", save_err.msg);
        if (rc == CLFCN_OK && *again) {
            rc = clfcn_err_set(err, CLFCN_ENUMERIC, 0,
                               "an algorithm gives wrong results on this device, which "
                               "cannot be noted: %s",
                               save_err.msg);
        }
    }
    return rc;
}

void clfcn_net_tell_replaced(const struct clfcn_net *net)
{
    const struct clfcn_conv *told[MAX_USES];
    int count = 0;
    for (int i = 0; i < net->graph.op_count * CLFCN_PASS_COUNT; ++i) {
        const struct clfcn_op *op = net->graph.ops[i / CLFCN_PASS_COUNT];
        const enum clfcn_pass pass = (enum clfcn_pass)(i % CLFCN_PASS_COUNT);
        const struct clfcn_conv *cv = op->impl->conv ? op->impl->conv(op, pass) : NULL;
        bool known = !cv || !cv->instead_of[0] ||
                     !clfcn_net_has_pass(net, i / CLFCN_PASS_COUNT, pass);
        for (int k = 0; k < count && !known; ++k) {
            known = told[k]->pass == pass && strcmp(told[k]->name, cv->name) == 0 &&
                    strcmp(told[k]->instead_of, cv->instead_of) == 0;
        }
        if (known) {
            continue;
        }
        told[count++] = cv;
        const struct clfcn_finding *fault = clfcn_certificate_fault(
            &net->certificate, cv->instead_of, clfcn_pass_name(pass));
        clfcn_warn("%s gives wrong results on this device (%s: %s): %s takes its place; "
                   "show its vendor what 'clfcn selftest --json' says",
                   cv->instead_of, clfcn_pass_name(pass), fault ? fault->why : "",
                   cv->name);
    }
}
