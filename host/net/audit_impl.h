/* audit_impl.h - an audit under way, shared by the files that do it. */
#ifndef CLFCN_NET_AUDIT_IMPL_H
#define CLFCN_NET_AUDIT_IMPL_H

#include "../util/rng.h"
#include "audit.h"
#include "net_impl.h"

enum clfcn_audit_what {
    CLFCN_AUDIT_UPLOAD,
    CLFCN_AUDIT_FORWARD,
    CLFCN_AUDIT_LOSS,
    CLFCN_AUDIT_BACKWARD, /* of a convolution the ReLU's mask and the bias */
    CLFCN_AUDIT_WEIGHT,   /* of a convolution alone, as is the next */
    CLFCN_AUDIT_INPUT,
    CLFCN_AUDIT_CLIP,
    CLFCN_AUDIT_UPDATE /* of an op's parameters */
};

/* What can be audited: something that the act at time does. */
struct clfcn_audit_unit {
    enum clfcn_audit_what what;
    int time; /* CLFCN_TAP_UPLOAD: before the first act */
    int op;   /* -1: none */
};

enum { CLFCN_MAX_AUDITS = 4 * CLFCN_MAX_ACTS };

/* Floats in a buffer: rows of length, the first at float first, stride floats apart. */
struct clfcn_piece {
    cl_mem mem;
    size_t first, stride, length;
    int rows;
};

/* A piece as it was before the act changed it. */
struct clfcn_kept {
    struct clfcn_piece piece;
    float *values;
};

struct clfcn_audit_run {
    struct clfcn_net_tap tap;
    const struct clfcn_audit_unit *unit;
    int part;
    const int64_t *focus; /* an element that is to be compared, of the tensor that the
                             unit makes; NULL: any */
    struct clfcn_rng rng; /* at the beginning of every check */
    struct clfcn_kept kept[12];
    int kept_count;
    float *memory[32]; /* fetched in a check */
    int memory_count;
    struct clfcn_audit *out;
};

/* How closely the device must agree with float64. */
enum clfcn_audit_rigor {
    CLFCN_AUDIT_COPIED,  /* the same numbers */
    CLFCN_AUDIT_ROUNDED, /* an operation or a few on each element */
    CLFCN_AUDIT_SUMMED
};

/* A tensor being compared. (audit_judge.c) */
struct clfcn_judge {
    struct clfcn_audit_run *run;
    const char *tensor;
    int ndim;
    int64_t dims[4];
    enum clfcn_audit_rigor rigor;
    size_t count;
    double distance, size; /* sums of squares */
    double excess;         /* the largest of how far elements are beyond what they may */
    size_t at;             /* that element */
    float got;
    double want;
};

void clfcn_judge_begin(struct clfcn_judge *j, struct clfcn_audit_run *run,
                       const char *tensor, enum clfcn_audit_rigor rigor, int ndim,
                       const int64_t *dims);
void clfcn_judge_tensor(struct clfcn_judge *j, struct clfcn_audit_run *run,
                        const char *name, enum clfcn_audit_rigor rigor,
                        const struct clfcn_tensor *t);
/* Element at of the tensor; size: the sum of the magnitudes that went into it. */
void clfcn_judge_add(struct clfcn_judge *j, size_t at, float got, double want,
                     double size);
/* Take it into run->out. */
void clfcn_judge_end(struct clfcn_judge *j);

/* The whole of a parameter; the images of a tensor from one on, in all channels; channels
 * from one on. */
struct clfcn_piece clfcn_piece_whole(cl_mem mem, size_t count);
struct clfcn_piece clfcn_piece_image(const struct clfcn_tensor *t, int image);
struct clfcn_piece clfcn_piece_channels(const struct clfcn_tensor *t, int first,
                                        int count);
/* Bring a piece to the host, until clfcn_audit_forget(). */
int clfcn_audit_fetch(struct clfcn_audit_run *run, const struct clfcn_piece *piece,
                      float **out, struct clfcn_err *err);
/* Note what a piece holds before the act, and later bring that to light: NULL if it was
 * not kept. */
int clfcn_audit_keep(struct clfcn_audit_run *run, const struct clfcn_piece *piece,
                     struct clfcn_err *err);
const float *clfcn_audit_kept(const struct clfcn_audit_run *run, cl_mem mem);
/* Let the device have again what was kept. */
int clfcn_audit_restore(struct clfcn_audit_run *run, struct clfcn_err *err);
/* Free what was kept. */
void clfcn_audit_finish(struct clfcn_audit_run *run);
void clfcn_audit_forget(struct clfcn_audit_run *run);

/* How many of a tensor's channels are compared, at most `most`, and the first of them. */
int clfcn_audit_channels(struct clfcn_audit_run *run, const struct clfcn_tensor *t,
                         int most, int *first);

/* Keep what the unit's act will change, and compare what it has made. (audit_conv.c,
 * audit_channel.c, audit_step.c) */
int clfcn_audit_keep_conv(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_conv(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_bias(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_keep_channel(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_channel(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_upload(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_loss(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_keep_update(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_update(struct clfcn_audit_run *run, struct clfcn_err *err);
int clfcn_audit_clip(struct clfcn_audit_run *run, struct clfcn_err *err);

/* All that the network's steps have to audit, at most CLFCN_MAX_AUDITS. (audit.c) */
int clfcn_audit_units(const struct clfcn_net *net, struct clfcn_audit_unit *units);
/* Keep what run->unit's act is about to change. (audit.c) */
int clfcn_audit_before(struct clfcn_audit_run *run, struct clfcn_err *err);
/* Compare what run->unit has made, into run->out. (audit.c) */
int clfcn_audit_check(struct clfcn_audit_run *run, struct clfcn_err *err);

#endif
