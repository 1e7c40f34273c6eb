/* test_scaling.c - the model of training on several ranks, against cases worked out by
 * hand, and its parts of a step against the forecast of all of it. */
#include "../../host/net/scaling.h"
#include "../../host/device/dev.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double MIB = 1 << 20;

/* 1e9 bytes a second and 1 ms: 1 MiB a bucket takes 1.048576 ms on the wire. */
static const struct clfcn_link link = { .bytes_per_s = 1e9,
                                        .latency_s = 1e-3,
                                        .copy_bytes_per_s = INFINITY,
                                        .wire = CLFCN_WIRE_FP32,
                                        .sync_norm = false };

/* 10 ms forward, three layers backward, 2 ms of update; two buckets: 4 + 1 MiB and 1. */
static const struct clfcn_step_times step = {
    .forward_ms = 10,
    .layers = { { 20, 4 * 1048576.0 - 4, 0 }, { 30, 4, 0 }, { 5, 1048576.0, 0 } },
    .layer_count = 3,
    .rest_ms = 2
};

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9 * fmax(fabs(b), 1.0))) {
        fail_msg("%.12g, should be %.12g", a, b);
    }
}

static struct clfcn_scaled_step scale(const struct clfcn_step_times *t,
                                      const struct clfcn_link *l, int ranks)
{
    struct clfcn_scaled_step s;
    clfcn_scale_step(t, l, ranks, &s);
    return s;
}

static void test_one_rank_costs_nothing(void **state)
{
    struct clfcn_step_times t = step;
    struct clfcn_link l = link;
    t.layers[1].norm_channels = 64;
    l.sync_norm = true;
    const struct clfcn_scaled_step s = scale(&t, &l, 1);
    near(s.step_ms, 67);
    near(s.compute_ms, 67);
    near(s.exchange_ms, 0);
    near(s.norm_ms, 0);
    assert_int_equal(s.buckets, 0);
}

/* Four ranks: a bucket of n MiB takes 6 + 1.5 * 1.048576 n ms. The first begins 50 ms
 * into the backward pass of 55 ms and takes 12.291456, the second follows with 7.572864.
 */
static void test_buckets_in_order(void **state)
{
    const struct clfcn_scaled_step s = scale(&step, &link, 4);
    const double exchange = 12.291456 + 7.572864;
    assert_int_equal(s.buckets, 2);
    near(s.bytes, 5 * MIB);
    near(s.exchange_ms, exchange);
    near(s.latency_ms, 12);
    near(s.link_ms, 1.5 * 5 * 1.048576);
    near(s.hidden_ms, 5);
    near(s.step_ms, 67 + exchange - 5);
}

/* A bucket that the link is free for begins with its last layer's end: the first is gone
 * before the second is made. */
static void test_link_waits_for_the_layer(void **state)
{
    struct clfcn_step_times t = step;
    t.layers[2].ms = 100;
    const struct clfcn_scaled_step s = scale(&t, &link, 4);
    near(s.hidden_ms, 12.291456);
    near(s.step_ms, 162 + 7.572864);
}

/* Layers without gradients end no bucket, and after the last gradient hide it. */
static void test_frozen_layers_hide(void **state)
{
    struct clfcn_step_times t = step;
    t.layers[2].bytes = 0;
    t.layers[2].ms = 100;
    const struct clfcn_scaled_step s = scale(&t, &link, 4);
    assert_int_equal(s.buckets, 1);
    near(s.step_ms, 162);
    near(s.hidden_ms, s.exchange_ms);
    t.layers[0].bytes = t.layers[1].bytes = 0;
    assert_int_equal(scale(&t, &link, 4).buckets, 0);
}

/* A last bucket that is not full goes with the last layer that has gradients, though the
 * backward pass goes on. */
static void test_last_bucket_waits_for_no_more(void **state)
{
    struct clfcn_step_times t = step;
    t.layers[0].bytes = MIB;
    t.layers[2].bytes = 0;
    const struct clfcn_scaled_step s = scale(&t, &link, 4);
    assert_int_equal(s.buckets, 1);
    near(s.hidden_ms, 5);
    near(s.exchange_ms, 6 + 1.5 * 1e-6 * (MIB + 4));
}

static void test_each_layer_by_itself(void **state)
{
    struct clfcn_step_times t = step;
    t.each = true;
    const struct clfcn_scaled_step s = scale(&t, &link, 4);
    assert_int_equal(s.buckets, 3);
    near(s.latency_ms, 18);
}

static void test_without_limits_only_computing_counts(void **state)
{
    const struct clfcn_link free_link = { .bytes_per_s = INFINITY,
                                          .copy_bytes_per_s = INFINITY,
                                          .sync_norm = true };
    struct clfcn_step_times t = step;
    t.layers[0].norm_channels = 64;
    for (int k = 2; k < 2000; k *= 3) {
        near(scale(&t, &free_link, k).step_ms, 67);
    }
}

static void test_latency_grows_with_ranks_and_buckets(void **state)
{
    const struct clfcn_link slow = { .bytes_per_s = INFINITY,
                                     .latency_s = 0.1,
                                     .copy_bytes_per_s = INFINITY };
    for (int k = 2; k <= 512; k *= 4) {
        const struct clfcn_scaled_step s = scale(&step, &slow, k);
        near(s.exchange_ms, 2 * 2 * (k - 1) * 100.0);
        near(s.step_ms, 67 + s.exchange_ms - 5);
        assert_int_equal(clfcn_scaling_limit(&s, 67), CLFCN_LIMIT_LATENCY);
    }
}

/* Halves what is sent, but neither the messages nor what is copied. */
static void test_fp16_halves_what_is_sent(void **state)
{
    struct clfcn_link half = link;
    half.copy_bytes_per_s = 2e9;
    half.wire = CLFCN_WIRE_FP16;
    const struct clfcn_scaled_step s = scale(&step, &half, 4);
    near(s.link_ms, 0.5 * 1.5 * 5 * 1.048576);
    near(s.latency_ms, 12);
    near(s.copy_ms, 5 * 1.048576);
    near(s.exchange_ms, s.link_ms + s.latency_ms + s.copy_ms);
}

/* Once forward, once backward: three and two numbers a channel from each of three others.
 */
static void test_batch_norm_waits_twice(void **state)
{
    struct clfcn_step_times t = step;
    struct clfcn_link l = link;
    t.layers[0].norm_channels = 500;
    l.sync_norm = true;
    const double wait = 3 * (1 + 16 * 500 / 1e6), forward = 3 * (1 + 24 * 500 / 1e6);
    const struct clfcn_scaled_step s = scale(&t, &l, 4), without = scale(&t, &link, 4);
    near(s.norm_ms, forward + wait);
    near(s.step_ms, without.step_ms + forward + wait);
    near(without.norm_ms, 0);
    /* The one in the second layer's backward pass delays what is made after the first
     * bucket only, which so has longer to hide in. */
    t.layers[2].norm_channels = 500;
    near(scale(&t, &l, 4).hidden_ms, 5 + wait);
}

/* More of anything bad is never better, and what is hidden is part of the exchange. */
static void test_monotone(void **state)
{
    double before_ranks = 0.0;
    for (int k = 1; k <= 1024; k *= 2) {
        double before_rate = INFINITY;
        for (double rate = 1e6; rate <= 1e12; rate *= 10) {
            struct clfcn_link l = link;
            l.bytes_per_s = rate;
            const struct clfcn_scaled_step s = scale(&step, &l, k);
            assert_true(s.step_ms <= before_rate);
            assert_true(s.hidden_ms >= 0 && s.hidden_ms <= s.exchange_ms);
            assert_true(s.step_ms >= s.compute_ms);
            near(s.step_ms, s.compute_ms + s.norm_ms + s.exchange_ms - s.hidden_ms);
            before_rate = s.step_ms;
        }
        const double now = scale(&step, &link, k).step_ms;
        assert_true(now >= before_ranks);
        before_ranks = now;
    }
}

static void test_what_limits(void **state)
{
    struct clfcn_scaled_step s = { .compute_ms = 30,
                                   .norm_ms = 5,
                                   .exchange_ms = 40,
                                   .latency_ms = 8,
                                   .link_ms = 20,
                                   .copy_ms = 12,
                                   .hidden_ms = 0 };
    assert_int_equal(clfcn_scaling_limit(&s, 20), CLFCN_LIMIT_BANDWIDTH);
    assert_int_equal(clfcn_scaling_limit(&s, 5), CLFCN_LIMIT_SHARE);
    s.hidden_ms = 32; /* a fifth of each is left */
    assert_int_equal(clfcn_scaling_limit(&s, 20), CLFCN_LIMIT_SHARE);
    assert_int_equal(clfcn_scaling_limit(&s, 29), CLFCN_LIMIT_NORM);
    s.norm_ms = 3;
    assert_int_equal(clfcn_scaling_limit(&s, 29), CLFCN_LIMIT_BANDWIDTH);
    s.copy_ms = 25;
    assert_int_equal(clfcn_scaling_limit(&s, 29), CLFCN_LIMIT_COPY);
    s.latency_ms = 30;
    assert_int_equal(clfcn_scaling_limit(&s, 29), CLFCN_LIMIT_LATENCY);
}

/* The whole is what was measured, the passes share it as they were, and layers keep their
 * proportion. */
static void test_measured_step(void **state)
{
    struct clfcn_step_times t = step;
    struct clfcn_step_factors f = clfcn_step_compare(&step, 134, NAN);
    near(f.forward, 2);
    near(f.backward, 2);
    near(f.rest, 2);
    f = clfcn_step_compare(&step, 134, 0.5);
    clfcn_step_multiply(&t, &f);
    near(t.forward_ms, 65);
    near(clfcn_step_backward_ms(&t), 65);
    near(t.rest_ms, 4);
    near(clfcn_step_ms(&t), 134);
    near(t.layers[1].ms / t.layers[0].ms, 1.5);
}

/* --- a network's parts --- */

static struct clfcn_dev *dev;

static int begin(void **state)
{
    return clfcn_dev_open("auto", &dev, NULL) < 0 ? -1 : 0;
}

static int end(void **state)
{
    clfcn_dev_close(&dev);
    return 0;
}

static const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                            .backbone = CLFCN_VGG11,
                                            .classes = 2,
                                            .width = 64,
                                            .height = 64,
                                            .batch = 4 };

/* They add up to the forecast, whatever the network does to save memory. */
static void test_parts_are_the_whole(void **state)
{
    struct clfcn_net_options how = { .training = true };
    struct clfcn_step_times t;
    struct clfcn_net_forecast f;
    struct clfcn_net_memory memory;
    struct clfcn_err err;
    double share = 1.0;
    size_t usual = 0;
    bool in_parts = false;
    for (; share > 0.2; share -= 0.05) {
        how.mem_bytes = usual ? (size_t)(share * (double)usual) : 0;
        assert_int_equal(clfcn_net_forecast(dev, &desc, &how, &f, &err), CLFCN_OK);
        assert_int_equal(clfcn_step_times_forecast(dev, &desc, &how, &t, &memory, &err),
                         CLFCN_OK);
        near(clfcn_step_ms(&t), f.ms);
        assert_int_equal(memory.total, f.memory.total);
        in_parts = in_parts || (f.thrift && strstr(f.thrift, "parts"));
        usual = usual ? usual : memory.total;
        free(f.thrift);
    }
    assert_true(in_parts);
}

/* Every trained number is exchanged once, the decoder's before the backbone's; a frozen
 * backbone's not at all. */
static void test_gradients_of_a_network(void **state)
{
    struct clfcn_net_options how = { .training = true };
    struct clfcn_step_times all, decoder;
    struct clfcn_err err;
    int norms = 0, channels = 0;
    assert_int_equal(clfcn_step_times_forecast(dev, &desc, &how, &all, NULL, &err),
                     CLFCN_OK);
    how.freeze_backbone = true;
    assert_int_equal(clfcn_step_times_forecast(dev, &desc, &how, &decoder, NULL, &err),
                     CLFCN_OK);
    for (int i = 0; i < all.layer_count; ++i) {
        norms += all.layers[i].norm_channels > 0;
        channels += all.layers[i].norm_channels;
    }
    assert_int_equal(norms, 5);
    assert_int_equal(channels, 512 + 256 + 128 + 64 + 32);
    /* VGG-11's convolutions with their biases. */
    const double backbone = 4.0 * 9220480;
    near(clfcn_step_bytes(&all) - clfcn_step_bytes(&decoder), backbone);
    near(all.layers[0].bytes, 4.0 * (32 * 2 + 2));
    near(all.layers[all.layer_count - 1].bytes, 4.0 * (64 * 27 + 64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_rank_costs_nothing),
        cmocka_unit_test(test_buckets_in_order),
        cmocka_unit_test(test_link_waits_for_the_layer),
        cmocka_unit_test(test_frozen_layers_hide),
        cmocka_unit_test(test_last_bucket_waits_for_no_more),
        cmocka_unit_test(test_each_layer_by_itself),
        cmocka_unit_test(test_without_limits_only_computing_counts),
        cmocka_unit_test(test_latency_grows_with_ranks_and_buckets),
        cmocka_unit_test(test_fp16_halves_what_is_sent),
        cmocka_unit_test(test_batch_norm_waits_twice),
        cmocka_unit_test(test_monotone),
        cmocka_unit_test(test_what_limits),
        cmocka_unit_test(test_measured_step),
        cmocka_unit_test_setup_teardown(test_parts_are_the_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_gradients_of_a_network, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
