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
    return !p->learned ? STATISTICS : net->graph.ops[op]->frozen ? FROZEN : TRAINED;
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
static void name_parameters(struct clfcn_net *net)
{
    for (int i = 0; i < net->graph.op_count; ++i) {
        const struct clfcn_op *op = net->graph.ops[i];
        bool has_statistics = false;
        for (int j = 0; j < op->param_count; ++j) {
            const struct clfcn_param *p = &op->params[j];
            struct clfcn_tensor_entry *e =
                add_entry(net, CLFCN_IN_VALUES, p, net->params.offsets[i][j]);
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
            if (from.place != CLFCN_IN_VALUES || from.offset >= net->params.trained_end) {
                continue;
            }
            struct clfcn_tensor_entry *e =
                add_entry(net, CLFCN_IN_STATE, from.param, from.offset);
            snprintf(e->name, sizeof(e->name), "optim.%s.%.60s", state, from.name);
            e->state = s;
        }
    }
}

size_t clfcn_params_room(const struct clfcn_net *net, const struct clfcn_param *p)
{
    const size_t align = clfcn_net_align(net->dev);
    return (p->count * sizeof(float) + align - 1) / align * align;
}

int clfcn_params_plan(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    for (enum part part = TRAINED; part < PARTS; ++part) {
        for (int i = 0; i < net->graph.op_count; ++i) {
            const struct clfcn_op *op = net->graph.ops[i];
            for (int j = 0; j < op->param_count; ++j) {
                if (part_of(net, i, &op->params[j]) == part) {
                    ps->offsets[i][j] = ps->end;
                    ps->end += clfcn_params_room(net, &op->params[j]);
                }
            }
        }
        if (part == TRAINED) {
            ps->trained_end = net->options.training ? ps->end : 0;
        } else if (part == FROZEN) {
            ps->learned_end = ps->end;
        }
    }
    ps->state_count =
        net->options.training ? clfcn_optim_states(net->options.optimizer) : 0;
    name_parameters(net);
    name_states(net);
    if (ps->end / sizeof(float) > UINT32_MAX) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0, "too many parameters");
    }
    return CLFCN_OK;
}

/* The views of a parameter on what has a buffer of its own. */
static int make_views(struct clfcn_net *net, int i, int j, struct clfcn_err *err)
{
    const struct clfcn_params *ps = &net->params;
    struct clfcn_param *p = &net->graph.ops[i]->params[j];
    const size_t at = ps->offsets[i][j], bytes = clfcn_params_room(net, p);
    const bool trained = at < ps->trained_end;
    int rc = CLFCN_OK;
    if (!ps->host_values) {
        rc = clfcn_buffer_view(net->dev, ps->values, at, bytes, &p->value, err);
    } else if (at >= ps->learned_end) {
        rc = clfcn_buffer_view(net->dev, ps->values, at - ps->learned_end, bytes,
                               &p->value, err);
    }
    if (rc == CLFCN_OK && trained && ps->grads) {
        rc = clfcn_buffer_view(net->dev, ps->grads, at, bytes, &p->grad, err);
    }
    for (int s = 0; rc == CLFCN_OK && trained && s < ps->state_count; ++s) {
        rc = ps->states[s] ? clfcn_buffer_view(net->dev, ps->states[s], at, bytes,
                                               &p->states[s], err)
                           : CLFCN_OK;
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
        if (rc < 0) {
            clfcn_err_note(err, "behind '%s'", e->name);
        }
    }
    return rc;
}

/* Room for what thrift keeps in host memory, zeroed: so are the gaps. */
static int allocate_host(unsigned char **out, size_t bytes, struct clfcn_err *err)
{
    *out = calloc(bytes + 1, 1);
    return *out ? CLFCN_OK : clfcn_err_nomem(err);
}

static int allocate_values(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    int rc = clfcn_buffer_create(net->dev, ps->values_bytes, "weights", &ps->values, err);
    if (rc == CLFCN_OK && net->thrift.level < CLFCN_HOST_WEIGHTS) {
        return zero_gaps(net, ps->values, ps->values_bytes, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_buffer_zero(net->dev, ps->values, 0, ps->values_bytes, err);
    }
    return rc < 0 ? rc : allocate_host(&ps->host_values, ps->learned_end, err);
}

/* Memory costs most when it is touched first. So weights and gradients, which are written
 * before they are read, are left to those who write them, several threads at a time. */
int clfcn_params_allocate(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    struct clfcn_dev *dev = net->dev;
    int rc = allocate_values(net, err);
    if (rc == CLFCN_OK && ps->grads_bytes > 0) {
        rc = clfcn_buffer_create(dev, ps->grads_bytes, "gradients", &ps->grads, err);
        if (rc == CLFCN_OK) {
            rc = zero_gaps(net, ps->grads, ps->grads_bytes, err);
        }
    }
    for (int s = 0; rc == CLFCN_OK && s < ps->state_count; ++s) {
        rc = ps->states_bytes > 0
                 ? clfcn_buffer_create(dev, ps->states_bytes, "optimizer state",
                                       &ps->states[s], err)
                 : allocate_host(&ps->host_states[s], ps->trained_end, err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_params_zero_states(net, err);
    }
    for (int i = 0; rc == CLFCN_OK && i < net->graph.op_count; ++i) {
        for (int j = 0; rc == CLFCN_OK && j < net->graph.ops[i]->param_count; ++j) {
            rc = make_views(net, i, j, err);
        }
        if (rc < 0) {
            clfcn_err_note(err, "layer '%s': weights", net->graph.ops[i]->name);
        }
    }
    return rc;
}

int clfcn_params_map(struct clfcn_net *net, unsigned char **learned,
                     unsigned char **statistics, void **mapped, struct clfcn_err *err)
{
    const struct clfcn_params *ps = &net->params;
    const int rc =
        clfcn_buffer_map(net->dev, ps->values, 0, ps->values_bytes, mapped, err);
    if (rc < 0) {
        clfcn_err_note(err, "buffer 'weights'");
    } else {
        *learned = ps->host_values ? ps->host_values : *mapped;
        *statistics = (unsigned char *)*mapped + (ps->host_values ? 0 : ps->learned_end);
    }
    return rc;
}

int clfcn_params_zero_states(struct clfcn_net *net, struct clfcn_err *err)
{
    struct clfcn_params *ps = &net->params;
    int rc = CLFCN_OK;
    for (int s = 0; rc == CLFCN_OK && s < ps->state_count; ++s) {
        if (ps->host_states[s]) {
            clFinish(net->dev->compute);
            memset(ps->host_states[s], 0, ps->trained_end);
        } else {
            rc = clfcn_buffer_zero(net->dev, ps->states[s], 0, ps->states_bytes, err);
        }
    }
    if (rc < 0) {
        clfcn_err_note(err, "buffer 'optimizer state'");
    }
    return rc;
}

void clfcn_params_release(struct clfcn_net *net)
{
    free(net->params.host_values);
    free(net->params.host_states[0]);
    free(net->params.host_states[1]);
    for (int i = 0; i < net->graph.op_count; ++i) {
        struct clfcn_op *op = net->graph.ops[i];
        for (int j = 0; j < op->param_count; ++j) {
            clfcn_buffer_release(net->dev, &op->params[j].value);
            clfcn_buffer_release(net->dev, &op->params[j].grad);
            clfcn_buffer_release(net->dev, &op->params[j].states[0]);
            clfcn_buffer_release(net->dev, &op->params[j].states[1]);
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

/* The buffer that holds an entry's values, and from which byte on. */
static cl_mem buffer_of(const struct clfcn_net *net, const struct clfcn_tensor_entry *e,
                        size_t *at)
{
    const struct clfcn_params *ps = &net->params;
    const bool state = e->place == CLFCN_IN_STATE;
    *at = e->offset - (!state && ps->host_values ? ps->learned_end : 0);
    return state ? ps->states[e->state] : ps->values;
}

/* The host memory that holds them, which nothing uses any more; NULL if a buffer does. */
static unsigned char *host_of(const struct clfcn_net *net,
                              const struct clfcn_tensor_entry *e)
{
    const struct clfcn_params *ps = &net->params;
    unsigned char *host = e->place == CLFCN_IN_STATE    ? ps->host_states[e->state]
                          : e->offset < ps->learned_end ? ps->host_values
                                                        : NULL;
    if (!host) {
        return NULL;
    }
    clFinish(net->dev->compute);
    return host + e->offset;
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
        memcpy(data, host, e->param->count * sizeof(float));
        return CLFCN_OK;
    }
    size_t at;
    const cl_mem mem = buffer_of(net, e, &at);
    const int rc =
        clfcn_buffer_read(net->dev, mem, at, e->param->count * sizeof(float), data, err);
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
        memcpy(host, data, e->param->count * sizeof(float));
        return CLFCN_OK;
    }
    net->derived = false;
    size_t at;
    const cl_mem mem = buffer_of(net, e, &at);
    const int rc =
        clfcn_buffer_write(net->dev, mem, at, e->param->count * sizeof(float), data, err);
    if (rc < 0) {
        clfcn_err_note(err, "writing '%s'", e->name);
    }
    return rc;
}

int clfcn_net_gradient_read(struct clfcn_net *net, int i, float *data,
                            struct clfcn_err *err)
{
    const struct clfcn_tensor_entry *e = &net->tensors[i];
    if (e->place != CLFCN_IN_VALUES || e->offset >= net->params.trained_end ||
        !net->params.grads) {
        return clfcn_err_set(
            err, CLFCN_EINVAL, 0, "'%s' has no gradient%s", e->name,
            net->thrift.level >= CLFCN_UPDATE_EACH ? " after the step: --mem" : "");
    }
    return clfcn_buffer_read(net->dev, net->params.grads, e->offset,
                             e->param->count * sizeof(float), data, err);
}
