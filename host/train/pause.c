#include "pause.h"
#include "../util/machine.h"
#include "../util/power.h"
#include "../util/sys.h"

#include <math.h>

static bool is_requested(const struct clfcn_pause *pause)
{
    return clfcn_flag_is_set(pause->request);
}

void clfcn_pause_look(struct clfcn_pause *pause)
{
    pause->looked_at = clfcn_clock();
    pause->reason = CLFCN_PAUSE_NONE;
    if (pause->max_celsius > 0) {
        struct clfcn_sensors sensors;
        clfcn_sensors_read(&sensors);
        const double limit = pause->max_celsius - (pause->hot ? CLFCN_PAUSE_COOLING : 0);
        pause->celsius = sensors.celsius;
        pause->hot = sensors.celsius > limit; /* false for NaN */
        pause->reason = pause->hot ? CLFCN_PAUSE_TEMPERATURE : pause->reason;
    }
    if (pause->on_battery && clfcn_power_read() == CLFCN_POWER_BATTERY) {
        pause->reason = CLFCN_PAUSE_BATTERY;
    }
    if (is_requested(pause)) {
        pause->reason = CLFCN_PAUSE_REQUEST;
    }
}

bool clfcn_pause_due(struct clfcn_pause *pause)
{
    const bool asked = pause->on_battery || pause->max_celsius > 0;
    const bool changed = is_requested(pause) != (pause->reason == CLFCN_PAUSE_REQUEST);
    if (changed || (asked && clfcn_clock() - pause->looked_at >= 1)) {
        clfcn_pause_look(pause);
    }
    return pause->reason != CLFCN_PAUSE_NONE;
}

int clfcn_pause_start(struct clfcn_pause *pause, const struct clfcn_train_config *config,
                      const volatile bool *request, struct clfcn_err *err)
{
    *pause = (struct clfcn_pause){ .request = request,
                                   .on_battery = config->pause_on_battery,
                                   .max_celsius = config->max_celsius };
    if (!(pause->max_celsius >= 0)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--max-temp must be at least 0, not %g", pause->max_celsius);
    }
    clfcn_pause_look(pause);
    if (pause->on_battery && clfcn_power_read() == CLFCN_POWER_UNKNOWN) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--pause-on-battery: %s/class/power_supply shows neither "
                             "battery nor mains: leave the option out",
                             clfcn_sysfs_root());
    }
    if (pause->max_celsius > 0 && isnan(pause->celsius)) {
        return clfcn_err_set(err, CLFCN_EINVAL, 0,
                             "--max-temp: no sensor of temperature in %s/class/thermal "
                             "and %s/class/hwmon: leave the option out",
                             clfcn_sysfs_root(), clfcn_sysfs_root());
    }
    return CLFCN_OK;
}
