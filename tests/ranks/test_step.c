/* test_step.c - the steps of several ranks are those of one process on the whole batch.
 *
 * Every rank runs this under mpirun; all build the network with a share of the batch,
 * rank 0 also one of the whole, which is what it compares with. */
#include "../../host/comm/comm.h"
#include "../../host/device/dev.h"
#include "../../host/net/net.h"
#include "../../host/net/net_impl.h"
#include "../../host/net/spoiled.h"
#include "../../host/net/unite.h"
#include "../../host/util/hash.h"
#include "../../host/util/rng.h"
#include <math.h>
#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32, BATCH = 6, CLASSES = 3, PLANE = SIDE * SIDE };

static struct clfcn_comm *comm;
static struct clfcn_dev *dev;
static bool spoils; /* gradients that this rank sends */

/* In place of MPI's, which is weak for such a purpose. What is no gradient is smaller. */
int MPI_Isend(const void *buf, int count, MPI_Datatype type, int to, int tag,
              MPI_Comm among, MPI_Request *request)
{
    if (spoils && count > 4096) {
        memcpy((void *)buf, &(float){ NAN }, sizeof(float));
    }
    return PMPI_Isend(buf, count, type, to, tag, among, request);
}

static void ok(int rc, const struct clfcn_err *err)
{
    if (rc != CLFCN_OK) {
        fail_msg("%s", err->msg);
    }
}

/* Unequal shares of BATCH, as many as there are ranks. */
static int share_of(int rank)
{
    static const int shares[][4] = { { 6 }, { 4, 2 }, { 3, 1, 2 }, { 1, 2, 1, 2 } };
    return shares[clfcn_comm_size(comm) - 1][rank];
}

static int first_of(int rank)
{
    int first = 0;
    for (int i = 0; i < rank; ++i) {
        first += share_of(i);
    }
    return first;
}

struct batch {
    float *images;   /* [3][count][SIDE][SIDE] */
    uint8_t *labels; /* [count][SIDE][SIDE] */
    int count;
};

/* Images first .. first+count-1 of step's batch, each a function of step and its number.
 */
static struct batch batch_make(int step, int first, int count)
{
    struct batch b = { .count = count };
    b.images = malloc(3 * sizeof(float) * (size_t)count * PLANE);
    b.labels = malloc((size_t)count * PLANE);
    assert_true(b.images && b.labels);
    for (int n = 0; n < count; ++n) {
        struct clfcn_rng rng;
        clfcn_rng_init(&rng, 3, "image", (uint64_t)step, (uint64_t)(first + n));
        for (int c = 0; c < 3; ++c) {
            float *plane = b.images + ((size_t)c * (size_t)count + (size_t)n) * PLANE;
            for (int i = 0; i < PLANE; ++i) {
                plane[i] = (float)clfcn_rng_normal(&rng);
            }
        }
        /* Shares differ in how many pixels count. */
        for (int i = 0; i < PLANE; ++i) {
            const uint32_t k = clfcn_rng_below(&rng, CLASSES + 1 + (uint32_t)(first + n));
            b.labels[(size_t)n * PLANE + (size_t)i] =
                k < CLASSES ? (uint8_t)k : CLFCN_IGNORE;
        }
    }
    return b;
}

static void batch_free(struct batch *b)
{
    free(b->images);
    free(b->labels);
}

static struct clfcn_net *create(struct clfcn_net_options how, int count)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = SIDE,
                                         .height = SIDE,
                                         .batch = count };
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    how.training = true;
    ok(clfcn_net_create(dev, &desc, &how, &net, &err), &err);
    ok(clfcn_net_init(net, 7, &err), &err);
    return net;
}

static float step(struct clfcn_net *net, int number, int first, int count, double lr)
{
    struct batch b = batch_make(number, first, count);
    const struct clfcn_net_input in = { b.images, b.labels, -1 };
    const struct clfcn_net_hyper hyper = {
        .lr = lr, .momentum = 0.7, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .update = 1
    };
    struct clfcn_err err;
    float loss = NAN;
    ok(clfcn_net_upload(net, 0, &in, &err), &err);
    ok(clfcn_net_step(net, 0, &hyper, &err), &err);
    ok(clfcn_net_wait(net, 0, &loss, &err), &err);
    batch_free(&b);
    return loss;
}

/* The gradients of every parameter, one after the other, or the weights and statistics.
 */
static float *read_all(struct clfcn_net *net, bool gradients, size_t *count)
{
    float *all = NULL;
    struct clfcn_err err;
    *count = 0;
    for (int i = 0; i < clfcn_net_tensor_count(net, false); ++i) {
        struct clfcn_net_tensor t;
        clfcn_net_tensor_info(net, i, &t);
        const bool statistic = strstr(t.name, ".running_") != NULL;
        if (t.dtype != CLFCN_F32 || (gradients && statistic)) {
            continue;
        }
        all = realloc(all, *count * sizeof(float) + t.bytes);
        assert_non_null(all);
        ok(gradients ? clfcn_net_gradient_read(net, i, all + *count, &err)
                     : clfcn_net_tensor_read(net, i, all + *count, &err),
           &err);
        *count += t.bytes / sizeof(float);
    }
    return all;
}

/* Norm of a - b over that of b. */
static double difference(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; ++i) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
    }
    return sqrt(d / s);
}

static void assert_alike_everywhere(const float *v, size_t n)
{
    uint64_t mine = clfcn_hash_words(CLFCN_HASH_INIT, v, n * sizeof(*v)), all[4];
    struct clfcn_err err;
    ok(clfcn_comm_gather(comm, &mine, sizeof(mine), all, &err), &err);
    for (int i = 1; i < clfcn_comm_size(comm); ++i) {
        assert_true(all[i] == all[0]);
    }
}

/* One step of the ranks on a batch against one of the whole batch; tells all how far the
 * gradients are apart. */
static double first_step(struct clfcn_net_options how, int number)
{
    const int rank = clfcn_comm_rank(comm);
    size_t count, whole_count;
    struct clfcn_err err;
    double far = 0;
    how.comm = comm;
    struct clfcn_net *net = create(how, share_of(rank));
    const float loss = step(net, number, first_of(rank), share_of(rank), 0.01);
    float *grads = read_all(net, true, &count);
    clfcn_net_destroy(&net);
    assert_alike_everywhere(grads, count);
    if (rank == 0) {
        how.comm = NULL;
        net = create(how, BATCH);
        const float want = step(net, number, 0, BATCH, 0.01);
        float *whole = read_all(net, true, &whole_count);
        clfcn_net_destroy(&net);
        far = difference(grads, whole, count);
        print_message("# loss %.9g, in one process %.9g; gradients differ by %.2g\n",
                      (double)loss, (double)want, far);
        assert_true(count == whole_count);
        assert_true(fabs(loss - want) <= 1e-5 * fabs(want));
        free(whole);
    }
    free(grads);
    ok(clfcn_comm_broadcast(comm, &far, sizeof(far), &err), &err);
    return far;
}

/* Where rounding flips a single decision of a ReLU or a max pooling, all gradients move
 * by some thousandths, between any two programs: then another batch has to do. */
static void compare_first_step(struct clfcn_net_options how, double limit)
{
    enum { BATCHES = 4 };
    int number = 0;
    double far = first_step(how, number);
    while (far > limit && ++number < BATCHES) {
        assert_true(far <= 2e-2);
        far = first_step(how, number);
    }
    assert_true(far <= limit);
}

static void test_first_step_of_every_loss(void **state)
{
    static const enum clfcn_loss losses[] = { CLFCN_LOSS_BCE, CLFCN_LOSS_CE,
                                              CLFCN_LOSS_DICE, CLFCN_LOSS_FOCAL };
    static const float weights[CLASSES] = { 0.5f, 2.0f, 1.25f };
    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); ++i) {
        compare_first_step((struct clfcn_net_options){ .loss = losses[i],
                                                       .class_weights = weights,
                                                       .focal_gamma = 2,
                                                       .sync_batchnorm = true },
                           1e-3);
    }
}

/* With 4 images at a time the numbers that travel have 11 bits. */
static void test_half_floats_lose_what_they_must(void **state)
{
    compare_first_step(
        (struct clfcn_net_options){ .sync_batchnorm = true, .wire = CLFCN_WIRE_FP16 },
        2e-3);
}

static void test_a_frozen_backbone_sends_nothing(void **state)
{
    struct clfcn_net_options how = { .sync_batchnorm = true, .freeze_backbone = true };
    const int rank = clfcn_comm_rank(comm);
    how.comm = comm;
    struct clfcn_net *net = create(how, share_of(rank));
    const float loss = step(net, 0, first_of(rank), share_of(rank), 0.01);
    assert_true(isfinite(loss));
    clfcn_net_destroy(&net);
}

/* A step where some ranks update layer by layer, to save memory, gives the weights of one
 * where none does. */
static void compare_thrifty(bool thrifty)
{
    struct clfcn_net_options how = { .sync_batchnorm = true, .comm = comm };
    const int rank = clfcn_comm_rank(comm);
    size_t count;
    struct clfcn_net *net = create(how, share_of(rank));
    struct clfcn_net_memory memory;
    clfcn_net_get_memory(net, &memory);
    step(net, 0, first_of(rank), share_of(rank), 0.01);
    float *plain = read_all(net, false, &count);
    clfcn_net_destroy(&net);
    /* Half of the gradients' memory: they then share it. */
    how.mem_bytes = thrifty ? memory.total - memory.gradients / 2 : 0;
    net = create(how, share_of(rank));
    clfcn_net_get_memory(net, &memory);
    assert_true((memory.gradients == 0) == thrifty);
    step(net, 0, first_of(rank), share_of(rank), 0.01);
    float *mixed = read_all(net, false, &count);
    clfcn_net_destroy(&net);
    assert_true(difference(mixed, plain, count) <= 1e-5);
    assert_alike_everywhere(mixed, count);
    free(plain);
    free(mixed);
}

static void test_layer_by_layer(void **state)
{
    compare_thrifty(true);
}

/* Ranks that save memory and ranks that do not cut and wait alike; else they would wait
 * for each other for ever. */
static void test_one_rank_layer_by_layer(void **state)
{
    compare_thrifty(clfcn_comm_rank(comm) == 0);
}

/* Where a rank has no room for the network, no other waits for it. */
static void test_a_rank_without_room_is_no_riddle(void **state)
{
    const struct clfcn_net_desc desc = { .arch = CLFCN_FCNS,
                                         .backbone = CLFCN_VGG11,
                                         .classes = CLASSES,
                                         .width = SIDE,
                                         .height = SIDE,
                                         .batch = share_of(clfcn_comm_rank(comm)) };
    struct clfcn_net_options how = { .training = true, .comm = comm };
    struct clfcn_net *net = NULL;
    struct clfcn_err err;
    how.mem_bytes = clfcn_comm_rank(comm) + 1 == clfcn_comm_size(comm) ? 1 << 20 : 0;
    assert_int_equal(clfcn_net_create(dev, &desc, &how, &net, &err), CLFCN_EDEVMEM);
    assert_null(net);
    assert_non_null(strstr(err.msg, "--mem"));
}

/* Ten steps: the losses of one process, and twice the same bits in all ranks. */
static void test_ten_steps(void **state)
{
    enum { STEPS = 10 };
    const int rank = clfcn_comm_rank(comm);
    float losses[2][STEPS], want[STEPS];
    uint64_t hash[2];
    struct clfcn_net_options how = { .sync_batchnorm = true, .comm = comm };
    for (int round = 0; round < 2; ++round) {
        size_t count;
        struct clfcn_net *net = create(how, share_of(rank));
        for (int i = 0; i < STEPS; ++i) {
            losses[round][i] = step(net, i, first_of(rank), share_of(rank), 0.01);
        }
        float *weights = read_all(net, false, &count);
        assert_alike_everywhere(weights, count);
        hash[round] = clfcn_hash_words(CLFCN_HASH_INIT, weights, count * sizeof(float));
        free(weights);
        clfcn_net_destroy(&net);
    }
    assert_memory_equal(losses[0], losses[1], sizeof(losses[0]));
    assert_true(hash[0] == hash[1]);
    if (rank == 0) {
        how.comm = NULL;
        struct clfcn_net *net = create(how, BATCH);
        for (int i = 0; i < STEPS; ++i) {
            want[i] = step(net, i, 0, BATCH, 0.01);
            print_message("# step %d: %.7g, in one process %.7g\n", i + 1,
                          (double)losses[0][i], (double)want[i]);
        }
        clfcn_net_destroy(&net);
        for (int i = 0; i < STEPS; ++i) {
            assert_true(fabs(losses[0][i] - want[i]) <=
                        (i == 0 ? 1e-5 : 1e-2) * fabs(want[i]));
        }
    }
}

/* Statistics of shares differ; united they are the same, and weights are in any case. */
static void test_unsynchronised_statistics_are_averaged(void **state)
{
    const int rank = clfcn_comm_rank(comm);
    struct clfcn_net_options how = { .comm = comm };
    size_t count;
    int changed = -1;
    struct clfcn_err err;
    struct clfcn_net *net = create(how, share_of(rank));
    step(net, 0, first_of(rank), share_of(rank), 0.01);
    ok(clfcn_net_unite_statistics(net, (double)share_of(rank) / BATCH, &err), &err);
    float *united = read_all(net, false, &count);
    assert_alike_everywhere(united, count);
    ok(clfcn_net_unite(net, &changed, &err), &err);
    assert_int_equal(changed, 0);
    free(united);
    clfcn_net_destroy(&net);
}

/* What is not the same becomes rank 0's. */
static void test_unite(void **state)
{
    const int rank = clfcn_comm_rank(comm);
    struct clfcn_net_options how = { .comm = comm };
    struct clfcn_net *net = create(how, share_of(rank));
    struct clfcn_net_tensor t;
    struct clfcn_err err;
    int changed = -1;
    clfcn_net_tensor_info(net, 3, &t);
    float *v = malloc(t.bytes);
    assert_non_null(v);
    for (size_t i = 0; i < t.bytes / sizeof(float); ++i) {
        v[i] = (float)(rank + 5);
    }
    ok(clfcn_net_tensor_write(net, 3, v, &err), &err);
    ok(clfcn_net_unite(net, &changed, &err), &err);
    assert_int_equal(changed, clfcn_comm_size(comm) > 1);
    ok(clfcn_net_tensor_read(net, 3, v, &err), &err);
    for (size_t i = 0; i < t.bytes / sizeof(float); ++i) {
        assert_true(v[i] == 5);
    }
    free(v);
    clfcn_net_destroy(&net);
}

static int setup(void **state)
{
    struct clfcn_err err = { 0 };
    int rc = clfcn_dev_open("auto", &dev, &err);
    if (rc < 0) {
        fprintf(stderr, "%s\n", err.msg);
    }
    return rc;
}

static int teardown(void **state)
{
    const int live = atomic_load(&dev->live_objects);
    clfcn_dev_close(&dev);
    return live;
}

/* --- NaN --- */

/* A step in which rank 1 has a picture that holds NaN, or sends gradients that do. */
static struct clfcn_spoiled trace(bool picture, bool sends)
{
    const int rank = clfcn_comm_rank(comm);
    struct clfcn_net *net =
        create((struct clfcn_net_options){ .comm = comm, .sync_batchnorm = true },
               share_of(rank));
    struct batch b = batch_make(0, first_of(rank), share_of(rank));
    const struct clfcn_net_input in = { b.images, b.labels, -1 };
    const struct clfcn_net_hyper hyper = { .lr = 0.01, .update = 1, .eps = 1e-8 };
    struct clfcn_spoiled found;
    struct clfcn_err err;
    if (picture && rank == 1) {
        b.images[7] = NAN;
    }
    ok(clfcn_net_upload(net, 0, &in, &err), &err);
    spoils = sends && rank == 1;
    ok(clfcn_net_step_traced(net, 0, &hyper, &found, &err), &err);
    spoils = false;
    ok(clfcn_net_wait(net, 0, NULL, &err), &err);
    batch_free(&b);
    clfcn_net_destroy(&net);
    return found;
}

static void test_nothing_is_traced_where_all_are_numbers(void **state)
{
    assert_false(trace(false, false).found);
}

static void test_the_rank_with_nan_finds_it_first(void **state)
{
    const struct clfcn_spoiled found = trace(true, false);
    int times[4];
    struct clfcn_err err;
    assert_true(found.found);
    assert_true((found.by == CLFCN_BY_PICTURE) == (clfcn_comm_rank(comm) == 1));
    ok(clfcn_comm_gather(comm, &found.time, sizeof(int), times, &err), &err);
    assert_int_equal(times[1], CLFCN_TAP_UPLOAD);
    for (int i = 0; i < clfcn_comm_size(comm); ++i) {
        assert_true(i == 1 || times[i] > times[1]);
    }
}

static void test_nan_of_the_exchange_is_told_from_that_of_ranks(void **state)
{
    const struct clfcn_spoiled found = trace(false, true);
    assert_true(found.found && isnan(found.value));
    assert_int_equal(found.by, CLFCN_BY_EXCHANGE);
    assert_string_equal(found.pass, "exchange");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_step_of_every_loss),
        cmocka_unit_test(test_half_floats_lose_what_they_must),
        cmocka_unit_test(test_a_frozen_backbone_sends_nothing),
        cmocka_unit_test(test_layer_by_layer),
        cmocka_unit_test(test_one_rank_layer_by_layer),
        cmocka_unit_test(test_a_rank_without_room_is_no_riddle),
        cmocka_unit_test(test_ten_steps),
        cmocka_unit_test(test_unsynchronised_statistics_are_averaged),
        cmocka_unit_test(test_unite),
        cmocka_unit_test(test_nothing_is_traced_where_all_are_numbers),
        cmocka_unit_test(test_the_rank_with_nan_finds_it_first),
        cmocka_unit_test(test_nan_of_the_exchange_is_told_from_that_of_ranks),
    };
    struct clfcn_err err = { 0 };
    if (clfcn_comm_open(&comm, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    /* One voice is enough; the others' failures show in mpirun's status. */
    if (clfcn_comm_rank(comm) != 0 && !freopen("/dev/null", "w", stdout)) {
        return 1;
    }
    const int failed = cmocka_run_group_tests_name("step", tests, setup, teardown);
    clfcn_comm_close(&comm, failed ? CLFCN_EDATA : CLFCN_OK);
    return failed;
}
