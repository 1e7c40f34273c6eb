#include "exchange.h"

#include "../comm/allreduce.h"
#include "../device/pinned.h"
#include "../device/prof.h"
#include "../util/sys.h"
#include "net_impl.h"
#include <stdlib.h>

enum state {
    IDLE,
    READING, /* to the host, once the device has come so far */
    SUMMING,
    SUMMED /* and on the way back to the device */
};

/* The gradients of ops low .. high; those that learn nothing have none. */
struct bucket {
    int low, high;
    size_t count;  /* floats */
    float *values; /* [count], the ops' from high to low, each one's in their order */
    struct clfcn_allreduce *sum;
    enum state state;
    cl_event read; /* NULL unless READING */
};

struct clfcn_exchange {
    struct clfcn_net *net; /* borrowed */
    struct bucket buckets[CLFCN_MAX_OPS];
    int count;
    bool each; /* a bucket an op */
    bool in_step; /* another rank waits for each one's sum; this one would not need to */
    struct clfcn_pinned host; /* of all values */
    struct clfcn_exchange_time time;
};

static int check(cl_int status, const char *what, struct clfcn_err *err)
{
    return status == CL_SUCCESS ? CLFCN_OK : clfcn_cl_err(err, status, "%s", what);
}

/* Floats of the gradients of op i. */
static size_t op_count(const struct clfcn_net *net, int i)
{
    size_t count = 0;
    for (int j = 0;
         clfcn_graph_learns(&net->graph, i) && j < net->graph.ops[i]->param_count; ++j) {
        const struct clfcn_param *p = &net->graph.ops[i]->params[j];
        count += p->learned ? p->count : 0;
    }
    return count;
}

/* Cut the backward pass into buckets. */
static size_t fill_buckets(struct clfcn_exchange *x)
{
    const size_t full = x->each ? 1 : CLFCN_EXCHANGE_BUCKET_BYTES / sizeof(float);
    size_t total = 0;
    struct bucket *b = NULL;
    for (int i = x->net->graph.op_count - 1; i >= 0; --i) {
        const size_t count = op_count(x->net, i);
        if (count == 0) {
            continue;
        }
        if (!b || b->count >= full) {
            b = &x->buckets[x->count++];
            b->high = i;
        }
        b->low = i;
        b->count += count;
        total += count;
    }
    return total;
}

int clfcn_exchange_create(struct clfcn_net *net, struct clfcn_exchange **out,
                          struct clfcn_err *err)
{
    const bool each = net->thrift.level >= CLFCN_UPDATE_EACH;
    double eaches = each;
    *out = NULL;
    int rc = clfcn_comm_sum(net->options.comm, &eaches, 1, err);
    if (rc < 0) {
        return rc;
    }
    struct clfcn_exchange *x = calloc(1, sizeof(*x));
    *out = x;
    if (!x) {
        return clfcn_err_nomem(err);
    }
    x->net = net;
    x->each = eaches > 0.0;
    x->in_step = x->each && !each;
    const size_t total = fill_buckets(x);
    rc = total > 0 ? clfcn_pinned_create(net->dev, total * sizeof(float), &x->host, err)
                   : CLFCN_OK;
    float *values = x->host.data;
    for (int i = 0; rc == CLFCN_OK && i < x->count; ++i) {
        struct bucket *b = &x->buckets[i];
        b->values = values;
        values += b->count;
        rc = clfcn_allreduce_create(net->options.comm, b->count, net->options.wire,
                                    &b->sum, err);
    }
    if (rc < 0) {
        clfcn_exchange_destroy(out);
    }
    return rc;
}

void clfcn_exchange_destroy(struct clfcn_exchange **out)
{
    struct clfcn_exchange *x = *out;
    *out = NULL;
    if (!x) {
        return;
    }
    for (int i = 0; i < x->count; ++i) {
        clfcn_allreduce_destroy(&x->buckets[i].sum);
        clfcn_event_release(x->net->dev, &x->buckets[i].read);
    }
    clfcn_pinned_release(x->net->dev, &x->host);
    free(x);
}

/* Enqueue the copies of a bucket on the transfer queue, to the host or back, the first of
 * them after `after`; *last receives the last one's event where it is wanted. */
static int copy(struct clfcn_exchange *x, struct bucket *b, bool to_host, cl_event after,
                cl_event *last, struct clfcn_err *err)
{
    struct clfcn_dev *dev = x->net->dev;
    const char *what = to_host ? "read gradients" : "write gradients";
    float *values = b->values;
    int rc = CLFCN_OK;
    for (int i = b->high; rc == CLFCN_OK && i >= b->low; --i) {
        struct clfcn_op *op = x->net->graph.ops[i];
        for (int j = 0; rc == CLFCN_OK && op_count(x->net, i) > 0 && j < op->param_count;
             ++j) {
            const struct clfcn_param *p = &op->params[j];
            const size_t bytes = p->count * sizeof(float);
            if (!p->learned) {
                continue;
            }
            const cl_uint waits = values == b->values && after ? 1 : 0;
            const bool wanted = last && values + p->count == b->values + b->count;
            cl_event *event = wanted ? last : clfcn_prof_event(dev, what);
            rc = check(
                to_host
                    ? clEnqueueReadBuffer(dev->transfer, p->grad, CL_FALSE, 0, bytes,
                                          values, waits, waits ? &after : NULL, event)
                    : clEnqueueWriteBuffer(dev->transfer, p->grad, CL_FALSE, 0, bytes,
                                           values, waits, waits ? &after : NULL, event),
                what, err);
            values += p->count;
        }
    }
    if (rc == CLFCN_OK && last) {
        clfcn_event_made(dev);
        clfcn_prof_keep(dev, *last, what);
    }
    return rc < 0 ? rc : check(clFlush(dev->transfer), what, err);
}

int clfcn_exchange_ready(struct clfcn_exchange *x, int op, struct clfcn_err *err)
{
    struct clfcn_dev *dev = x->net->dev;
    struct bucket *b = x->buckets;
    while (b < x->buckets + x->count && b->low != op) {
        ++b;
    }
    if (b == x->buckets + x->count) {
        return CLFCN_OK;
    }
    cl_event here = NULL;
    clfcn_prof_label(dev, "", NULL);
    int rc = check(clEnqueueMarkerWithWaitList(dev->compute, 0, NULL, &here),
                   "exchanging gradients", err);
    if (rc < 0) {
        return rc;
    }
    clfcn_event_made(dev);
    rc = check(clFlush(dev->compute), "exchanging gradients", err);
    if (rc == CLFCN_OK) {
        rc = copy(x, b, true, here, &b->read, err);
    }
    clfcn_event_release(dev, &here);
    b->state = rc == CLFCN_OK ? READING : IDLE;
    return rc == CLFCN_OK && x->in_step ? clfcn_exchange_finish(x, op, err) : rc;
}

/* Whether the device has done what event stands for. */
static int is_done(cl_event event, bool *done, struct clfcn_err *err)
{
    cl_int status = CL_QUEUED;
    const int rc = check(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                        sizeof(status), &status, NULL),
                         "reading gradients", err);
    *done = rc == CLFCN_OK && status == CL_COMPLETE;
    return rc == CLFCN_OK && status < 0 ? check(status, "reading gradients", err) : rc;
}

/* Go on with a bucket as far as that goes without waiting. */
static int advance(struct clfcn_exchange *x, struct bucket *b, bool *moved,
                   struct clfcn_err *err)
{
    bool done = false;
    int rc = CLFCN_OK;
    if (b->state == READING) {
        rc = is_done(b->read, &done, err);
        if (rc == CLFCN_OK && done) {
            clfcn_event_release(x->net->dev, &b->read);
            b->state = SUMMING;
            *moved = true;
            rc = clfcn_allreduce_start(b->sum, b->values, err);
        }
    } else if (b->state == SUMMING) {
        rc = clfcn_allreduce_test(b->sum, &done, err);
        if (rc == CLFCN_OK && done) {
            b->state = SUMMED;
            *moved = true;
            rc = copy(x, b, false, NULL, NULL, err);
        }
    }
    return rc;
}

static bool is_wanted(const struct bucket *b, int op)
{
    return op < 0 || (op >= b->low && op <= b->high);
}

/* How many of those that are wanted are in a state. */
static int count_in(const struct clfcn_exchange *x, int op, enum state state)
{
    int n = 0;
    for (int i = 0; i < x->count; ++i) {
        n += is_wanted(&x->buckets[i], op) && x->buckets[i].state == state;
    }
    return n;
}

/* Until the sums of the wanted ones are there. Where reading is still to be done the
 * device is at work, and an exchange costs nothing. */
static int wait_for_sums(struct clfcn_exchange *x, int op, struct clfcn_err *err)
{
    const double nap = 1e-4;
    double before = clfcn_clock();
    int rc = CLFCN_OK, reading, summing;
    while (rc == CLFCN_OK && ((reading = count_in(x, op, READING)) > 0) +
                                     ((summing = count_in(x, op, SUMMING)) > 0) >
                                 0) {
        bool moved = false;
        for (int i = 0; rc == CLFCN_OK && i < x->count; ++i) {
            rc = advance(x, &x->buckets[i], &moved, err);
        }
        if (rc == CLFCN_OK && !moved && summing > 0) {
            rc = clfcn_comm_rest(x->net->options.comm, reading == 0, err);
        } else if (!moved) {
            clfcn_sleep(nap);
        }
        const double now = clfcn_clock();
        x->time.busy_s += summing > 0 ? now - before : 0.0;
        x->time.exposed_s += summing > 0 && reading == 0 ? now - before : 0.0;
        before = now;
    }
    return rc;
}

int clfcn_exchange_finish(struct clfcn_exchange *x, int op, struct clfcn_err *err)
{
    struct clfcn_dev *dev = x->net->dev;
    cl_event back = NULL;
    int rc = wait_for_sums(x, op, err);
    for (int i = 0; rc == CLFCN_OK && i < x->count; ++i) {
        if (is_wanted(&x->buckets[i], op)) {
            x->buckets[i].state = IDLE;
        }
    }
    if (rc == CLFCN_OK) {
        rc = check(clEnqueueMarkerWithWaitList(dev->transfer, 0, NULL, &back),
                   "writing gradients", err);
    }
    if (rc == CLFCN_OK) {
        clfcn_event_made(dev);
        rc = check(clFlush(dev->transfer), "writing gradients", err);
    }
    if (rc == CLFCN_OK) {
        rc = check(clEnqueueBarrierWithWaitList(dev->compute, 1, &back, NULL),
                   "writing gradients", err);
    }
    clfcn_event_release(dev, &back);
    return rc;
}

void clfcn_exchange_take(struct clfcn_exchange *x, struct clfcn_exchange_time *out)
{
    out->busy_s += x->time.busy_s;
    out->exposed_s += x->time.exposed_s;
    x->time = (struct clfcn_exchange_time){ 0 };
}
