/* ran.h - which kernels ran, as profiling tells. */
#ifndef CLFCN_NET_RAN_H
#define CLFCN_NET_RAN_H

#include "../device/dev.h"

enum { CLFCN_RAN_TEXT = 256 };

/* Kernels that ran since the last clfcn_ran_forget(), each once a pass. */
struct clfcn_ran {
    struct {
        const char *name, *pass;
    } list[24];
    int count;
};

/* Collect names from here on, where the device can tell; ran stays in use until another
 * listens, or clfcn_prof_listen() is given none. */
void clfcn_ran_listen(struct clfcn_dev *dev, struct clfcn_ran *ran);
void clfcn_ran_forget(struct clfcn_dev *dev, struct clfcn_ran *ran);
/* Those of a pass: "gemm_pack_b, gemm_panel". */
void clfcn_ran_list(struct clfcn_dev *dev, const struct clfcn_ran *ran, const char *pass,
                    char text[CLFCN_RAN_TEXT]);

#endif
