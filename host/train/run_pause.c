/* run_pause.c - a run waits: on request, for mains, or for the machine to cool down. */
#include "../comm/comm.h"
#include "../util/log.h"
#include "../util/sys.h"
#include "run.h"

static const char *name_of(enum clfcn_pause_reason reason)
{
    return reason == CLFCN_PAUSE_REQUEST   ? "request"
           : reason == CLFCN_PAUSE_BATTERY ? "battery"
                                           : "temperature";
}

static void say(const struct clfcn_run *run)
{
    if (run->rest == CLFCN_PAUSE_REQUEST) {
        clfcn_info("paused on request");
    } else if (run->rest == CLFCN_PAUSE_BATTERY) {
        clfcn_info("paused: on battery; goes on when power is back");
    } else {
        clfcn_info("paused: %.0f degrees Celsius, above --max-temp %g; goes on at %g",
                   run->rest_celsius, run->pause.max_celsius,
                   run->pause.max_celsius - CLFCN_PAUSE_COOLING);
    }
}

/* Log and save, before the waiting begins. */
static int enter(struct clfcn_run *run, struct clfcn_err *err)
{
    const bool hot = run->rest == CLFCN_PAUSE_TEMPERATURE;
    say(run);
    json_t *event = json_pack("{s:s, s:I, s:o*}", "reason", name_of(run->rest), "step",
                              (json_int_t)run->state.step, "celsius",
                              hot ? json_real(run->rest_celsius) : NULL);
    int rc = clfcn_runlog_event(run->log, "pause", event, err);
    if (rc == CLFCN_OK && run->unsaved) {
        rc = clfcn_run_save(run, "last", err);
    }
    return rc == CLFCN_OK ? clfcn_run_save_end(run, err) : rc;
}

/* Until the reason is gone, though another may have come, or the run is stopped. The
 * signal that stops it may go to any thread, so short naps. */
static int wait_for_it(struct clfcn_run *run, struct clfcn_err *err)
{
    const double nap = 0.05;
    const enum clfcn_pause_reason reason = run->rest;
    int rc = clfcn_run_look(run, err);
    while (rc == CLFCN_OK && !run->stopped && run->rest == reason) {
        clfcn_sleep(nap);
        rc = clfcn_run_look(run, err);
    }
    return rc;
}

int clfcn_run_pause(struct clfcn_run *run, struct clfcn_err *err)
{
    const enum clfcn_pause_reason reason = run->rest;
    const double begin = clfcn_clock();
    int rc = enter(run, err);
    if (rc < 0) {
        return rc;
    }
    rc = wait_for_it(run, err);
    run->last_done = clfcn_clock(); /* the next step's time begins here */
    clfcn_comm_take_wait(run->config.comm);
    if (rc == CLFCN_OK && !run->stopped) {
        clfcn_info("goes on after %.0f s", run->last_done - begin);
        rc = clfcn_runlog_event(run->log, "resume",
                                json_pack("{s:s, s:I, s:f}", "reason", name_of(reason),
                                          "step", (json_int_t)run->state.step, "seconds",
                                          run->last_done - begin),
                                err);
    }
    return rc;
}
