/* test_init.c - initial weights: what seed, layer and position make of them; and that a
 * network built for inference makes the same of them as one that can train. */
#include "../../host/device/dev.h"
#include "../../host/net/net_impl.h"
#include "../../host/util/rng.h"
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 7, BLOCK = 65536 };

struct rig {
    struct clfcn_dev *dev;
    struct clfcn_net *net;
    float *data; /* room for all parameters */
};

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

static int setup(void **state)
{
    static struct rig rig;
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = 3,
                                         .width = 32,
                                         .height = 32,
                                         .batch = 1 };
    const struct clfcn_net_options options = { .training = true };
    struct clfcn_err err;
#ifdef M_PERTURB
    mallopt(M_PERTURB, 0x5a); /* new memory holds what it may hold anywhere: no zeros */
#endif
    *state = &rig;
    if (clfcn_dev_open("auto", &rig.dev, &err) < 0 ||
        clfcn_net_create(rig.dev, &desc, &options, &rig.net, &err) < 0) {
        print_error("%s\n", err.msg);
        return -1;
    }
    rig.data = malloc(rig.net->params.values_bytes);
    return rig.data ? 0 : -1;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    free(rig->data);
    clfcn_net_destroy(&rig->net);
    const int live = atomic_load(&rig->dev->live_objects);
    clfcn_dev_close(&rig->dev);
    return live == 0 ? 0 : -1;
}

/* Value by value: a stream for each block of 65536 of each tensor. Runs that were begun
 * with another build are repeated with this one only as long as this holds. */
static float draw(struct clfcn_rng *rng, const struct clfcn_param *p, int tensor,
                  size_t i)
{
    if (i % BLOCK == 0) {
        clfcn_rng_init(rng, SEED, "init", (uint64_t)tensor, i / BLOCK);
    }
    switch (p->init) {
    case CLFCN_INIT_NORMAL:
        return (float)(clfcn_rng_normal(rng) * p->init_scale);
    case CLFCN_INIT_UNIFORM:
        return (float)((2.0 * clfcn_rng_double(rng) - 1.0) * p->init_scale);
    default:
        return p->init == CLFCN_INIT_ONE ? 1.0f : 0.0f;
    }
}

static void test_weights(void **state)
{
    const struct rig *rig = *state;
    const struct clfcn_net *net = rig->net;
    struct clfcn_rng rng;
    struct clfcn_err err;
    int kinds = 0;
    ok(clfcn_net_init(rig->net, SEED, &err), &err);
    for (int t = 0; t < net->parameter_tensor_count; ++t) {
        const struct clfcn_param *p = net->tensors[t].param;
        if (net->tensors[t].place != CLFCN_IN_VALUES) {
            continue;
        }
        kinds |= 1 << p->init;
        ok(clfcn_net_tensor_read(rig->net, t, rig->data, &err), &err);
        for (size_t i = 0; i < p->count; ++i) {
            const float want = draw(&rng, p, t, i);
            if (memcmp(&rig->data[i], &want, sizeof(want)) != 0) {
                fail_msg("%s[%zu] is %a, not %a", net->tensors[t].name, i,
                         (double)rig->data[i], (double)want);
            }
        }
    }
    assert_int_equal(kinds, 1 << CLFCN_INIT_ZERO | 1 << CLFCN_INIT_ONE |
                                1 << CLFCN_INIT_NORMAL | 1 << CLFCN_INIT_UNIFORM);
}

/* An update runs over what lies between the parameters, and must find zeros there. */
static void assert_gaps(const struct rig *rig, cl_mem mem, size_t bytes)
{
    const struct clfcn_net *net = rig->net;
    unsigned char *at = (unsigned char *)rig->data;
    struct clfcn_err err;
    size_t gaps = 0;
    ok(clfcn_buffer_read(rig->dev, mem, 0, bytes, at, &err), &err);
    for (int t = 0; t < net->parameter_tensor_count; ++t) {
        const struct clfcn_tensor_entry *e = &net->tensors[t];
        if (e->place == CLFCN_IN_VALUES && e->offset < bytes) { /* erase what is none */
            memset(at + e->offset, 0, e->param->count * sizeof(float));
            gaps += e->param->count * sizeof(float) % clfcn_net_align(rig->dev) != 0;
        }
    }
    assert_true(gaps > 0);
    for (size_t i = 0; i < bytes; ++i) {
        assert_int_equal(at[i], 0);
    }
}

static void test_gaps(void **state)
{
    const struct rig *rig = *state;
    const struct clfcn_params *ps = &rig->net->params;
    struct clfcn_err err;
    for (int i = 0; i < 2; ++i) {
        assert_gaps(rig, ps->values, ps->values_bytes);
        assert_gaps(rig, ps->grads, ps->trained_end);
        assert_gaps(rig, ps->states[0], ps->trained_end);
        ok(clfcn_net_init(rig->net, SEED, &err), &err);
    }
}

/* A network that has trained begins anew. */
static void test_state_is_cleared(void **state)
{
    const struct rig *rig = *state;
    const struct clfcn_params *ps = &rig->net->params;
    const size_t count = ps->trained_end / sizeof(float);
    struct clfcn_err err;
    for (size_t i = 0; i < count; ++i) {
        rig->data[i] = 1.0f;
    }
    ok(clfcn_buffer_write(rig->dev, ps->states[0], 0, ps->trained_end, rig->data, &err),
       &err);
    ok(clfcn_net_init(rig->net, SEED, &err), &err);
    ok(clfcn_buffer_read(rig->dev, ps->states[0], 0, ps->trained_end, rig->data, &err),
       &err);
    for (size_t i = 0; i < count; ++i) {
        assert_true(rig->data[i] == 0.0f);
    }
}

enum { PIXELS = 32 * 32, CLASSES = 3 };

static void assert_same_logits(struct clfcn_net *const nets[2], const float *images)
{
    static float logits[2][CLASSES * PIXELS];
    struct clfcn_err err;
    for (int i = 0; i < 2; ++i) {
        ok(clfcn_net_forward(nets[i], images, logits[i], &err), &err);
    }
    assert_memory_equal(logits[0], logits[1], sizeof(logits[0]));
}

/* Halve the running variance of the first batch norm, and double one layer's weights. */
static void change_weights(struct clfcn_net *net, float *data)
{
    struct clfcn_err err;
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        const bool weight = strcmp(t.name, "deconv5.weight") == 0;
        if (weight || strcmp(t.name, "bn1.running_var") == 0) {
            ok(clfcn_net_tensor_read(net, i, data, &err), &err);
            for (size_t j = 0; j < t.bytes / sizeof(*data); ++j) {
                data[j] *= weight ? 2.0f : 0.5f;
            }
            ok(clfcn_net_tensor_write(net, i, data, &err), &err);
        }
    }
}

/* It does several layers in one and keeps what depends on the weights alone, which gives
 * the same bits, with new weights too. */
static void test_inference(void **state)
{
    struct rig *rig = *state;
    static float images[3 * PIXELS];
    struct clfcn_err err;
    struct clfcn_rng rng;
    clfcn_rng_init(&rng, SEED, "images", 0, 0);
    for (int i = 0; i < 3 * PIXELS; ++i) {
        images[i] = (float)clfcn_rng_normal(&rng);
    }
    for (int arch = CLFCN_FCN32S; arch <= CLFCN_FCNS; ++arch) {
        struct clfcn_net_desc desc = *clfcn_net_get_desc(rig->net);
        struct clfcn_net *nets[2] = { NULL };
        desc.arch = (enum clfcn_arch)arch;
        for (int i = 0; i < 2; ++i) {
            const struct clfcn_net_options options = { .training = i == 1 };
            ok(clfcn_net_create(rig->dev, &desc, &options, &nets[i], &err), &err);
            ok(clfcn_net_init(nets[i], SEED, &err), &err);
        }
        assert_same_logits(nets, images);
        for (int i = 0; i < 2; ++i) {
            change_weights(nets[i], rig->data);
        }
        assert_same_logits(nets, images);
        for (int i = 0; i < 2; ++i) {
            ok(clfcn_net_init(nets[i], SEED + 1, &err), &err);
        }
        assert_same_logits(nets, images);
        clfcn_net_destroy(&nets[0]);
        clfcn_net_destroy(&nets[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_state_is_cleared),
        cmocka_unit_test(test_inference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
