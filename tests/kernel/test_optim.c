/* test_optim.c - several updates of each optimiser. */
#include "../../host/ops/optim.h"
#include "../../host/ops/ref.h"
#include "rig.h"
#include <stdlib.h>
#include <string.h>

enum { STATES = 2, UPDATES = 5 };

struct fixture {
    struct rig *rig;
    struct clfcn_programs *programs;
    struct clfcn_optim optim;
    struct vec p, g, s[STATES];
    double *want_p, *want_s[STATES];
};

static void open_fixture(struct fixture *f, struct rig *rig, enum clfcn_optimizer kind,
                         size_t count)
{
    struct clfcn_err err;
    *f = (struct fixture){ .rig = rig };
    rig_ok(clfcn_programs_create(rig->dev, &f->programs, &err), &err);
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = f->programs,
                                      .training = true };
    rig_ok(clfcn_optim_prepare(&f->optim, kind, &env, &err), &err);
    rig_ok(clfcn_programs_build(f->programs, &err), &err);
    vec_open(rig, &f->p, "parameters", count);
    vec_open(rig, &f->g, "gradients", count);
    vec_normal(rig, &f->p, 0.0, 1.0);
    vec_upload(rig, &f->p);
    f->want_p = vec_copy(&f->p);
    for (int i = 0; i < STATES; ++i) {
        const bool used = i < clfcn_optim_states(kind);
        vec_open(rig, &f->s[i], "state", used ? count : 0);
        vec_constant(&f->s[i], 0.0);
        vec_upload(rig, &f->s[i]);
        f->want_s[i] = doubles(count);
        memset(f->want_s[i], 0, count * sizeof(double));
    }
}

static void close_fixture(struct fixture *f)
{
    vec_close(f->rig, &f->p);
    vec_close(f->rig, &f->g);
    free(f->want_p);
    for (int i = 0; i < STATES; ++i) {
        vec_close(f->rig, &f->s[i]);
        free(f->want_s[i]);
    }
    clfcn_programs_destroy(&f->programs);
}

static void update(struct fixture *f, const struct clfcn_optim_hyper *h)
{
    struct clfcn_err err;
    vec_normal(f->rig, &f->g, 0.1, 0.5);
    vec_upload(f->rig, &f->g);
    rig_ok(clfcn_optim_run(&f->optim, f->rig->dev, h, f->p.mem, f->g.mem, f->s[0].mem,
                           f->s[1].mem, f->p.count, &err),
           &err);
    clfcn_ref_optim(f->optim.kind, f->p.count, h->lr, h->momentum, h->weight_decay,
                    h->beta1, h->beta2, h->eps, h->update, f->want_p, f->g.host,
                    f->want_s[0], f->want_s[1]);
}

static void compare(struct fixture *f)
{
    vec_download(f->rig, &f->p);
    assert_close("parameters", f->p.host, f->want_p, f->p.count, TOLERANCE_POINT);
    for (int i = 0; i < STATES; ++i) {
        vec_download(f->rig, &f->s[i]);
        assert_close("state", f->s[i].host, f->want_s[i], f->s[i].count, TOLERANCE_POINT);
    }
    vec_check_guards(f->rig, &f->g);
}

static void check(struct rig *rig, enum clfcn_optimizer kind, size_t count, double decay)
{
    struct fixture f;
    struct clfcn_optim_hyper h = { .lr = 0.01,
                                   .momentum = 0.7,
                                   .weight_decay = decay,
                                   .beta1 = 0.9,
                                   .beta2 = 0.999,
                                   .eps = 1e-8 };
    open_fixture(&f, rig, kind, count);
    for (h.update = 1; h.update <= UPDATES; ++h.update) {
        update(&f, &h);
    }
    compare(&f);
    close_fixture(&f);
}

static void check_kind(struct rig *rig, enum clfcn_optimizer kind)
{
    static const size_t counts[] = { 16, 48, 1008, 4112 };
    const int last = rig->small ? 2 : CLFCN_ARRAY_LEN(counts);
    for (int i = 0; i < last; ++i) {
        check(rig, kind, counts[i], 0.0);
        check(rig, kind, counts[i], 0.05);
    }
}

static void test_sgd(void **state)
{
    check_kind(*state, CLFCN_SGD);
}

static void test_adam(void **state)
{
    check_kind(*state, CLFCN_ADAM);
}

static void test_adamw(void **state)
{
    check_kind(*state, CLFCN_ADAMW);
}

/* After a million updates the corrections are 1. */
static void test_late_update(void **state)
{
    struct fixture f;
    const struct clfcn_optim_hyper h = {
        .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .update = 1000000
    };
    open_fixture(&f, *state, CLFCN_ADAM, 32);
    update(&f, &h);
    compare(&f);
    close_fixture(&f);
}

static void test_state_names(void **state)
{
    assert_int_equal(clfcn_optim_states(CLFCN_SGD), 1);
    assert_int_equal(clfcn_optim_states(CLFCN_ADAM), 2);
    assert_int_equal(clfcn_optim_states(CLFCN_ADAMW), 2);
    assert_string_equal(clfcn_optim_state_name(CLFCN_SGD, 0), "momentum");
    assert_string_equal(clfcn_optim_state_name(CLFCN_ADAM, 0), "exp_avg");
    assert_string_equal(clfcn_optim_state_name(CLFCN_ADAMW, 1), "exp_avg_sq");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_sgd),         RIG_TEST(test_adam),        RIG_TEST(test_adamw),
        RIG_TEST(test_late_update), RIG_TEST(test_state_names),
    };
    return RIG_RUN(tests);
}
