#include "defaults.h"

#define MIB ((size_t)1 << 20)

/* Items of a work-group that CLBlast's kernels ask for on devices it does not know. */
enum { CLBLAST_GROUP = 256 };

static const struct clfcn_defaults by_class[] = {
    [CLFCN_CLASS_CPU] = { CLFCN_GEMM_NATIVE, 4, 1, true, 8 * MIB },
    [CLFCN_CLASS_NVIDIA] = { CLFCN_GEMM_CLBLAST, 4, 128, false, 256 * MIB },
    [CLFCN_CLASS_AMD] = { CLFCN_GEMM_CLBLAST, 4, 256, false, 256 * MIB },
    [CLFCN_CLASS_INTEL] = { CLFCN_GEMM_CLBLAST, 4, 64, false, 64 * MIB },
    [CLFCN_CLASS_OTHER] = { CLFCN_GEMM_CLBLAST, 4, 64, false, 64 * MIB },
};

bool clfcn_wants_vectors(const struct clfcn_device_info *info)
{
    return info->is_cpu && info->vector_width >= 4;
}

bool clfcn_suits_clblast(const struct clfcn_device_info *info)
{
    return clfcn_wants_vectors(info) || info->max_work_group >= CLBLAST_GROUP;
}

struct clfcn_defaults clfcn_defaults_for(const struct clfcn_device_info *info)
{
    struct clfcn_defaults d = by_class[info->device_class];
    if (info->device_class == CLFCN_CLASS_CPU && info->vector_width >= 8) {
        d.vector_width = info->vector_width >= 16 ? 16 : 8;
    }
    if (!clfcn_suits_clblast(info)) {
        d.gemm = CLFCN_GEMM_NATIVE;
    }
    while ((size_t)d.group > info->max_work_group) {
        d.group /= 2;
    }
    if (d.columns_bytes > info->max_alloc_bytes / 4) {
        d.columns_bytes = info->max_alloc_bytes / 4;
    }
    return d;
}
