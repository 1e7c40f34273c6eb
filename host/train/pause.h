/* pause.h - when a run is to wait: on request, on battery, or too hot. */
#ifndef CLFCN_TRAIN_PAUSE_H
#define CLFCN_TRAIN_PAUSE_H

#include "../util/err.h"
#include <clfcn/train.h>

enum clfcn_pause_reason {
    CLFCN_PAUSE_NONE,
    CLFCN_PAUSE_REQUEST,
    CLFCN_PAUSE_BATTERY,
    CLFCN_PAUSE_TEMPERATURE
};

/* Zero-initialised: never. */
struct clfcn_pause {
    const volatile bool *request; /* of the callbacks; may be NULL */
    bool on_battery;
    double max_celsius; /* 0: no limit */
    double looked_at;   /* clock of the latest look at the sensors */
    bool hot;           /* the limit was passed, and it is not cool enough yet */
    double celsius;     /* as of then; NaN if no sensor tells */
    enum clfcn_pause_reason reason;
};

/* Degrees below the limit at which a run goes on: else it would stop and go. */
enum { CLFCN_PAUSE_COOLING = 5 };

/* Take the options, and the flag that requests a pause, which may be NULL. CLFCN_EINVAL
 * if an option makes no sense, or the machine does not show what it asks for. */
int clfcn_pause_start(struct clfcn_pause *pause, const struct clfcn_train_config *config,
                      const volatile bool *request, struct clfcn_err *err);
/* Look at the request and the sensors. */
void clfcn_pause_look(struct clfcn_pause *pause);
/* Whether to wait; looks at the sensors at most once a second. */
bool clfcn_pause_due(struct clfcn_pause *pause);

#endif
