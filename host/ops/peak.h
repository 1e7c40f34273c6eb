/* peak.h - what a device can do at best, measured: what other figures are held against.
 */
#ifndef CLFCN_OPS_PEAK_H
#define CLFCN_OPS_PEAK_H

#include "../device/program.h"

struct clfcn_peak {
    double gflops;    /* multiply-adds of single precision, each counted as two */
    double gbps;      /* of memory, 1e9 bytes read or written a second, by z = x + s*y */
    double launch_us; /* from one empty kernel to the next */
    double upload_gbps;   /* from host memory in pages to the device */
    double download_gbps; /* and back */
};

/* Measure each several times and keep the best: some two seconds and up to 768 MiB of
 * device memory. The device must be idle. CLFCN_EDEVMEM; CLFCN_ECL; then all of out is
 * NaN. */
int clfcn_peak_measure(struct clfcn_dev *dev, struct clfcn_peak *out,
                       struct clfcn_err *err);

/* As clfcn_peak_measure(), on buffers that stay in the device's cache, so that gbps is
 * the cache's, or what launching a kernel leaves of it: half a second, 12 MiB at most. */
int clfcn_peak_measure_cached(struct clfcn_dev *dev, struct clfcn_peak *out,
                              struct clfcn_err *err);

/* A look at how fast dev is, noted in dev->gflops: a tenth of a second, little memory.
 * Where it fails that stays as it is. */
void clfcn_peak_glance(struct clfcn_dev *dev);

/* How hard it tries. */
struct clfcn_peak_effort {
    size_t bytes;   /* of each of the three buffers */
    int launches;   /* of empty kernels at a time */
    int repeats;    /* of which the best counts */
    double seconds; /* that multiply-adds take at least */
    double limit;   /* of seconds for each figure: what is too slow for that gets fewer
                       repetitions and smaller buffers */
};
/* As clfcn_peak_measure(), which chooses the effort: smaller for a simulator. */
int clfcn_peak_measure_with(struct clfcn_dev *dev, const struct clfcn_peak_effort *effort,
                            struct clfcn_peak *out, struct clfcn_err *err);

/* The kernels, with the one parameter VW. */
extern const struct clfcn_kernel_desc clfcn_peak_fma_desc, clfcn_peak_triad_desc,
    clfcn_peak_empty_desc;
enum { CLFCN_PEAK_CHAINS = 12 };

#endif
