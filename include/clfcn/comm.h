/* comm.h - the ranks of an MPI job: processes that train one network together, each on a
 * device of its own.
 *
 * A program that trains in ranks is started with mpirun, and does in each of them:
 *
 *     struct clfcn_comm *comm;
 *     int rc = clfcn_comm_open(&comm, &err);
 *     ... open a device, which may depend on clfcn_comm_rank(comm) ...
 *     config.comm = comm;  (config.batch is that of all ranks together)
 *     rc = clfcn_train(dev, &config, false, NULL, &err);
 *     ... say what went wrong ...
 *     clfcn_comm_close(&comm, rc);
 *
 * With a training loop of its own it gives comm to clfcn_net_create() (in struct
 * clfcn_net_options), builds the network for its share of a batch, and lets a loader read
 * that share (of_batch and first of struct clfcn_loader_desc); every rank makes the same
 * calls. An error of one rank has to end in clfcn_comm_close() there, with that error. */
#ifndef CLFCN_COMM_H
#define CLFCN_COMM_H

#include "common.h"

CLFCN_BEGIN_DECLS

/** How gradients travel from rank to rank. Sums are made of what arrives. */
enum clfcn_wire {
    CLFCN_WIRE_FP32,
    CLFCN_WIRE_FP16 /**< half floats with one factor a part, by its largest element */
};

/** The name of an enumerator, "fp16", or NULL. */
CLFCN_API const char *clfcn_wire_name(enum clfcn_wire wire);

/** The ranks of a job. Opaque. NULL stands for one process alone wherever it is taken. */
struct clfcn_comm;

/**
 * Join the job that this process was started in, by mpirun, mpiexec or srun. Collective:
 * it returns when all ranks have called it. To be called once, by the thread that trains.
 *
 * @param out  Receives the ranks, or NULL where the process was started alone, and on
 *             error. Close with clfcn_comm_close().
 * @return CLFCN_OK; CLFCN_EINVAL if it was started as one of several ranks and the
 *         library was built without MPI; CLFCN_ECOMM; CLFCN_ENOMEM.
 */
CLFCN_API int clfcn_comm_open(struct clfcn_comm **out, struct clfcn_err *err);

/**
 * Leave the job, close *comm and set it to NULL. Takes a pointer to NULL.
 *
 * @param status  What the rank's work came to, CLFCN_OK or an error. After an error that
 *                the other ranks cannot know of they are told, so that none waits for this
 *                one, and have a second to say so. MPI is then left as it is: the process
 *                is to end soon, with an exit status that is not 0, upon which the launcher
 *                ends those that have not heard of it, and is not to call MPI_Finalize().
 */
CLFCN_API void clfcn_comm_close(struct clfcn_comm **comm, int status);

/** This process's number, 0 .. size-1, and how many there are; 0 and 1 for NULL. */
CLFCN_API int clfcn_comm_rank(const struct clfcn_comm *comm);
CLFCN_API int clfcn_comm_size(const struct clfcn_comm *comm);

CLFCN_END_DECLS

#endif
