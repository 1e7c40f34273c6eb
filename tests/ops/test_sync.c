/* test_sync.c - batch norm and the losses on a batch that ranks share unequally, against
 * the definitions on the whole batch. Under mpirun with any number of ranks; alone, where
 * one rank has it all. Every rank draws the same batch and takes its images. */
#include "../../host/comm/comm.h"
#include "../../host/ops/loss.h"
#include "../../host/ops/ref.h"
#include "../kernel/rig_op.h"
#include <stdlib.h>
#include <string.h>

enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR };

static struct clfcn_comm *comm;

/* Images first .. first+count-1 of total, each of so many pixels. */
struct share {
    int first, count, total;
    size_t plane;
};

/* 1 3, or 2 1 2, or 2 1 2 1 and so on. */
static int images_of(int rank, int size)
{
    return size == 2 ? 1 + 2 * rank : 2 - rank % 2;
}

static struct share own_share(int h, int w)
{
    const int size = clfcn_comm_size(comm);
    struct share s = { .plane = (size_t)h * (size_t)w };
    for (int r = 0; r < size; ++r) {
        s.first += r < clfcn_comm_rank(comm) ? images_of(r, size) : 0;
        s.total += images_of(r, size);
    }
    s.count = images_of(clfcn_comm_rank(comm), size);
    return s;
}

static size_t share_row(const struct share *s)
{
    return (size_t)s->count * s->plane;
}

static size_t whole_row(const struct share *s)
{
    return (size_t)s->total * s->plane;
}

/* The share of [channels][total][plane] elements of so many bytes. */
static void cut(const struct share *s, int channels, const void *whole, size_t bytes,
                void *out)
{
    const size_t row = share_row(s) * bytes;
    const char *from = (const char *)whole + (size_t)s->first * s->plane * bytes;
    for (int c = 0; c < channels; ++c) {
        memcpy((char *)out + (size_t)c * row, from, row);
        from += whole_row(s) * bytes;
    }
}

static double *cut_doubles(const struct share *s, int channels, const double *whole)
{
    double *out = doubles((size_t)channels * share_row(s));
    cut(s, channels, whole, sizeof(*whole), out);
    return out;
}

/* Fails unless all ranks have these bits. */
static void assert_same_everywhere(const char *what, const double *values, size_t count)
{
    const size_t bytes = count * sizeof(*values);
    struct clfcn_err err;
    double *all = doubles((size_t)clfcn_comm_size(comm) * count);
    rig_ok(clfcn_comm_gather(comm, values, bytes, all, &err), &err);
    for (int r = 0; r < clfcn_comm_size(comm); ++r) {
        if (memcmp(all + (size_t)r * count, values, bytes) != 0) {
            fail_msg("%s: rank %d has other bits", what, r);
        }
    }
    free(all);
}

/* Normal values that differ by image as much as within one. */
static double *draw(struct rig *rig, const struct share *s, int channels)
{
    const size_t row = whole_row(s);
    double *v = doubles((size_t)channels * row);
    for (size_t i = 0; i < (size_t)channels * row; ++i) {
        const double image = (double)(i % row / s->plane);
        v[i] = (float)(0.2 + image + (1.0 + 0.3 * image) * clfcn_rng_normal(&rig->rng));
    }
    return v;
}

/* What batch norm gives for some rows. */
struct norm_want {
    double *y, *dx, *dgamma, *dbeta, *mean, *var;
};

static struct norm_want reference(int channels, size_t row, const double *x,
                                  const double *dy, double *const before[4])
{
    const size_t count = (size_t)channels * row, bytes = (size_t)channels * sizeof(*x);
    struct norm_want w = { doubles(count),
                           doubles(count),
                           doubles((size_t)channels),
                           doubles((size_t)channels),
                           doubles((size_t)channels),
                           doubles((size_t)channels) };
    memcpy(w.mean, before[RUNNING_MEAN], bytes);
    memcpy(w.var, before[RUNNING_VAR], bytes);
    clfcn_ref_batchnorm(channels, row, x, before[GAMMA], before[BETA], w.mean, w.var,
                        w.y);
    clfcn_ref_batchnorm_backward(channels, row, x, before[GAMMA], dy, w.dx, w.dgamma,
                                 w.dbeta);
    return w;
}

static void free_want(struct norm_want *w)
{
    double *const all[] = { w->y, w->dx, w->dgamma, w->dbeta, w->mean, w->var };
    for (int i = 0; i < CLFCN_ARRAY_LEN(all); ++i) {
        free(all[i]);
    }
}

/* Run the layer on the share; x and dy are the whole batch's. Each rank's results are in
 * t then, what the parameters were in before. */
static void run_norm(struct rig_op *t, const struct share *s, const double *x,
                     const double *dy, double *before[4])
{
    const int channels = t->tx.c;
    cut(s, channels, x, sizeof(*x), t->x.host);
    vec_normal(t->rig, &t->value[GAMMA], 1.0, 0.5);
    vec_normal(t->rig, &t->value[BETA], 0.0, 1.0);
    vec_normal(t->rig, &t->value[RUNNING_MEAN], 0.0, 1.0);
    vec_constant(&t->value[RUNNING_VAR], 1.5);
    for (int i = 0; i < 4; ++i) {
        before[i] = vec_copy(&t->value[i]);
    }
    rig_op_forward(t);
    cut(s, channels, dy, sizeof(*dy), t->dy.host);
    rig_op_backward(t);
}

static void assert_sums(const char *what, const struct vec *own, const double *want,
                        struct tolerance tolerance)
{
    struct clfcn_err err;
    double *sum = vec_copy(own);
    rig_ok(clfcn_comm_sum(comm, sum, own->count, &err), &err);
    assert_close(what, sum, want, own->count, tolerance);
    free(sum);
}

/* Against what the whole batch's rows give, or with local the share's. */
static void compare_norm(struct rig_op *t, const struct share *s, const double *x,
                         const double *dy, double *const before[4], bool local)
{
    const struct tolerance near = { 2e-5, 2e-4 };
    const struct share all = { 0, s->count, s->count, s->plane };
    const struct share *part = local ? &all : s;
    double *own_x = cut_doubles(s, t->tx.c, x), *own_dy = cut_doubles(s, t->tx.c, dy);
    struct norm_want w = reference(t->tx.c, whole_row(part), local ? own_x : x,
                                   local ? own_dy : dy, before);
    double *y = cut_doubles(part, t->tx.c, w.y), *dx = cut_doubles(part, t->tx.c, w.dx);
    if (!local) {
        /* All of these are collective, and so come before what may fail in one rank. */
        assert_same_everywhere("running mean", t->value[RUNNING_MEAN].host,
                               t->x.count / share_row(s));
        assert_same_everywhere("running variance", t->value[RUNNING_VAR].host,
                               t->x.count / share_row(s));
        assert_sums("summed weight gradient", &t->grad[GAMMA], w.dgamma, near);
        assert_sums("summed bias gradient", &t->grad[BETA], w.dbeta, near);
    } else {
        assert_close("weight gradient", t->grad[GAMMA].host, w.dgamma,
                     t->grad[GAMMA].count, near);
        assert_close("bias gradient", t->grad[BETA].host, w.dbeta, t->grad[BETA].count,
                     near);
    }
    assert_close("y", t->y.host, y, t->y.count, near);
    assert_close("running mean", t->value[RUNNING_MEAN].host, w.mean, (size_t)t->tx.c,
                 near);
    assert_close("running variance", t->value[RUNNING_VAR].host, w.var, (size_t)t->tx.c,
                 near);
    rig_op_check_dx(t, dx, NULL, near);
    free_want(&w);
    free(own_x);
    free(own_dy);
    free(y);
    free(dx);
}

static void check_norm(struct rig *rig, int channels, int h, int w,
                       const struct rig_use *use)
{
    const struct share s = own_share(h, w);
    double *x = draw(rig, &s, channels), *dy = draw(rig, &s, channels), *before[4];
    struct rig_op t;
    struct clfcn_op *op = NULL;
    struct clfcn_err err;
    if (use->mask_dx) {
        clfcn_ref_relu((size_t)channels * whole_row(&s), x, x);
    }
    rig_ok(clfcn_batchnorm_create(&op, &err), &err);
    rig_op_open(&t, rig, op, channels, s.count, h, w, use);
    run_norm(&t, &s, x, dy, before);
    compare_norm(&t, &s, x, dy, before, !use->sync_batchnorm);
    rig_op_close(&t);
    for (int i = 0; i < 4; ++i) {
        free(before[i]);
    }
    free(x);
    free(dy);
}

/* The last has images of more than one chunk. */
static void test_synchronised(void **state)
{
    check_norm(*state, 3, 5, 7,
               &(struct rig_use){ .comm = comm, .sync_batchnorm = true });
    check_norm(
        *state, 5, 4, 6,
        &(struct rig_use){ .comm = comm, .sync_batchnorm = true, .mask_dx = true });
    check_norm(*state, 2, 97, 101,
               &(struct rig_use){ .comm = comm, .sync_batchnorm = true });
}

static void test_apart(void **state)
{
    check_norm(*state, 3, 5, 7, &(struct rig_use){ .comm = comm });
}

struct loss_case {
    enum clfcn_loss kind;
    int classes, h, w;
    double ignored;     /* share of the pixels without label */
    bool first_ignored; /* nor has any pixel of the first image one */
    bool weighted;
};

/* Labels of the whole batch. */
static uint8_t *draw_labels(struct rig *rig, const struct share *s,
                            const struct loss_case *c)
{
    uint8_t *labels = malloc(whole_row(s));
    assert_non_null(labels);
    for (size_t i = 0; i < whole_row(s); ++i) {
        const bool on = clfcn_rng_double(&rig->rng) >= c->ignored &&
                        !(c->first_ignored && i < s->plane);
        labels[i] = on ? (uint8_t)clfcn_rng_below(&rig->rng, (uint32_t)c->classes)
                       : (uint8_t)CLFCN_IGNORE;
    }
    return labels;
}

static double count_terms(const struct clfcn_loss_op *op, const uint8_t *labels)
{
    int64_t labelled = 0;
    for (size_t i = 0; i < op->row; ++i) {
        labelled += labels[i] != CLFCN_IGNORE;
    }
    return clfcn_loss_terms(op, labels, labelled);
}

/* The loss of the share, logits being of the whole batch, and its gradient
 * [classes][share] into dx. */
static double run_loss(struct rig *rig, const struct clfcn_loss_how *how,
                       const struct share *s, const struct loss_case *c,
                       const double *logits, const uint8_t *labels, double *dx)
{
    struct clfcn_programs *programs = NULL;
    struct clfcn_loss_op op = { 0 };
    struct clfcn_tensor tx = { .c = c->classes, .n = s->count, .h = c->h, .w = c->w };
    struct vec x, gradient, loss, scratch;
    struct clfcn_err err;
    cl_mem device_labels;
    uint8_t *own = malloc(share_row(s));
    assert_non_null(own);
    cut(s, 1, labels, 1, own);
    rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = programs,
                                      .training = true };
    rig_ok(clfcn_loss_prepare(&op, how, &tx, &env, &err), &err);
    rig_ok(clfcn_loss_allocate(&op, rig->dev, &err), &err);
    rig_ok(clfcn_programs_build(programs, &err), &err);
    vec_open(rig, &x, "logits", clfcn_tensor_count(&tx));
    vec_open(rig, &gradient, "gradient", clfcn_tensor_count(&tx));
    vec_open(rig, &loss, "loss", 1);
    vec_open_whole(rig, &scratch, "scratch", op.scratch_bytes / sizeof(float));
    rig_ok(clfcn_buffer_create_from(rig->dev, own, share_row(s), "labels", &device_labels,
                                    &err),
           &err);
    cut(s, c->classes, logits, sizeof(*logits), x.host);
    vec_upload(rig, &x);

    double terms = count_terms(&op, own);
    rig_ok(clfcn_comm_sum(comm, &terms, 1, &err), &err);
    tx.mem = x.mem;
    struct clfcn_tensor tdx = tx;
    tdx.mem = gradient.mem;
    const struct clfcn_op_run run = {
        .dev = rig->dev, .training = true, .scratch = scratch.mem, .comm = comm
    };
    rig_ok(clfcn_loss_run(&op, &run, &tx, device_labels, terms, &tdx, loss.mem, 0, &err),
           &err);
    vec_download(rig, &loss);
    vec_download(rig, &gradient);
    vec_check_guards(rig, &scratch);
    memcpy(dx, gradient.host, gradient.count * sizeof(*dx));
    const double value = loss.host[0];

    vec_close(rig, &x);
    vec_close(rig, &gradient);
    vec_close(rig, &loss);
    vec_close(rig, &scratch);
    clfcn_buffer_release(rig->dev, &device_labels);
    clfcn_loss_release(&op, rig->dev);
    clfcn_programs_destroy(&programs);
    free(own);
    return value;
}

static void check_loss(struct rig *rig, const struct loss_case *c)
{
    const struct share s = own_share(c->h, c->w);
    float weights[CLFCN_MAX_CLASSES];
    for (int k = 0; k < c->classes; ++k) {
        weights[k] = (float)(0.1 + 3.0 * clfcn_rng_double(&rig->rng));
    }
    const struct clfcn_loss_how how = { .kind = c->kind,
                                        .gamma = 2.0,
                                        .weights = c->weighted ? weights : NULL };
    double *logits = draw(rig, &s, c->classes);
    uint8_t *labels = draw_labels(rig, &s, c);
    double *got = doubles((size_t)c->classes * share_row(&s)),
           *want = doubles((size_t)c->classes * whole_row(&s));
    double sum = run_loss(rig, &how, &s, c, logits, labels, got);
    const double loss =
        clfcn_ref_loss(&how, c->classes, whole_row(&s), logits, labels, want);
    double *own = cut_doubles(&s, c->classes, want);
    struct clfcn_err err;
    rig_ok(clfcn_comm_sum(comm, &sum, 1, &err), &err);
    assert_close("summed loss", &sum, &loss, 1, TOLERANCE_SUM);
    assert_close("gradient", got, own, (size_t)c->classes * share_row(&s), TOLERANCE_SUM);
    free(logits);
    free(labels);
    free(got);
    free(want);
    free(own);
}

static void check_kind(struct rig *rig, enum clfcn_loss kind)
{
    check_loss(rig, &(struct loss_case){ kind, 3, 5, 7, 0.0, false, false });
    check_loss(rig, &(struct loss_case){ kind, 4, 9, 13, 0.4, true, true });
    check_loss(rig, &(struct loss_case){ kind, 2, 33, 35, 0.1, false, true });
}

static void test_bce(void **state)
{
    check_kind(*state, CLFCN_LOSS_BCE);
}

static void test_ce(void **state)
{
    check_kind(*state, CLFCN_LOSS_CE);
}

static void test_dice(void **state)
{
    check_kind(*state, CLFCN_LOSS_DICE);
}

static void test_focal(void **state)
{
    check_kind(*state, CLFCN_LOSS_FOCAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_synchronised), RIG_TEST(test_apart), RIG_TEST(test_bce),
        RIG_TEST(test_ce),           RIG_TEST(test_dice),  RIG_TEST(test_focal),
    };
    struct clfcn_err err = { 0 };
    if (clfcn_comm_open(&comm, &err) < 0) {
        print_error("cannot join the other ranks: %s\n", err.msg);
        return 1;
    }
    const int failed = RIG_RUN(tests);
    clfcn_comm_close(&comm, failed ? CLFCN_EINVAL : CLFCN_OK);
    return failed;
}
