/* run_save.c - checkpoints of a run, brought to the disk while it goes on. */
#include "../comm/comm.h"
#include "../net/unite.h"
#include "../util/log.h"
#include "../util/trace.h"
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char doing[] = "saving a checkpoint (those saved before are intact)";

/* The log first: a checkpoint never speaks of lines that are not on the disk. */
static void commit(void *arg)
{
    struct clfcn_save *save = arg;
    const double begin = clfcn_trace_begin();
    save->rc = clfcn_runlog_sync(save->log, &save->err);
    if (save->rc == CLFCN_OK) {
        save->rc = clfcn_st_writer_commit(save->writer, &save->err);
    }
    clfcn_trace_end("sync checkpoint", begin);
}

int clfcn_run_save_end(struct clfcn_run *run, struct clfcn_err *err)
{
    struct clfcn_save *save = &run->save;
    if (save->writer == NULL) {
        return CLFCN_OK;
    }
    clfcn_thread_join(&save->thread);
    int rc = save->rc;
    if (rc < 0 && err != NULL) {
        *err = save->err;
        clfcn_err_note(err, "%s", doing);
    } else if (rc == CLFCN_OK) {
        rc = clfcn_runlog_event(run->log, "checkpoint",
                                json_pack("{s:s, s:i, s:I}", "path", save->path, "epoch",
                                          save->epoch, "step", (json_int_t)save->step),
                                err);
    }
    clfcn_st_writer_destroy(&save->writer);
    free(save->path);
    return rc;
}

/* What all ranks go on with is what the checkpoint holds. */
static int unite(struct clfcn_run *run, struct clfcn_err *err)
{
    int changed = 0;
    int rc = clfcn_run_unite_statistics(run, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_net_unite(run->net, &changed, err);
    }
    if (rc == CLFCN_OK && changed > 0) {
        clfcn_debug("%d tensors were rounded otherwise in some rank: now as in rank 0",
                    changed);
    }
    return rc;
}

int clfcn_run_save(struct clfcn_run *run, const char *name, struct clfcn_err *err)
{
    struct clfcn_save *save = &run->save;
    int rc = clfcn_run_save_end(run, err);
    if (rc == CLFCN_OK) {
        rc = unite(run, err);
    }
    if (rc < 0) {
        return rc;
    }
    clfcn_comm_be_patient(run->config.comm);
    if (clfcn_comm_rank(run->config.comm) != 0) {
        run->unsaved = run->unsaved && strcmp(name, "last") != 0;
        return CLFCN_OK;
    }
    char file[64];
    snprintf(file, sizeof(file), "checkpoints/%s.safetensors", name);
    const double begin = clfcn_trace_begin();
    run->state.log_bytes = clfcn_runlog_bytes(run->log);
    *save = (struct clfcn_save){ .log = run->log,
                                 .epoch = run->state.epoch,
                                 .step = run->state.step };
    rc = clfcn_run_path(run, file, &save->path, err);
    if (rc < 0) {
        return rc;
    }
    rc = clfcn_checkpoint_write(run->net, save->path, &run->config,
                                clfcn_dataset_get_classes(run->set), &run->state,
                                clfcn_run_ranks_to_checkpoint(run), &save->writer, err);
    if (rc == CLFCN_OK) {
        rc = clfcn_thread_start(&save->thread, commit, save, err);
    }
    clfcn_trace_end("write checkpoint", begin);
    if (rc < 0) {
        clfcn_err_note(err, "%s", doing);
        clfcn_st_writer_destroy(&save->writer);
        free(save->path);
    } else if (strcmp(name, "last") == 0) {
        run->unsaved = false;
    }
    return rc;
}
