#include "ran.h"

#include "../device/prof.h"
#include "../util/array.h"
#include "../util/log.h"
#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void take(void *user, const struct clfcn_prof_record *record)
{
    struct clfcn_ran *ran = user;
    if (!record->kernel || ran->count == CLFCN_ARRAY_LEN(ran->list)) {
        return;
    }
    for (int i = 0; i < ran->count; ++i) {
        if (same(ran->list[i].name, record->what) &&
            same(ran->list[i].pass, record->pass)) {
            return;
        }
    }
    ran->list[ran->count].name = record->what;
    ran->list[ran->count++].pass = record->pass;
}

void clfcn_ran_listen(struct clfcn_dev *dev, struct clfcn_ran *ran)
{
    struct clfcn_err err;
    if (clfcn_prof_start(dev, &err) < 0) {
        clfcn_debug("kernels have no names in the report: %s", err.msg);
    }
    clfcn_prof_listen(dev, take, ran);
}

void clfcn_ran_forget(struct clfcn_dev *dev, struct clfcn_ran *ran)
{
    clfcn_prof_drain(dev);
    ran->count = 0;
}

void clfcn_ran_list(struct clfcn_dev *dev, const struct clfcn_ran *ran, const char *pass,
                    char text[CLFCN_RAN_TEXT])
{
    size_t len = 0;
    text[0] = '\0';
    clfcn_prof_drain(dev);
    for (int i = 0; i < ran->count && len < CLFCN_RAN_TEXT; ++i) {
        if (!ran->list[i].pass || same(ran->list[i].pass, pass)) {
            len += (size_t)snprintf(text + len, CLFCN_RAN_TEXT - len, "%s%s",
                                    len ? ", " : "", ran->list[i].name);
        }
    }
}
