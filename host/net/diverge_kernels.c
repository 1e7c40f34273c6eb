/* diverge_kernels.c - which kernels ran, as profiling tells. */
#include "diverge_impl.h"

#include "../device/prof.h"
#include "../util/log.h"
#include <stdio.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void take(void *user, const struct clfcn_prof_record *record)
{
    struct clfcn_diverge_kernels *k = user;
    if (!record->kernel || k->count == CLFCN_ARRAY_LEN(k->list)) {
        return;
    }
    for (int i = 0; i < k->count; ++i) {
        if (same(k->list[i].name, record->what) && same(k->list[i].pass, record->pass)) {
            return;
        }
    }
    k->list[k->count].name = record->what;
    k->list[k->count++].pass = record->pass;
}

void clfcn_diverge_listen(struct clfcn_diverge_run *run)
{
    for (int s = 0; s < 2; ++s) {
        struct clfcn_dev *dev = run->net[s]->dev;
        struct clfcn_err err;
        if (clfcn_prof_start(dev, &err) < 0) {
            clfcn_debug("kernels have no names in the report: %s", err.msg);
        }
        clfcn_prof_listen(dev, take, &run->kernels[s]);
    }
}

void clfcn_diverge_forget(struct clfcn_diverge_run *run)
{
    for (int s = 0; s < 2; ++s) {
        clfcn_prof_drain(run->net[s]->dev);
        run->kernels[s].count = 0;
    }
}

void clfcn_diverge_kernels(struct clfcn_diverge_run *run, int side, const char *pass,
                           char text[CLFCN_DIVERGE_KERNELS])
{
    const struct clfcn_diverge_kernels *k = &run->kernels[side];
    size_t len = 0;
    text[0] = '\0';
    clfcn_prof_drain(run->net[side]->dev);
    for (int i = 0; i < k->count && len < CLFCN_DIVERGE_KERNELS; ++i) {
        if (!k->list[i].pass || same(k->list[i].pass, pass)) {
            len += (size_t)snprintf(text + len, CLFCN_DIVERGE_KERNELS - len, "%s%s",
                                    len ? ", " : "", k->list[i].name);
        }
    }
}
