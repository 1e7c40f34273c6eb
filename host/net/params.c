#include "net_impl.h"

#include <stdio.h>
#include <string.h>

enum { MIN_ALIGN = 128 };

size_t clfcn_net_align(const struct clfcn_dev *dev)
{
    const size_t align = dev->info.base_align;
    return align > MIN_ALIGN ? align : MIN_ALIGN;
}

/* The three parts of the parameter buffer, in order. */
enum part { TRAINED, FROZEN, STATISTICS, PARTS };

static enum part part_of(const struct clfcn_net *net, int op, const struct clfcn_param *p)
{
    return !p->learned ? STATISTICS : net->graph.frozen[op] ? FROZEN : TRAINED;
}

static struct clfcn_tensor_entry *add_entry(struct clfcn_net *net,
                                            enum clfcn_tensor_place place,
                                            const struct clfcn_param *param,
                                            size_t offset)
{
    struct clfcn_tensor_entry *e = &net->tensors[net->tensor_count++];
    *e = (struct clfcn_tensor_entry){ .place = place, .param = param, .offset = offset };
    return e;
}

/* The state_dict order of PyTorch: each module's parameters, then its buffers. */
static void name_parameters(struct clfcn_net *net, size_t offsets[][CLFCN_OP_MAX_PARAMS])
{
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        bool has_statistics = false;
        for (int j = 0; j < op->param_count; ++j) {
            const struct clfcn_param *p = &op->params[j];
            struct clfcn_tensor_entry *e =
                add_entry(net, CLFCN_IN_VALUES, p, offsets[i][j]);
            snprintf(e->name, sizeof(e->name), "%s.%s", op->prefix, p->suffix);
            has_statistics = has_statistics || !p->learned;
        }
        if (has_statistics) {
            struct clfcn_tensor_entry *e = add_entry(net, CLFCN_ON_HOST, NULL, 0);
            snprintf(e->name, sizeof(e->name), "%s.num_batches_tracked", op->prefix);
        }
    }
    net->parameter_tensor_count = net->tensor_count;
}

static void name_states(struct clfcn_net *net)
{
    for (int s = 0; s < net->params.state_count; ++s) {
        const char *state = clfcn_optim_state_name(net->options.optimizer, s);
        for (int t = 0; t < net->parameter_tensor_count; ++t) {
            const struct clfcn_tensor_entry from = net->tensors[t];
            if (from.place != CLFCN_IN_VALUES ||
                from.offset >= net->params.trained_bytes) {
                continue;
            }
            struct clfcn_tensor_entry *e =
                add_entry(net, CLFCN_IN_STATE, from.param, from.offset);
            snprintf(e->name, sizeof(e->name), "optim.%s.%.60s", state, from.name);
            e->state = s;
        }
    }
}

int clfcn_params_plan(struct clfcn_net *net, struct clfcn_err *err)
{
    const size_t align = clfcn_net_align(net->dev);
    size_t offsets[CLFCN_MAX_OPS][CLFCN_OP_MAX_PARAMS] = { { 0 } };
    size_t end = 0;
    for (enum part part = TRAINED; part < PARTS; ++part) {
        for (int i = 0; i < net->graph.op_count; ++i) {
            const struct clfcn_op *op = net->graph.ops[i];
            for (int j = 0; j < op->param_count; ++j) {
                if (part_of(net, i, &op->params[j]) == part) {
                    offsets[i][j] = end;
                    end +=
                        (op->params[j].count * sizeof(float) + align - 1) / align * align;
                }
            }
        }
        if (part == TRAINED) {
            net->params.trained_bytes = net->options.training ? end : 0;
        }
    }
    net->params.values_bytes = end;
    net->params.grads_bytes = net->params.trained_bytes;
    net->params.state_count =
        net->options.training ? clfcn_optim_states(net->options.optimizer) : 0;
    name_parameters(net, offsets);
    name_states(net);
    if (end / sizeof(float) > UINT32_MAX) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "too many parameters");
    }
    return CLFCN_OK;
}

bool clfcn_params_of_op(const struct clfcn_net *net, int i, size_t *begin, size_t *bytes)
{
    const struct clfcn_op *op = net->graph.ops[i];
    size_t end = 0;
    *begin = SIZE_MAX;
    for (int t = 0; t < net->parameter_tensor_count; ++t) {
        const struct clfcn_tensor_entry *e = &net->tensors[t];
        const bool of_op =
            e->param >= op->params && e->param < op->params + op->param_count;
        if (of_op && e->place == CLFCN_IN_VALUES &&
            e->offset < net->params.trained_bytes) {
            const size_t align = clfcn_net_align(net->dev);
            const size_t size = e->param->count * sizeof(float);
            *begin = e->offset < *begin ? e->offset : *begin;
            end = e->offset + (size + align - 1) / align * align;
        }
    }
    *bytes = end > 0 ? end - *begin : 0;
    return end > 0;
}

/* Views of op i's parameters: the entries are in the order of ops and their parameters.
 */
static int make_views(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_dev *dev = net->dev;
    int rc = CLFCN_OK, t = 0;
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        size_t grads_begin = 0, bytes_of_op;
        if (net->thrift.update_each) {
            clfcn_params_of_op(net, i, &grads_begin, &bytes_of_op);
        }
        for (int j = 0; rc == CLFCN_OK && j < op->param_count; ++j) {
            struct clfcn_param *p = &op->params[j];
            while (net->tensors[t].param != p) {
                ++t;
            }
            const size_t offset = net->tensors[t].offset,
                         bytes = p->count * sizeof(float);
            rc =
                clfcn_buffer_view(dev, net->params.values, offset, bytes, &p->value, err);
            if (rc == CLFCN_OK && offset < net->params.trained_bytes) {
                rc = clfcn_buffer_view(dev, net->params.grads, offset - grads_begin,
                                       bytes, &p->grad, err);
            }
        }
    }
    return rc;
}

/* Clear what lies between the parameters in mem, a buffer laid out as they are, of bytes
 * bytes: an update runs over it, and wide kernels may look at it. */
static int zero_gaps(struct clfcn_net *net, cl_mem mem, size_t bytes,
                     struct clfcn_err *err)
{
    int rc = CLFCN_OK;
    for (int t = 0; rc == CLFCN_OK && t < net->parameter_tensor_count; ++t) {
        const struct clfcn_tensor_entry *e = &net->tensors[t];
        if (e->place == CLFCN_IN_VALUES && e->offset < bytes) {
            const size_t align = clfcn_net_align(net->dev);
            const size_t end = e->offset + e->param->count * sizeof(float);
            rc =
                clfcn_buffer_zero(net->dev, mem, end, (align - end % align) % align, err);
        }
    }
    return rc;
}

/* Memory costs most when it is touched first. So weights and gradients, which are written
 * before they are read, are left to those who write them, several threads at a time. */
int clfcn_params_allocate(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    struct clfcn_dev *dev = net->dev;
    int rc = clfcn_buffer_create(dev, ps->values_bytes, "weights", &ps->values, err);
    if (rc == CLFCN_OK) {
        rc = zero_gaps(net, ps->values, ps->values_bytes, err);
    }
    if (rc == CLFCN_OK && ps->grads_bytes > 0) {
        rc = clfcn_buffer_create(dev, ps->grads_bytes, "gradients", &ps->grads, err);
    }
    if (rc == CLFCN_OK && ps->grads_bytes > 0) {
        rc = net->thrift.update_each
                 ? clfcn_buffer_zero(dev, ps->grads, 0, ps->grads_bytes, err)
                 : zero_gaps(net, ps->grads, ps->grads_bytes, err);
    }
    for (int s = 0; rc == CLFCN_OK && s < ps->state_count; ++s) {
        rc = clfcn_buffer_create(dev, ps->states_bytes, "optimizer state", &ps->states[s],
                                 err);
        if (rc == CLFCN_OK && net->thrift.host_states) {
            ps->host_states[s] = malloc(ps->trained_bytes + 1);
            rc = ps->host_states[s] ? CLFCN_OK : clfcn_err_nomem(err);
        }
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_params_zero_states(net, err);
    }
    return rc < 0 ? rc : make_views(net, err);
}

int clfcn_params_zero_states(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    int rc = CLFCN_OK;
    for (int s = 0; rc == CLFCN_OK && s < ps->state_count; ++s) {
        if (ps->host_states[s]) {
            clFinish(net->dev->compute);
            memset(ps->host_states[s], 0, ps->trained_bytes);
        } else {
            rc = clfcn_buffer_zero(net->dev, ps->states[s], 0, ps->states_bytes, err);
        }
    }
    return rc;
}

void clfcn_params_release(struct clfcn_net *net)
{
    free(net->params.host_states[0]);
    free(net->params.host_states[1]);
    for (int i = 0; i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        for (int j = 0; j < op->param_count; ++j) {
            clfcn_buffer_release(net->dev, &op->params[j].value);
            clfcn_buffer_release(net->dev, &op->params[j].grad);
        }
    }
    clfcn_buffer_release(net->dev, &net->params.states[1]);
    clfcn_buffer_release(net->dev, &net->params.states[0]);
    clfcn_buffer_release(net->dev, &net->params.grads);
    clfcn_buffer_release(net->dev, &net->params.values);
}

int clfcn_net_tensor_count(const struct clfcn_net *net, bool optimizer_state)
{
    return optimizer_state ? net->tensor_count : net->parameter_tensor_count;
}

void clfcn_net_tensor_info(const struct clfcn_net *net, int i,
                           struct clfcn_net_tensor *info)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    *info = (struct clfcn_net_tensor){ .name = e->name, .dtype = CLFCN_I64, .bytes = 8 };
    if (e->place != CLFCN_ON_HOST) {
        info->dtype = CLFCN_F32;
        info->ndim = e->param->ndim;
        memcpy(info->dims, e->param->dims, sizeof(info->dims));
        info->bytes = e->param->count * sizeof(float);
    }
}

static cl_mem buffer_of(const struct clfcn_net *net, const struct clfcn_tensor_entry *e)
{
    return e->place == CLFCN_IN_STATE ? net->params.states[e->state] : net->params.values;
}

/* The host memory that holds an entry's values, which nothing uses any more; NULL if a
 * buffer does. */
static unsigned char *host_of(const struct clfcn_net *net,
                              const struct clfcn_tensor_entry *e)
{
    if (e->place != CLFCN_IN_STATE || !net->params.host_states[e->state]) {
        return NULL;
    }
    clFinish(net->dev->compute);
    return net->params.host_states[e->state];
}

int clfcn_net_tensor_read(struct clfcn_net *net, int i, void *data, struct clfcn_err *err)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    if (e->place == CLFCN_ON_HOST) {
        memcpy(data, &net->batches_tracked, sizeof(net->batches_tracked));
        return CLFCN_OK;
    }
    unsigned char *host = host_of(net, e);
    if (host) {
        memcpy(data, host + e->offset, e->param->count * sizeof(float));
        return CLFCN_OK;
    }
    const int rc = clfcn_buffer_read(net->dev, buffer_of(net, e), e->offset,
                                     e->param->count * sizeof(float), data, err);
    if (rc < 0) {
        clfcn_err_note(err, "reading '%s'", e->name);
    }
    return rc;
}

int clfcn_net_tensor_write(struct clfcn_net *net, int i, const void *data,
                           struct clfcn_err *err)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    if (e->place == CLFCN_ON_HOST) {
        memcpy(&net->batches_tracked, data, sizeof(net->batches_tracked));
        return CLFCN_OK;
    }
    unsigned char *host = host_of(net, e);
    if (host) {
        memcpy(host + e->offset, data, e->param->count * sizeof(float));
        return CLFCN_OK;
    }
    net->derived = false;
    const int rc = clfcn_buffer_write(net->dev, buffer_of(net, e), e->offset,
                                      e->param->count * sizeof(float), data, err);
    if (rc < 0) {
        clfcn_err_note(err, "writing '%s'", e->name);
    }
    return rc;
}

int clfcn_net_gradient_read(struct clfcn_net *net, int i, float *data,
                            struct clfcn_err *err)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    if (e->place != CLFCN_IN_VALUES || e->offset >= net->params.trained_bytes ||
        net->thrift.update_each) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "'%s' has no gradient%s", e->name,
                             net->thrift.update_each ? " after the step: --mem" : "");
    }
    return clfcn_buffer_read(net->dev, net->params.grads, e->offset,
                             e->param->count * sizeof(float), data, err);
}
