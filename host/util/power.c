#include "power.h"
#include "machine.h"
#include "path.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 32 };

/* The first word of a file in dir; "" if there is none. */
static void read_word(const char *dir, const char *name, char word[WORD])
{
    char *path = clfcn_path_join(dir, name);
    FILE *f = path ? fopen(path, "r") : NULL;
    if (!f || fscanf(f, "%31s", word) != 1) {
        word[0] = '\0';
    }
    if (f) {
        fclose(f);
    }
    free(path);
}

/* What the supplies say together. */
struct supplies {
    bool online, mains_gone, battery, discharging;
};

static void look_at(const char *dir, struct supplies *all)
{
    char type[WORD], scope[WORD], online[WORD], status[WORD];
    read_word(dir, "type", type);
    read_word(dir, "scope", scope);
    read_word(dir, "online", online);
    read_word(dir, "status", status);
    if (strcmp(scope, "Device") == 0) {
        return;
    }
    if (strcmp(type, "Battery") == 0 || strcmp(type, "UPS") == 0) {
        all->battery = true;
        all->discharging |= strcmp(status, "Discharging") == 0;
        return;
    }
    all->online |= atoi(online) > 0;
    /* An empty USB socket says nothing: desktops have them too. */
    all->mains_gone |= strcmp(type, "Mains") == 0 && strcmp(online, "0") == 0;
}

enum clfcn_power clfcn_power_read(void)
{
    struct supplies all = { 0 };
    char pattern[4096];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/class/power_supply/*", clfcn_sysfs_root());
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; ++i) {
            look_at(found.gl_pathv[i], &all);
        }
        globfree(&found);
    }
    /* A battery may discharge beside a charger that is too weak. */
    if (!all.online && (all.discharging || all.mains_gone)) {
        return CLFCN_POWER_BATTERY;
    }
    return all.online || all.battery ? CLFCN_POWER_MAINS : CLFCN_POWER_UNKNOWN;
}
