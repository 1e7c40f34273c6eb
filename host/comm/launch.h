/* launch.h - what the program that started this process says of the job, before MPI is
 * asked: a process that was started alone needs none. */
#ifndef CLFCN_COMM_LAUNCH_H
#define CLFCN_COMM_LAUNCH_H

/* Ranks of the job, as Open MPI's mpirun, a PMI launcher (mpiexec of MPICH) or srun tell
 * in the environment; 1 if none of them does. */
int clfcn_launch_size(void);

#endif
