/* test_audit.c - every pass of a training step is right in float64, an element of
 * anything that it makes is found when it is not, and NaN is followed to its origin. */
#include "../../host/device/dev.h"
#include "../../host/net/audit_impl.h"
#include "../../host/net/spoiled.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, BATCH = 2, CLASSES = 3, PIXELS = 96 * 64 * 3 };

static struct clfcn_dev *dev;
/* Not at the beginning of a page, so that they are uploaded, and can be spoiled there. */
static struct {
    char gap[4];
    float images[3 * PIXELS];
    uint8_t labels[PIXELS];
} batch;

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int setup(void **state)
{
    struct clfcn_err err;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, 1, "audit test", 0, 0);
    for (int i = 0; i < 3 * PIXELS; ++i) {
        batch.images[i] = (float)clfcn_rng_normal(&rng);
    }
    for (int i = 0; i < PIXELS; ++i) {
        batch.labels[i] = clfcn_rng_below(&rng, 16) == 0
                              ? CLFCN_IGNORE
                              : (uint8_t)clfcn_rng_below(&rng, CLASSES);
    }
    return clfcn_dev_open("auto", &dev, &err);
}

static int teardown(void **state)
{
    const int live = atomic_load(&dev->live_objects);
    clfcn_dev_close(&dev);
    return live;
}

static struct clfcn_net_desc describe(enum clfcn_arch arch)
{
    return (struct clfcn_net_desc){ .arch = arch,
                                    .backbone = CLFCN_VGG11,
                                    .classes = CLASSES,
                                    .width = SIDE,
                                    .height = SIDE,
                                    .batch = BATCH };
}

static struct clfcn_net_hyper hyper_of(int step)
{
    return (struct clfcn_net_hyper){ .lr = 0.01,
                                     .momentum = 0.7,
                                     .weight_decay = 1e-3,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .eps = 1e-8,
                                     .update = step };
}

/* --- what a unit makes --- */

struct made {
    char name[128];
    cl_mem mem;
    size_t offset; /* floats */
    int ndim;
    int64_t dims[4];
};

struct list {
    struct made items[10];
    int count;
};

static void add(struct list *l, const char *name, cl_mem mem, size_t offset, int ndim,
                const int64_t *dims)
{
    struct made *m = &l->items[l->count++];
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->mem = mem;
    m->offset = offset;
    m->ndim = ndim;
    memcpy(m->dims, dims, (size_t)ndim * sizeof(*dims));
}

static void add_tensor(struct list *l, const char *name, const struct clfcn_tensor *t)
{
    const int64_t dims[] = { t->c, t->n, t->h, t->w };
    add(l, name, t->mem, 0, 4, dims);
}

static void add_param(struct list *l, const char *name, const struct clfcn_param *p,
                      cl_mem mem)
{
    if (mem) {
        add(l, name, mem, 0, p->ndim, p->dims);
    }
}

static void list_forward(struct list *l, const struct clfcn_op *op)
{
    const int64_t dims[] = { op->x->c, 2 };
    add_tensor(l, "output", op->y);
    if (strcmp(op->impl->kind, "batchnorm") == 0) {
        add(l, "mean and 1/deviation", op->state, 0, 2, dims);
        add_param(l, "running_mean", &op->params[2], op->params[2].value);
        add_param(l, "running_var", &op->params[3], op->params[3].value);
    }
}

static void list_backward(struct list *l, const struct clfcn_op *op,
                          enum clfcn_audit_what what)
{
    const bool conv = op->impl->conv;
    if (conv && what == CLFCN_AUDIT_BACKWARD && op->relu && !op->dy_masked) {
        add_tensor(l, "masked output gradient", op->dy);
    }
    if (op->param_count > 0 && what == CLFCN_AUDIT_BACKWARD) {
        add_param(l, "bias gradient", &op->params[1], op->params[1].grad);
    }
    if (op->param_count > 0 &&
        what == (conv ? CLFCN_AUDIT_WEIGHT : CLFCN_AUDIT_BACKWARD)) {
        add_param(l, "weight gradient", &op->params[0], op->params[0].grad);
    }
    if (op->dx && what == (conv ? CLFCN_AUDIT_INPUT : CLFCN_AUDIT_BACKWARD)) {
        add_tensor(l, "input gradient", op->dx);
    }
}

static void list_update(struct list *l, const struct clfcn_net *net,
                        const struct clfcn_op *op)
{
    char name[128];
    for (int i = 0; i < op->param_count; ++i) {
        const struct clfcn_param *p = &op->params[i];
        if (!p->learned) {
            continue;
        }
        snprintf(name, sizeof(name), "%s.%s", op->prefix, p->suffix);
        add_param(l, name, p, p->value);
        for (int s = 0; s < net->params.state_count; ++s) {
            snprintf(name, sizeof(name), "optim.%s.%s.%s",
                     clfcn_optim_state_name(net->options.optimizer, s), op->prefix,
                     p->suffix);
            add_param(l, name, p, p->states[s]);
        }
    }
}

static void list_made(const struct clfcn_audit_run *run, struct list *l)
{
    const struct clfcn_net *net = run->tap.net;
    const struct clfcn_op *op = run->unit->op < 0 ? NULL : net->graph.ops[run->unit->op];
    const size_t result = (size_t)run->tap.slot * CLFCN_STEP_RESULTS;
    const int64_t one[] = { 1 },
                  all[] = { (int64_t)(net->params.trained_end / sizeof(float)) };
    l->count = 0;
    switch (run->unit->what) {
    case CLFCN_AUDIT_UPLOAD:
        add_tensor(l, "images", &net->graph.values[0].tensor);
        break;
    case CLFCN_AUDIT_FORWARD:
        list_forward(l, op);
        break;
    case CLFCN_AUDIT_LOSS:
        add(l, "loss", net->results, result, 1, one);
        add_tensor(l, "logits gradient", net->graph.values[net->graph.logits].grad);
        break;
    case CLFCN_AUDIT_CLIP:
        add(l, "gradient norm", net->results, result + CLFCN_STEP_NORM, 1, one);
        add(l, "gradients", net->params.grads, 0, 1, all);
        break;
    case CLFCN_AUDIT_UPDATE:
        list_update(l, net, op);
        break;
    default:
        list_backward(l, op, run->unit->what);
    }
}

/* --- planting --- */

/* The last channel's first pixel in the last image, where samples begin; of a whole that
 * is joined from parts, or split into them, in the last image of the part. */
static size_t spot_of(const struct clfcn_audit_run *run, const struct made *m,
                      int64_t index[4])
{
    const struct clfcn_op *op =
        run->unit->op < 0 ? NULL : run->tap.net->graph.ops[run->unit->op];
    size_t at = 0;
    memset(index, 0, 4 * sizeof(*index));
    index[0] = m->dims[0] - 1;
    if (m->ndim == 4) {
        index[1] = m->dims[1] - 1;
    }
    if (op && op->x->n != op->y->n && m->ndim == 4) {
        const int part = op->x->n < op->y->n ? op->x->n : op->y->n;
        index[1] = m->dims[1] > part ? part * (run->part + 1) - 1 : part - 1;
    }
    for (int i = 0; i < m->ndim; ++i) {
        at = at * (size_t)m->dims[i] + (size_t)index[i];
    }
    return at;
}

static float largest_of(const struct made *m)
{
    struct clfcn_err err;
    size_t count = 1;
    float most = 0;
    for (int i = 0; i < m->ndim; ++i) {
        count *= (size_t)m->dims[i];
    }
    float *values = malloc(count * sizeof(*values));
    assert_non_null(values);
    ok(clfcn_buffer_read(dev, m->mem, m->offset * sizeof(float), count * sizeof(float),
                         values, &err),
       &err);
    for (size_t i = 0; i < count; ++i) {
        most = fmaxf(most, fabsf(values[i]));
    }
    free(values);
    return most;
}

static void plant(struct clfcn_audit_run *run, const struct made *m, size_t at,
                  const int64_t *index, float wrong, float right)
{
    const size_t byte = (m->offset + at) * sizeof(float);
    struct clfcn_audit found = { 0 }, *out = run->out;
    struct clfcn_err err;
    ok(clfcn_buffer_write(dev, m->mem, byte, sizeof(wrong), &wrong, &err), &err);
    run->out = &found;
    ok(clfcn_audit_check(run, &err), &err);
    run->out = out;
    ok(clfcn_buffer_write(dev, m->mem, byte, sizeof(right), &right, &err), &err);
    if (!found.wrong || strcmp(found.tensor, m->name) != 0) {
        fail_msg("%s, %s: %s[%zu] %g in place of %g is not found, but %s", found.layer,
                 found.pass, m->name, at, wrong, right,
                 found.wrong ? found.tensor : "nothing");
    }
    assert_memory_equal(found.index, index, (size_t)m->ndim * sizeof(*index));
    assert_true(isnan(wrong) ? isnan(found.device) : found.device == wrong);
    assert_true(fabs(found.reference - right) <= 1e-3 * (fabs(right) + largest_of(m)));
}

static void plant_each(struct clfcn_audit_run *run)
{
    struct list l;
    list_made(run, &l);
    assert_true(l.count > 0);
    for (int i = 0; i < l.count; ++i) {
        const struct made *m = &l.items[i];
        int64_t index[4];
        const size_t at = spot_of(run, m, index);
        struct clfcn_err err;
        float right;
        ok(clfcn_buffer_read(dev, m->mem, (m->offset + at) * sizeof(float), sizeof(right),
                             &right, &err),
           &err);
        const float most = largest_of(m);
        run->focus = index;
        plant(run, m, at, index, right + (most > 0 ? most : 1), right);
        plant(run, m, at, index, NAN, right);
        run->focus = NULL;
    }
}

/* --- a step in which everything is audited --- */

struct audit_all {
    struct clfcn_net_tap tap;
    struct clfcn_audit_unit units[CLFCN_MAX_AUDITS];
    int count, done;
    struct clfcn_audit_run runs[CLFCN_MAX_OPS]; /* of the act under way */
    int open;
};

static int before(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct audit_all *all = (struct audit_all *)tap;
    int rc = CLFCN_OK;
    for (int i = 0; i < all->count; ++i) {
        if (all->units[i].time != time) {
            continue;
        }
        assert_true(all->open < CLFCN_ARRAY_LEN(all->runs));
        struct clfcn_audit_run *run = &all->runs[all->open++];
        *run = (struct clfcn_audit_run){ .tap = *tap,
                                         .unit = &all->units[i],
                                         .part = tap->net->part };
        clfcn_rng_init(&run->rng, 3, "audit test", (uint64_t)i, 0);
        /* What is kept must be what is compared when the spot below is asked for. */
        struct list l;
        list_made(run, &l);
        int64_t index[4];
        spot_of(run, &l.items[0], index);
        run->focus = index;
        rc = rc < 0 ? rc : clfcn_audit_before(run, err);
        run->focus = NULL;
    }
    return rc;
}

static int after(struct clfcn_net_tap *tap, int time, struct clfcn_err *err)
{
    struct audit_all *all = (struct audit_all *)tap;
    int rc = time == CLFCN_TAP_UPLOAD ? before(tap, time, err) : CLFCN_OK;
    for (int i = 0; rc == CLFCN_OK && i < all->open; ++i) {
        struct clfcn_audit_run *run = &all->runs[i];
        struct clfcn_audit found = { 0 };
        struct list l;
        int64_t index[4];
        list_made(run, &l);
        spot_of(run, &l.items[0], index);
        run->out = &found;
        run->focus = index;
        rc = clfcn_audit_check(run, err);
        run->focus = NULL;
        if (rc == CLFCN_OK && (found.wrong || found.not_finite || found.too_large)) {
            fail_msg("%s, %s: %s is %g and should be %g, %g apart", found.layer,
                     found.pass, found.tensor, found.device, found.reference,
                     found.apart);
        }
        assert_true(found.compared > 0);
        plant_each(run);
        clfcn_audit_finish(run);
        ++all->done;
    }
    all->open = 0;
    return rc;
}

/* Two steps, the second of them audited; returns what of it. */
static int audit_step(const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *how,
                      void (*look)(struct clfcn_net *))
{
    struct audit_all *all = calloc(1, sizeof(*all));
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    assert_non_null(all);
    ok(clfcn_net_create(dev, desc, how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    if (look) {
        look(net);
    }
    for (int s = 1; s <= 2; ++s) {
        const struct clfcn_net_input in = { batch.images, batch.labels, -1 };
        const struct clfcn_net_hyper hyper = hyper_of(s);
        ok(clfcn_net_upload(net, 0, &in, &err), &err);
        if (s == 2) {
            all->tap = (struct clfcn_net_tap){ net, 0, &hyper, before, after };
            all->count = clfcn_audit_units(net, all->units);
            net->tap = &all->tap;
        }
        ok(clfcn_net_step(net, 0, &hyper, &err), &err);
        ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    }
    const int done = all->done;
    assert_true(done >= all->count);
    clfcn_net_destroy(&net);
    free(all);
    return done;
}

static void test_cpu(void **state)
{
    const struct clfcn_net_desc desc = describe(CLFCN_FCNS);
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = { .training = true, .choices = &none };
    assert_true(audit_step(&desc, &how, NULL) > 80);
}

/* Sums in place of skips after the norm, and every loss and optimiser with it. */
static void test_clipped(void **state)
{
    static const float weights[CLASSES] = { 0.5f, 2, 1 };
    const struct clfcn_net_desc desc = describe(CLFCN_FCN8S);
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = { .training = true,
                                           .choices = &none,
                                           .loss = CLFCN_LOSS_CE,
                                           .class_weights = weights,
                                           .optimizer = CLFCN_ADAMW,
                                           .clip_norm = 0.1,
                                           .freeze_backbone = true };
    audit_step(&desc, &how, NULL);
}

static void has_parts(struct clfcn_net *net)
{
    assert_true(net->graph.part_ops > 0);
    assert_int_equal(net->thrift.level, CLFCN_HOST_WEIGHTS);
}

/* The largest limit below a fifth of the usual memory with which the batch goes in parts.
 */
static size_t limit_for_parts(const struct clfcn_net_desc *desc,
                              struct clfcn_net_options how)
{
    struct clfcn_net_forecast f;
    struct clfcn_err err;
    bool parts = false;
    ok(clfcn_net_forecast(dev, desc, &how, &f, &err), &err);
    const double usual = (double)f.memory.total;
    free(f.thrift);
    for (double share = 0.2; !parts && share > 0.1; share -= 0.005) {
        how.mem_bytes = (size_t)(share * usual);
        ok(clfcn_net_forecast(dev, desc, &how, &f, &err), &err);
        parts = f.memory.total <= how.mem_bytes && f.thrift && strstr(f.thrift, "parts");
        free(f.thrift);
    }
    assert_true(parts);
    return how.mem_bytes;
}

/* Parts of the batch, activations made again, weights that come from the host. */
static void test_thrifty(void **state)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = 96,
                                         .height = 64,
                                         .batch = 3 };
    const struct clfcn_choices none = { 0 };
    struct clfcn_net_options how = { .training = true,
                                     .choices = &none,
                                     .loss = CLFCN_LOSS_DICE,
                                     .optimizer = CLFCN_SGD };
    how.mem_bytes = limit_for_parts(&desc, how);
    audit_step(&desc, &how, has_parts);
}

static void test_gpu(void **state)
{
    const struct clfcn_net_desc desc = describe(CLFCN_FCN16S);
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = { .training = true,
                                           .choices = &none,
                                           .loss = CLFCN_LOSS_FOCAL,
                                           .focal_gamma = 2,
                                           .gemm = CLFCN_GEMM_NATIVE };
    dev->info.device_class = CLFCN_CLASS_OTHER;
    dev->info.is_cpu = false;
    dev->info.is_gpu = true;
    dev->info.vector_width = 1;
    audit_step(&desc, &how, NULL);
}

/* --- steps of which one pass each is audited --- */

static char *train(bool audited, int steps, size_t *size)
{
    const struct clfcn_net_desc desc = describe(CLFCN_FCNS);
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = { .training = true, .choices = &none };
    struct clfcn_net *net = NULL;
    struct clfcn_audit audit;
    struct clfcn_err err;
    ok(clfcn_net_create(dev, &desc, &how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    for (int s = 1; s <= steps; ++s) {
        const struct clfcn_net_input in = { batch.images, batch.labels, -1 };
        const struct clfcn_net_hyper hyper = hyper_of(s);
        ok(clfcn_net_upload(net, 0, &in, &err), &err);
        ok(audited ? clfcn_net_step_audited(net, 0, &hyper, 5, &audit, &err)
                   : clfcn_net_step(net, 0, &hyper, &err),
           &err);
        assert_true(!audited || (audit.compared > 0 && !audit.wrong));
        ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    }
    char *bytes = NULL;
    *size = 0;
    for (int i = 0; i < clfcn_net_tensor_count(net, true); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        bytes = realloc(bytes, *size + t.bytes);
        assert_non_null(bytes);
        ok(clfcn_net_tensor_read(net, i, bytes + *size, &err), &err);
        *size += t.bytes;
    }
    clfcn_net_destroy(&net);
    return bytes;
}

static void test_same_bits(void **state)
{
    size_t size, other_size;
    char *plain = train(false, 12, &size), *audited = train(true, 12, &other_size);
    assert_int_equal(size, other_size);
    assert_memory_equal(plain, audited, size);
    free(plain);
    free(audited);
}

/* --- a step that is traced --- */

static struct clfcn_spoiled trace(struct clfcn_net *net, int step, double lr)
{
    const struct clfcn_net_input in = { batch.images, batch.labels, -1 };
    struct clfcn_net_hyper hyper = hyper_of(step);
    struct clfcn_spoiled found;
    struct clfcn_err err;
    hyper.lr = lr;
    ok(clfcn_net_upload(net, 0, &in, &err), &err);
    ok(clfcn_net_step_traced(net, 0, &hyper, &found, &err), &err);
    ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    return found;
}

static void assert_at(const struct clfcn_spoiled *f, int a, int b, int c, int d)
{
    const int64_t index[] = { a, b, c, d };
    assert_memory_equal(f->index, index, sizeof(index));
}

static void test_traced(void **state)
{
    const struct clfcn_net_desc desc = describe(CLFCN_FCNS);
    const struct clfcn_choices none = { 0 };
    const struct clfcn_net_options how = { .training = true, .choices = &none };
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    ok(clfcn_net_create(dev, &desc, &how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    assert_false(trace(net, 1, 0.01).found);
    /* The second of two images of the first channel. */
    float *pixel = &batch.images[SIDE * SIDE + 3 * SIDE + 5], was = *pixel;
    *pixel = INFINITY;
    struct clfcn_spoiled f = trace(net, 2, 0.01);
    *pixel = was;
    assert_true(f.found && f.by == CLFCN_BY_PICTURE && f.count == 1);
    assert_string_equal(f.tensor, "images");
    assert_at(&f, 0, 1, 3, 5);
    f = trace(net, 2, 1e38);
    f = f.found ? f : trace(net, 3, 1);
    assert_true(f.found && f.by == CLFCN_BY_SIZE);
    assert_true(f.largest_weight > 1e20 || f.largest_input > 1e20);
    ok(clfcn_net_init(net, 7, &err), &err);
    const float bad = NAN;
    ok(clfcn_buffer_write(dev, net->graph.ops[0]->params[0].value, 4, 4, &bad, &err),
       &err);
    f = trace(net, 1, 0.01);
    assert_true(f.found && f.by == CLFCN_BY_WEIGHTS && isnan(f.value));
    assert_string_equal(f.tensor, "pretrained_net.features.0.weight");
    assert_at(&f, 0, 0, 0, 1);
    clfcn_net_destroy(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cpu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thrifty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gpu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traced, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
