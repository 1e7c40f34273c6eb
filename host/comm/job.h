/* job.h - the ranks of an MPI job, as the files of this folder share them.
 *
 * Ranks share the cores with the OpenCL devices that they drive, so nothing here waits
 * inside of MPI, which waits by asking again and again: whatever a rank needs from others
 * is begun, tested, and slept for (clfcn_comm_rest()). Each sleep looks also whether
 * those others are still there. */
#ifndef CLFCN_COMM_JOB_H
#define CLFCN_COMM_JOB_H

#include "../util/process.h"
#include "allreduce.h"
#include <mpi.h>

enum {
    CLFCN_TAG_NOTICE = 1, /* struct clfcn_notice */
    CLFCN_TAG_EXCHANGE = 2,
    CLFCN_TAG_ALLREDUCE = 16 /* and those above */
};

/* What a rank tells the others unasked. */
enum clfcn_notice_kind { CLFCN_NOTICE_FAILED, CLFCN_NOTICE_LEAVES };
struct clfcn_notice {
    int32_t kind, status;
    int32_t cause;   /* the status of the rank that failed first, as far as it is known */
    int32_t spoke;   /* it has told the user why the job ends */
    char text[1024]; /* why it failed */
};

struct clfcn_peer {
    char host[81], device[128];
    struct clfcn_process process;
    bool visible;    /* process is one of this machine, so its end can be seen */
    int awaited;     /* messages from it that are to come */
    double heard_at; /* when the last one came, on clfcn_clock() */
    bool leaves;     /* it has sent CLFCN_NOTICE_LEAVES */
    double left_at;  /* when that was seen */
    bool failed;     /* it has sent CLFCN_NOTICE_FAILED */
    bool spoke;      /* and told the user */
    bool lost;       /* it has died, or is silent for too long */
};

/* Bytes in one exchange for or from one rank; 0: none. */
struct clfcn_parcel {
    void *data;
    size_t bytes;
};

struct clfcn_comm {
    MPI_Comm mpi; /* of its own, so that its messages meet no others */
    bool owns_mpi; /* it has initialised MPI */
    int rank, size, local_rank, local_size;
    struct clfcn_peer *peers; /* [size] */

    struct clfcn_parcel *in, *out; /* [size]: for one exchange */
    unsigned char *stage;          /* where its parcels lie */
    size_t stage_bytes;
    MPI_Request *requests; /* [2*size]: of its messages */

    struct clfcn_allreduce *sums, *abandoned; /* lists; MPI may still use the second */
    int next_tag, last_tag;

    double limit;   /* seconds of silence that are too long */
    double silence; /* seconds slept since something last came */
    double nap;     /* the next sleep's seconds */
    double waited, bytes_moved;
    double looked_at, counted_at; /* when notices and processes were last looked at */
    bool terminated;              /* SIGTERM has come: this process may end soon */
    bool patient; /* rank 0 does something long, until it is heard of again */

    struct clfcn_err failure; /* of another rank, or told to the others; code 0: none */
    int cause;                /* the status of the rank that failed first; 0: none did */
    bool told;                /* the others know that this rank fails */
    bool spoke;               /* this rank tells the user */
    bool agreed;              /* all ranks know of a failure (clfcn_comm_agree()) */
    struct clfcn_notice notices[2]; /* by kind; they are not to change while under way */
    MPI_Request *notice_requests;   /* [2][size] */
};

/* Record that MPI refused; returns CLFCN_ECOMM. call: "MPI_Isend". (watch.c) */
int clfcn_job_refused(struct clfcn_comm *comm, int mpi_rc, const char *call,
                      struct clfcn_err *err);
/* "rank 2 (host node3, AMD gfx1100)"; returns buf. (watch.c) */
enum { CLFCN_RANK_LEN = 256 };
const char *clfcn_job_name(const struct clfcn_comm *comm, int rank,
                           char buf[CLFCN_RANK_LEN]);
/* Look, if the last look is some milliseconds ago, whether another rank has failed, died
 * or left; CLFCN_ECOMM then, and from then on. (watch.c) */
int clfcn_job_look(struct clfcn_comm *comm, struct clfcn_err *err);
/* Something came from rank, < 0: something was done. (watch.c) */
void clfcn_job_heard(struct clfcn_comm *comm, int rank);
/* Tell the others without waiting; text may be NULL. (watch.c) */
void clfcn_job_notify(struct clfcn_comm *comm, enum clfcn_notice_kind kind, int status,
                      const char *text);
/* Wait until every other rank has said that it leaves, so that all end in good order:
 * for as long as any wait if that is to be expected, else for a second. False if that did
 * not come about. (watch.c) */
bool clfcn_job_all_leave(struct clfcn_comm *comm, bool expected);

/* A place of so many bytes, as it was left if it is large enough, for the parcels of an
 * exchange: MPI may use it until the job is closed, should the exchange fail.
 * (parcels.c) */
int clfcn_job_stage(struct clfcn_comm *comm, size_t bytes, struct clfcn_err *err);
/* Send comm->out[r] to each other rank r, and fill comm->in[r], of at least as many bytes
 * as r sends, with what it sends; sleep until all is done. All lie in comm->stage, and
 * are forgotten. (parcels.c) */
int clfcn_job_exchange(struct clfcn_comm *comm, struct clfcn_err *err);

/* Go on with all sums under way; *moved: something was done. (allreduce.c) */
int clfcn_job_advance(struct clfcn_comm *comm, bool *moved, struct clfcn_err *err);
/* Free what clfcn_allreduce_destroy() could not, once MPI is over. (allreduce.c) */
void clfcn_job_free_abandoned(struct clfcn_comm *comm);

#endif
