/* test_pause.c - when a run is to wait, from a made-up sysfs. */
#include "../../host/train/pause.h"
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[SCRATCH_PATH];

static int make(void **state)
{
    return scratch_make(state) == 0 ? setenv("CLFCN_SYSFS", scratch_path(root, "sys"), 1)
                                    : -1;
}

static int unmake(void **state)
{
    unsetenv("CLFCN_SYSFS");
    return scratch_remove(state);
}

static void put(const char *dir, const char *name, const char *text)
{
    char *folder = clfcn_path_join(root, dir), *path = clfcn_path_join(folder, name);
    assert_int_equal(clfcn_path_mkdir(folder, 0700, NULL), 0);
    assert_int_equal(clfcn_file_write(path, text, strlen(text), NULL), 0);
    free(path);
    free(folder);
}

static void put_celsius(double celsius)
{
    char text[32];
    snprintf(text, sizeof(text), "%.0f\n", 1e3 * celsius);
    put("class/thermal/thermal_zone0", "temp", text);
}

static struct clfcn_train_config config_with(bool on_battery, double max_celsius)
{
    struct clfcn_train_config config;
    clfcn_train_defaults(&config);
    config.pause_on_battery = on_battery;
    config.max_celsius = max_celsius;
    return config;
}

static void assert_refused(bool on_battery, double max_celsius, const char *why)
{
    const struct clfcn_train_config config = config_with(on_battery, max_celsius);
    struct clfcn_pause pause;
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_pause_start(&pause, &config, NULL, &err), CLFCN_EINVAL);
    assert_non_null(strstr(err.msg, why));
}

static void test_what_the_machine_does_not_show_is_refused(void **state)
{
    assert_refused(true, 0, "--pause-on-battery");
    assert_refused(false, 80, "--max-temp");
    assert_refused(false, -1, "--max-temp must be");
    assert_refused(false, NAN, "--max-temp must be");
}

static void test_nothing_asked_nothing_looked_at(void **state)
{
    const struct clfcn_train_config config = config_with(false, 0);
    struct clfcn_pause pause;
    assert_int_equal(clfcn_pause_start(&pause, &config, NULL, NULL), CLFCN_OK);
    assert_false(clfcn_pause_due(&pause));
}

static void test_on_battery(void **state)
{
    const struct clfcn_train_config config = config_with(true, 0);
    struct clfcn_pause pause;
    put("class/power_supply/AC", "type", "Mains\n");
    put("class/power_supply/AC", "online", "0\n");
    assert_int_equal(clfcn_pause_start(&pause, &config, NULL, NULL), CLFCN_OK);
    assert_true(clfcn_pause_due(&pause));
    assert_int_equal(pause.reason, CLFCN_PAUSE_BATTERY);
    put("class/power_supply/AC", "online", "1\n");
    assert_true(clfcn_pause_due(&pause)); /* the second is not over */
    clfcn_pause_look(&pause);
    assert_false(clfcn_pause_due(&pause));
}

static void assert_reason_at(struct clfcn_pause *pause, double celsius,
                             enum clfcn_pause_reason reason)
{
    put_celsius(celsius);
    clfcn_pause_look(pause);
    assert_int_equal(pause->reason, reason);
}

static void test_heat_has_hysteresis(void **state)
{
    const struct clfcn_train_config config = config_with(false, 80);
    struct clfcn_pause pause;
    put_celsius(60);
    assert_int_equal(clfcn_pause_start(&pause, &config, NULL, NULL), CLFCN_OK);
    assert_false(clfcn_pause_due(&pause));
    assert_reason_at(&pause, 80, CLFCN_PAUSE_NONE);
    assert_reason_at(&pause, 81, CLFCN_PAUSE_TEMPERATURE);
    assert_reason_at(&pause, 76, CLFCN_PAUSE_TEMPERATURE);
    assert_reason_at(&pause, 75, CLFCN_PAUSE_NONE);
    assert_reason_at(&pause, 79, CLFCN_PAUSE_NONE);
}

static void test_request_goes_before_sensors(void **state)
{
    const struct clfcn_train_config config = config_with(false, 80);
    struct clfcn_pause pause;
    bool request = false;
    put_celsius(90);
    assert_int_equal(clfcn_pause_start(&pause, &config, &request, NULL), CLFCN_OK);
    assert_true(clfcn_pause_due(&pause));
    assert_int_equal(pause.reason, CLFCN_PAUSE_TEMPERATURE);
    request = true; /* heeded at once, not at the next look at the sensors */
    assert_true(clfcn_pause_due(&pause));
    assert_int_equal(pause.reason, CLFCN_PAUSE_REQUEST);
    request = false;
    assert_true(clfcn_pause_due(&pause));
    assert_int_equal(pause.reason, CLFCN_PAUSE_TEMPERATURE);
    put_celsius(60);
    clfcn_pause_look(&pause);
    assert_false(clfcn_pause_due(&pause));
}

static void test_request_alone(void **state)
{
    const struct clfcn_train_config config = config_with(false, 0);
    struct clfcn_pause pause;
    bool request = true;
    assert_int_equal(clfcn_pause_start(&pause, &config, &request, NULL), CLFCN_OK);
    assert_true(clfcn_pause_due(&pause));
    request = false;
    assert_false(clfcn_pause_due(&pause));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_the_machine_does_not_show_is_refused,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(test_nothing_asked_nothing_looked_at, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(test_on_battery, make, unmake),
        cmocka_unit_test_setup_teardown(test_heat_has_hysteresis, make, unmake),
        cmocka_unit_test_setup_teardown(test_request_goes_before_sensors, make, unmake),
        cmocka_unit_test_setup_teardown(test_request_alone, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
