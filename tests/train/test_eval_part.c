/* Parts of an evaluation make the same bits as the whole, whatever the ranks and ranges.
 * The ranks are threads, and what they tell each other goes through this file's own
 * clfcn_comm_...(). */
#include "../../host/data/share.h"
#include "../../host/train/eval_part.h"
#include "../../host/util/thread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 23, CLASSES = 3, MAX_RANKS = 5, MAX_NUMBERS = 64 };

/* A sum is there when all ranks have brought their numbers. */
static struct {
    struct clfcn_mutex lock;
    struct clfcn_cond changed;
    double sums[MAX_RANKS][MAX_NUMBERS], total[MAX_NUMBERS];
    int ranks, here, round;
} job;

struct clfcn_comm {
    int rank, rounds;
};

int __wrap_clfcn_comm_rank(const struct clfcn_comm *comm);
int __wrap_clfcn_comm_size(const struct clfcn_comm *comm);
int __wrap_clfcn_comm_sum(struct clfcn_comm *comm, double *values, size_t count,
                          struct clfcn_err *err);

int __wrap_clfcn_comm_rank(const struct clfcn_comm *comm)
{
    return comm != NULL ? comm->rank : 0;
}

int __wrap_clfcn_comm_size(const struct clfcn_comm *comm)
{
    return comm != NULL ? job.ranks : 1;
}

int __wrap_clfcn_comm_sum(struct clfcn_comm *comm, double *values, size_t count,
                   struct clfcn_err *err)
{
    if (comm == NULL) {
        return CLFCN_OK;
    }
    clfcn_mutex_lock(&job.lock);
    const int round = job.round;
    memcpy(job.sums[comm->rank], values, count * sizeof(*values));
    if (++job.here == job.ranks) {
        for (size_t i = 0; i < count; ++i) {
            job.total[i] = 0;
            for (int r = 0; r < job.ranks; ++r) {
                job.total[i] += job.sums[r][i];
            }
        }
        job.here = 0;
        ++job.round;
        clfcn_cond_broadcast(&job.changed);
    }
    while (job.round == round) {
        clfcn_cond_wait(&job.changed, &job.lock);
    }
    /* The next round cannot end before this rank has come to it. */
    memcpy(values, job.total, count * sizeof(*values));
    clfcn_mutex_unlock(&job.lock);
    ++comm->rounds;
    return CLFCN_OK;
}

/* What an evaluation has of each image: sums whose order shows in the last bits. */
static struct clfcn_loss_sum losses[IMAGES];
static struct clfcn_confusion confusions[IMAGES];

static int make(void **state)
{
    for (int i = 0; i < IMAGES; ++i) {
        struct clfcn_loss_sum *s = &losses[i];
        s->labelled = 100 + 7 * i;
        s->sum = exp(((i * 37) % 23) - 9) / 3;
        s->terms = (double)s->labelled * 0.1;
        if (clfcn_confusion_init(&confusions[i], CLASSES, NULL) < 0) {
            return -1;
        }
        for (int c = 0; c < CLASSES; ++c) {
            s->apart[c] = exp(((i * 11 + c) % 23) - 12) / 7;
            s->size[c] = s->apart[c] + 1.0 / (i + c + 1);
        }
        for (int k = 0; k < CLASSES * CLASSES; ++k) {
            confusions[i].counts[k] = (UINT64_C(1) << 45) + (uint64_t)(i * 131 + k * 17);
        }
    }
    clfcn_mutex_init(&job.lock);
    clfcn_cond_init(&job.changed);
    return 0;
}

static int unmake(void **state)
{
    for (int i = 0; i < IMAGES; ++i) {
        clfcn_confusion_finish(&confusions[i]);
    }
    clfcn_cond_finish(&job.changed);
    clfcn_mutex_finish(&job.lock);
    return 0;
}

struct rank {
    struct clfcn_thread thread;
    struct clfcn_comm comm;
    struct clfcn_loss_how how;
    struct clfcn_eval_part part;
    int first, count;
    int rc;
};

/* A rank's images, and then what all ranks make of theirs. */
static void run_rank(void *arg)
{
    struct rank *r = arg;
    r->rc = clfcn_eval_part_init(&r->part, &r->how, CLASSES, r->comm.rank == 0, NULL);
    for (int i = r->first; i < r->first + r->count && r->rc == CLFCN_OK; ++i) {
        r->rc = clfcn_eval_part_add(&r->part, &confusions[i], &losses[i], NULL);
    }
    if (r->rc == CLFCN_OK) {
        r->rc = clfcn_eval_part_merge(&r->part, &r->comm, NULL);
    }
}

static void same_loss(const struct clfcn_loss_sum *x, const struct clfcn_loss_sum *y,
                      int width)
{
    double a[CLFCN_LOSS_NUMBERS_MAX], b[CLFCN_LOSS_NUMBERS_MAX];
    clfcn_loss_sum_pack(x, CLASSES, a, width);
    clfcn_loss_sum_pack(y, CLASSES, b, width);
    assert_memory_equal(a, b, (size_t)width * sizeof(*a));
}

/* As one process adds them up, in the order of the images. */
static void evaluate_alone(const struct clfcn_loss_how *how, int images,
                           struct clfcn_eval_part *whole)
{
    assert_int_equal(clfcn_eval_part_init(whole, how, CLASSES, true, NULL), CLFCN_OK);
    struct clfcn_loss_sum sum = { 0 };
    for (int i = 0; i < images; ++i) {
        assert_int_equal(clfcn_eval_part_add(whole, &confusions[i], &losses[i], NULL),
                         CLFCN_OK);
        clfcn_loss_sum_merge(&sum, &losses[i], CLASSES);
    }
    assert_int_equal(clfcn_eval_part_merge(whole, NULL, NULL), CLFCN_OK);
    same_loss(&whole->loss, &sum, whole->width);
}

static void same(const struct clfcn_eval_part *part, const struct clfcn_eval_part *whole)
{
    same_loss(&part->loss, &whole->loss, whole->width);
    assert_int_equal(part->images, whole->images);
    assert_memory_equal(part->confusion.counts, whole->confusion.counts,
                        CLASSES * CLASSES * sizeof(uint64_t));
}

static void check(const struct clfcn_loss_how *how, int images, const int *shares,
                  int ranks)
{
    struct rank all[MAX_RANKS] = { 0 };
    struct clfcn_eval_part whole;
    evaluate_alone(how, images, &whole);
    job.ranks = ranks;
    for (int r = 0; r < ranks; ++r) {
        all[r].comm.rank = r;
        all[r].how = *how;
        clfcn_share_range(images, shares, ranks, r, &all[r].first, &all[r].count);
        assert_int_equal(clfcn_thread_start(&all[r].thread, run_rank, &all[r], NULL), 0);
    }
    for (int r = 0; r < ranks; ++r) {
        clfcn_thread_join(&all[r].thread);
        assert_int_equal(all[r].rc, CLFCN_OK);
        assert_int_equal(all[r].comm.rounds, all[0].comm.rounds);
        same(&all[r].part, &whole);
        clfcn_eval_part_finish(&all[r].part);
    }
    clfcn_eval_part_finish(&whole);
}

static void test_any_ranks(void **state)
{
    static const int shares[][MAX_RANKS] = { { 1, 1, 1, 1, 1 }, { 2, 7, 1, 1, 3 } };
    static const int images[] = { IMAGES, 3, 1, 0 }; /* some leave ranks without any */
    for (int kind = 0; kind <= CLFCN_LOSS_FOCAL; ++kind) {
        const struct clfcn_loss_how how = { .kind = (enum clfcn_loss)kind, .gamma = 2 };
        for (int v = 0; v < 2 * 4 * MAX_RANKS; ++v) {
            check(&how, images[v / 2 % 4], shares[v % 2], 1 + v / 8);
        }
    }
}

/* Sums of parts, each added up by itself, would not do. */
static void test_order_shows(void **state)
{
    double in_order = 0, parts[2] = { 0, 0 };
    for (int i = 0; i < IMAGES; ++i) {
        in_order += losses[i].sum;
        parts[i >= IMAGES / 2] += losses[i].sum;
    }
    assert_true(parts[0] + parts[1] != in_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_ranks),
        cmocka_unit_test(test_order_shows),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
