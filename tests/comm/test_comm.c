/* test_comm.c - what ranks tell each other. Run by mpirun; all ranks take the same steps,
 * and the first one reports. */
#include "../../host/comm/allreduce.h"
#include "../../host/comm/comm.h"
#include "../../host/comm/wire.h"
#include "../../host/util/err.h"
#include "../../host/util/sys.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct clfcn_comm *comm;
static struct clfcn_err err;
static int rank, size;

/* Some number that every rank knows: element i of a rank's vector. Signs and exponents
 * vary, so that the order of summation shows in the bits. */
static double number(int of_rank, size_t i, int salt)
{
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u +
                 (uint64_t)(of_rank + 1) * 0x100000001b3u +
                 (uint64_t)salt * 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    const double fraction = (double)(x >> 12) / 4503599627370496.0;
    return ldexp(fraction - 0.5, (int)(x & 31) - 10);
}

static void test_everybody_knows_everybody(void **state)
{
    char device[32];
    snprintf(device, sizeof(device), "device %d", rank);
    assert_true(rank >= 0 && rank < size);
    assert_int_equal(clfcn_comm_local_rank(comm), rank); /* all on this machine */
    assert_int_equal(clfcn_comm_local_size(comm), size);
    assert_string_equal(clfcn_comm_device(comm, size - 1), "");
    assert_int_equal(clfcn_comm_introduce(comm, device, &err), CLFCN_OK);
    for (int r = 0; r < size; ++r) {
        snprintf(device, sizeof(device), "device %d", r);
        assert_string_equal(clfcn_comm_device(comm, r), device);
        assert_string_not_equal(clfcn_comm_host(comm, r), "");
    }
}

static void test_gather(void **state)
{
    const int mine[2] = { 10 * rank, 10 * rank + 1 };
    int *all = calloc((size_t)size, sizeof(mine));
    assert_int_equal(clfcn_comm_gather(comm, mine, sizeof(mine), all, &err), CLFCN_OK);
    for (int r = 0; r < size; ++r) {
        assert_int_equal(all[2 * r], 10 * r);
        assert_int_equal(all[2 * r + 1], 10 * r + 1);
    }
    free(all);
}

static void test_sum_is_in_the_order_of_ranks(void **state)
{
    static const size_t counts[] = { 0, 1, 7, 1024, 1025, 10007 };
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); ++c) {
        double *values = calloc(counts[c] + 1, sizeof(*values));
        for (size_t i = 0; i < counts[c]; ++i) {
            values[i] = number(rank, i, (int)c);
        }
        assert_int_equal(clfcn_comm_sum(comm, values, counts[c], &err), CLFCN_OK);
        for (size_t i = 0; i < counts[c]; ++i) {
            double want = number(0, i, (int)c);
            for (int r = 1; r < size; ++r) {
                want += number(r, i, (int)c);
            }
            assert_memory_equal(&values[i], &want, sizeof(want));
        }
        assert_true(values[counts[c]] == 0.0);
        free(values);
    }
}

static void test_broadcast(void **state)
{
    const size_t bytes = (1 << 20) + 12345;
    unsigned char *data = malloc(bytes);
    for (size_t i = 0; i < bytes; ++i) {
        data[i] = rank == 0 ? (unsigned char)(i * 7 + i / 251) : 0;
    }
    assert_int_equal(clfcn_comm_broadcast(comm, data, bytes, &err), CLFCN_OK);
    for (size_t i = 0; i < bytes; ++i) {
        assert_int_equal(data[i], (unsigned char)(i * 7 + i / 251));
    }
    free(data);
}

/* Rank r's text is r+1 letters long, that of rank 1 NULL. */
static void test_gather_text(void **state)
{
    char mine[16] = "", **all;
    memset(mine, 'a' + rank, (size_t)rank + 1);
    assert_int_equal(clfcn_comm_gather_text(comm, rank == 1 ? NULL : mine, &all, &err),
                     CLFCN_OK);
    for (int r = 0; r < size; ++r) {
        if (r == 1) {
            assert_null(all[r]);
        } else {
            assert_int_equal(strlen(all[r]), r + 1);
            assert_int_equal(all[r][r], 'a' + r);
        }
    }
    free(all);
}

static void test_agree(void **state)
{
    assert_int_equal(clfcn_comm_agree(comm, CLFCN_OK, &err), CLFCN_OK);
    /* The last two fail, with reasons of their own. */
    int rc = rank == size - 1 ? CLFCN_EIO : rank == size - 2 ? CLFCN_EDATA : CLFCN_OK;
    struct clfcn_err why = { 0 };
    if (rc < 0) {
        clfcn_err_set(&why, rc, 40 + rank, "file %d is bad", rank);
    }
    rc = clfcn_comm_agree(comm, rc, &why);
    assert_int_equal(rc, CLFCN_EDATA);
    assert_int_equal(why.code, CLFCN_EDATA);
    assert_int_equal(why.native, 40 + size - 2);
    char want[64], front[64];
    snprintf(want, sizeof(want), "file %d is bad", size - 2);
    snprintf(front, sizeof(front), "rank %d (host ", size - 2);
    if (rank == size - 2) {
        assert_string_equal(why.msg, want);
    } else {
        assert_true(strncmp(why.msg, front, strlen(front)) == 0);
        assert_non_null(strstr(why.msg, want));
        assert_non_null(strstr(why.msg, clfcn_comm_device(comm, size - 2)));
    }
    /* The ranks can go on after it. */
    assert_int_equal(clfcn_comm_agree(comm, CLFCN_OK, &err), CLFCN_OK);
}

/* What a vector's element becomes: by way of the messages' rounding for fp16. */
static void reference(float *want, size_t count, enum clfcn_wire wire, int salt)
{
    /* Parts as allreduce.c cuts them, for fewer than 256 Ki elements a rank. */
    for (int p = 0; p < size; ++p) {
        const size_t first = count * (size_t)p / (size_t)size;
        const size_t n = count * (size_t)(p + 1) / (size_t)size - first;
        float *values = calloc(n + 1, sizeof(*values));
        double *sums = calloc(n + 1, sizeof(*sums));
        void *message = malloc(clfcn_wire_bytes(wire, n) + 1);
        for (size_t i = 0; i < n; ++i) {
            sums[i] = -0.0;
        }
        for (int r = 0; r < size; ++r) {
            for (size_t i = 0; i < n; ++i) {
                values[i] = (float)number(r, first + i, salt);
            }
            clfcn_wire_encode(wire, values, n, message);
            clfcn_wire_decode(wire, message, n, values);
            for (size_t i = 0; i < n; ++i) {
                sums[i] += (double)values[i];
            }
        }
        for (size_t i = 0; i < n; ++i) {
            values[i] = (float)sums[i];
        }
        clfcn_wire_encode(wire, values, n, message);
        clfcn_wire_decode(wire, message, n, want + first);
        free(values);
        free(sums);
        free(message);
    }
}

enum { SUMS = 14, ROUNDS = 3 };

static void finish(struct clfcn_allreduce **sums, int count)
{
    for (int left = count; left > 0;) {
        left = 0;
        /* Each rank looks in another order. */
        for (int i = 0; i < count; ++i) {
            bool done = false;
            const int at = (i * 5 + rank) % count;
            assert_int_equal(clfcn_allreduce_test(sums[at], &done, &err), CLFCN_OK);
            left += done ? 0 : 1;
        }
        if (left > 0) {
            assert_int_equal(clfcn_comm_rest(comm, true, &err), CLFCN_OK);
        }
    }
}

static void test_overlapping_allreduces(void **state)
{
    const size_t k = (size_t)size;
    const size_t counts[SUMS / 2] = { 0, 1, k - 1, k, k + 1, 5000, 100003 };
    struct clfcn_allreduce *sums[SUMS];
    float *values[SUMS];
    for (int s = 0; s < SUMS; ++s) {
        values[s] = calloc(counts[s / 2] + 1, sizeof(float));
        assert_int_equal(clfcn_allreduce_create(comm, counts[s / 2],
                                                (enum clfcn_wire)(s % 2), &sums[s], &err),
                         CLFCN_OK);
    }
    for (int round = 0; round < ROUNDS; ++round) {
        for (int s = 0; s < SUMS; ++s) {
            for (size_t i = 0; i < counts[s / 2]; ++i) {
                values[s][i] = (float)number(rank, i, s + SUMS * round);
            }
            assert_int_equal(clfcn_allreduce_start(sums[s], values[s], &err), CLFCN_OK);
        }
        finish(sums, SUMS);
        for (int s = 0; s < SUMS; ++s) {
            const size_t bytes = counts[s / 2] * sizeof(float);
            float *want = malloc(bytes + 1);
            reference(want, counts[s / 2], (enum clfcn_wire)(s % 2), s + SUMS * round);
            if (bytes > 0) {
                assert_memory_equal(values[s], want, bytes);
            }
            assert_true(values[s][counts[s / 2]] == 0.0f);
            free(want);
        }
    }
    for (int s = 0; s < SUMS; ++s) {
        clfcn_allreduce_destroy(&sums[s]);
        assert_null(sums[s]);
        free(values[s]);
    }
}

/* Several parts a rank, and a look at what it costs. */
static void test_a_long_allreduce(void **state)
{
    const size_t count = 1500011;
    float *values = malloc(count * sizeof(*values));
    struct clfcn_allreduce *sum;
    for (size_t i = 0; i < count; ++i) {
        values[i] = (float)number(rank, i, 99);
    }
    assert_int_equal(clfcn_allreduce_create(comm, count, CLFCN_WIRE_FP32, &sum, &err),
                     CLFCN_OK);
    clfcn_comm_take_traffic(comm);
    assert_int_equal(clfcn_allreduce_start(sum, values, &err), CLFCN_OK);
    finish(&sum, 1);
    const double moved = clfcn_comm_take_traffic(comm);
    for (size_t i = 0; i < count; ++i) {
        double want = (double)(float)number(0, i, 99);
        for (int r = 1; r < size; ++r) {
            want += (double)(float)number(r, i, 99);
        }
        assert_true(values[i] == (float)want);
    }
    /* Each rank sends and receives 2 (K-1)/K of the vector. */
    const double least = 4.0 * (size - 1) / size * (double)count * sizeof(float);
    assert_true(moved > 0.99 * least && moved < 1.01 * least);
    clfcn_allreduce_destroy(&sum);
    free(values);
}

static void test_what_is_not_finite_reaches_all(void **state)
{
    enum { N = 1000 };
    for (int wire = 0; wire < 2; ++wire) {
        struct clfcn_allreduce *sum;
        float values[N];
        for (int i = 0; i < N; ++i) {
            values[i] = 1.0f;
        }
        values[3] = rank == size - 1 ? NAN : 1.0f;
        values[N - 2] = rank == 0 ? -INFINITY : 1.0f;
        values[N / 2] = rank == 0 ? INFINITY : rank == 1 ? -INFINITY : 1.0f;
        assert_int_equal(
            clfcn_allreduce_create(comm, N, (enum clfcn_wire)wire, &sum, &err), CLFCN_OK);
        assert_int_equal(clfcn_allreduce_start(sum, values, &err), CLFCN_OK);
        finish(&sum, 1);
        for (int i = 0; i < N; ++i) {
            if (i == 3 || i == N / 2) {
                assert_true(isnan(values[i]));
            } else {
                assert_true(values[i] == (i == N - 2 ? -INFINITY : (float)size));
            }
        }
        clfcn_allreduce_destroy(&sum);
    }
}

/* On a busy machine a rank may begin so late that it has nobody to wait for: hardly in
 * all rounds. */
static void test_waiting_is_counted(void **state)
{
    double most = 0.0;
    for (int i = 0; i < 10; ++i) {
        double one = 1.0;
        clfcn_comm_take_wait(comm);
        if (rank == 0) {
            usleep(50000);
        }
        const double begun = clfcn_clock();
        assert_int_equal(clfcn_comm_sum(comm, &one, 1, &err), CLFCN_OK);
        const double took = clfcn_clock() - begun, waited = clfcn_comm_take_wait(comm);
        assert_true(waited >= 0.0 && waited <= took);
        assert_true(clfcn_comm_take_wait(comm) == 0.0);
        most = waited > most ? waited : most;
    }
    assert_true(rank == 0 || most > 0.01);
}

static void test_one_process_alone(void **state)
{
    struct clfcn_comm *none = NULL;
    double value = 2.0;
    int mine = 5, all = 0;
    char **text;
    assert_int_equal(clfcn_comm_rank(none), 0);
    assert_int_equal(clfcn_comm_size(none), 1);
    assert_int_equal(clfcn_comm_local_rank(none), 0);
    assert_int_equal(clfcn_comm_local_size(none), 1);
    assert_string_equal(clfcn_comm_host(none, 0), "");
    assert_string_equal(clfcn_comm_device(none, 0), "");
    assert_int_equal(clfcn_comm_introduce(none, "device", &err), CLFCN_OK);
    assert_int_equal(clfcn_comm_sum(none, &value, 1, &err), CLFCN_OK);
    assert_true(value == 2.0);
    assert_int_equal(clfcn_comm_gather(none, &mine, sizeof(mine), &all, &err), CLFCN_OK);
    assert_int_equal(all, 5);
    assert_int_equal(clfcn_comm_broadcast(none, &mine, sizeof(mine), &err), CLFCN_OK);
    assert_int_equal(clfcn_comm_gather_text(none, "text", &text, &err), CLFCN_OK);
    assert_string_equal(text[0], "text");
    free(text);
    assert_int_equal(clfcn_comm_agree(none, CLFCN_EDATA, &err), CLFCN_EDATA);
    assert_int_equal(clfcn_comm_rest(none, true, &err), CLFCN_OK);
    clfcn_err_set(&err, CLFCN_EIO, 0, "nobody is told");
    clfcn_comm_fail(none, &err);
    assert_true(clfcn_comm_take_traffic(none) == 0.0);
    assert_true(clfcn_comm_take_wait(none) == 0.0);
    clfcn_comm_close(&none, CLFCN_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everybody_knows_everybody),
        cmocka_unit_test(test_gather),
        cmocka_unit_test(test_sum_is_in_the_order_of_ranks),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_gather_text),
        cmocka_unit_test(test_overlapping_allreduces),
        cmocka_unit_test(test_a_long_allreduce),
        cmocka_unit_test(test_what_is_not_finite_reaches_all),
        cmocka_unit_test(test_waiting_is_counted),
        cmocka_unit_test(test_one_process_alone),
        cmocka_unit_test(test_agree),
    };
    int failed = clfcn_comm_open(&comm, &err) < 0;
    if (failed) {
        fprintf(stderr, "%s\n", err.msg);
    }
    rank = clfcn_comm_rank(comm);
    size = clfcn_comm_size(comm);
    if (argc < 2 || size != atoi(argv[1])) {
        fprintf(stderr, "%d ranks instead of %s\n", size, argc > 1 ? argv[1] : "?");
        failed = 1;
    }
    if (rank > 0) {
        dup2(2, 1); /* stdout is the first rank's */
    }
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    clfcn_comm_close(&comm, failed ? CLFCN_EINVAL : CLFCN_OK);
    return failed > 0;
}
