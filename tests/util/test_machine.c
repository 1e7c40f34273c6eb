/* test_machine.c - spreads of repeated measurements, and what the machine tells. */
#include "../../host/util/file.h"
#include "../../host/util/machine.h"
#include "../../host/util/path.h"
#include "../../host/util/power.h"
#include "../../host/util/stats.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct clfcn_spread spread(const double *v, int n)
{
    double scratch[16];
    return clfcn_spread_of(v, n, scratch);
}

static void test_spread_of_a_steady_run(void **state)
{
    const double v[] = { 10.0, 10.2, 10.1, 9.9, 10.0, 10.1, 10.3, 10.0, 9.8 };
    const struct clfcn_spread s = spread(v, 9);
    assert_true(fabs(s.median - 10.0) < 1e-9);
    assert_true(fabs(s.lowest - 9.8) < 1e-9 && fabs(s.highest - 10.3) < 1e-9);
    assert_true(fabs(s.relative - 0.01) < 1e-9); /* quartiles 10.0 and 10.1 */
    assert_true(fabs(s.drift - 10.0 / 10.1) < 1e-9);
    assert_false(s.noisy);
}

static void test_one_outlier_is_no_noise(void **state)
{
    const double v[] = { 10, 10, 10, 90, 10, 10, 10, 10, 10 };
    assert_false(spread(v, 9).noisy);
}

static void test_noise_and_drift_are_told(void **state)
{
    const double wide[] = { 10, 14, 10, 14, 12, 10, 14, 10, 14 };
    const double slower[] = { 10, 10, 10, 10, 11, 11, 12, 12, 12 };
    assert_true(spread(wide, 9).noisy);
    assert_true(fabs(spread(slower, 9).drift - 1.2) < 1e-9);
    assert_true(spread(slower, 9).noisy);
}

static void test_few_repetitions_tell_nothing(void **state)
{
    const double v[] = { 10, 20, 30 };
    assert_true(isnan(spread(v, 2).relative));
    assert_false(spread(v, 1).noisy);
    assert_true(spread(v, 1).median == 10);
    assert_true(isnan(spread(v, 3).drift));
    assert_true(spread(v, 3).noisy);
}

static void test_the_machine_has_a_name(void **state)
{
    struct clfcn_machine m;
    clfcn_machine_get(&m);
    assert_true(m.cpus >= 1);
    assert_true(strlen(m.os) > 0);
}

static void put(const char *root, const char *dir, const char *name, const char *text)
{
    char *folder = clfcn_path_join(root, dir), *path = clfcn_path_join(folder, name);
    assert_int_equal(clfcn_path_mkdir(folder, 0700, NULL), 0);
    assert_int_equal(clfcn_file_write(path, text, strlen(text), NULL), 0);
    free(path);
    free(folder);
}

/* An empty sysfs in force. */
static char root[] = "/tmp/clfcn-sysfs-XXXXXX";

static int make_sysfs(void **state)
{
    strcpy(strrchr(root, '-'), "-XXXXXX");
    return mkdtemp(root) ? setenv("CLFCN_SYSFS", root, 1) : -1;
}

static int remove_sysfs(void **state)
{
    char command[64];
    unsetenv("CLFCN_SYSFS");
    snprintf(command, sizeof(command), "rm -r %s", root);
    return system(command);
}

static void test_sensors_come_from_sysfs(void **state)
{
    struct clfcn_sensors s;
    clfcn_sensors_read(&s);
    assert_true(isnan(s.mhz) && isnan(s.celsius));
    put(root, "devices/system/cpu/cpu0/cpufreq", "scaling_cur_freq", "2000000\n");
    put(root, "devices/system/cpu/cpu11/cpufreq", "scaling_cur_freq", "3000000\n");
    put(root, "class/thermal/thermal_zone0", "temp", "41000\n");
    put(root, "class/hwmon/hwmon2", "temp1_input", "66500\n");
    put(root, "class/hwmon/hwmon3", "temp1_input", "nonsense\n");
    clfcn_sensors_read(&s);
    assert_true(fabs(s.mhz - 2500) < 1e-9);
    assert_true(fabs(s.celsius - 66.5) < 1e-9);
}

#define SUPPLY "class/power_supply/"

static void test_power_without_supplies_is_unknown(void **state)
{
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_UNKNOWN);
    put(root, SUPPLY "hidpp_battery_0", "type", "Battery\n"); /* a mouse's */
    put(root, SUPPLY "hidpp_battery_0", "scope", "Device\n");
    put(root, SUPPLY "hidpp_battery_0", "status", "Discharging\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_UNKNOWN);
}

static void test_power_of_a_laptop(void **state)
{
    put(root, SUPPLY "AC", "type", "Mains\n");
    put(root, SUPPLY "AC", "online", "1\n");
    put(root, SUPPLY "BAT0", "type", "Battery\n");
    put(root, SUPPLY "BAT0", "status", "Not charging\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_MAINS);
    put(root, SUPPLY "AC", "online", "0\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_BATTERY);
    put(root, SUPPLY "BAT0", "status", "Discharging\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_BATTERY);
    put(root, SUPPLY "AC", "online", "1\n"); /* a weak charger */
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_MAINS);
}

static void test_power_by_usb(void **state)
{
    put(root, SUPPLY "ucsi-source-psy-1", "type", "USB\n");
    put(root, SUPPLY "ucsi-source-psy-1", "online", "0\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_UNKNOWN); /* a desktop's socket */
    put(root, SUPPLY "BAT0", "type", "Battery\n");
    put(root, SUPPLY "BAT0", "status", "Discharging\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_BATTERY);
    put(root, SUPPLY "BAT0", "status", "Charging\n");
    put(root, SUPPLY "ucsi-source-psy-1", "online", "1\n");
    assert_int_equal(clfcn_power_read(), CLFCN_POWER_MAINS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread_of_a_steady_run),
        cmocka_unit_test(test_one_outlier_is_no_noise),
        cmocka_unit_test(test_noise_and_drift_are_told),
        cmocka_unit_test(test_few_repetitions_tell_nothing),
        cmocka_unit_test(test_the_machine_has_a_name),
#define IN_SYSFS(f) cmocka_unit_test_setup_teardown(f, make_sysfs, remove_sysfs)
        IN_SYSFS(test_sensors_come_from_sysfs),
        IN_SYSFS(test_power_without_supplies_is_unknown),
        IN_SYSFS(test_power_of_a_laptop),
        IN_SYSFS(test_power_by_usb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
