/* defaults.h - what differs between classes of devices before anything has been measured.
 */
#ifndef CLFCN_OPS_DEFAULTS_H
#define CLFCN_OPS_DEFAULTS_H

#include <clfcn/net.h>

struct clfcn_defaults {
    enum clfcn_gemm_kind gemm;
    int vector_width;     /* VW of the element-wise kernels: 4, 8 or 16 */
    int group;            /* WGS of the reductions: 1, or a power of two */
    bool copy_rows;       /* im2col copies runs of rows rather than single pixels */
    size_t columns_bytes; /* im2col columns at a time: on a CPU they should stay in its
                             cache */
};

/* Whether a work-item should be all that a core does at a time, with explicit vectors: so
 * with CPU runtimes, but those that lay work-items side by side in a vector's lanes,
 * which say that they prefer single floats and are to be treated as GPUs are. */
bool clfcn_wants_vectors(const struct clfcn_device_info *info);

/* Whether work-groups may be as large as CLBlast asks for, where clfcn does not choose
 * its parameters. */
bool clfcn_suits_clblast(const struct clfcn_device_info *info);

struct clfcn_defaults clfcn_defaults_for(const struct clfcn_device_info *info);

#endif
