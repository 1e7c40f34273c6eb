/* tune.h - measuring the convolutions of a network on a device, and keeping the winners
 * for every network that is built there later. */
#ifndef CLFCN_NET_TUNE_H
#define CLFCN_NET_TUNE_H

#include "../ops/certificate.h"
#include "../ops/choice.h"
#include "../ops/tuner.h"
#include "net.h"

/* A pass of one or more layers that compute the same. */
struct clfcn_tune_row {
    struct clfcn_conv_shape shape;
    enum clfcn_pass pass;
    int layer_count;
    char layers[160];            /* "conv3_2 conv3_3" */
    char usual[CLFCN_CONV_NAME]; /* what is used if nothing was measured */
    double flop;                 /* of one layer, by the definition */
    bool stored;                 /* whether choice is known, from now or before */
    struct clfcn_choice choice;
    bool measured; /* just now: result is known */
    struct clfcn_tuner_result result;
    char why[224]; /* reason if it could not be measured, else "" */
};

struct clfcn_tuning {
    struct clfcn_dev *dev;
    struct clfcn_net_options options;
    struct clfcn_choices choices; /* all that are stored for the device */
    struct clfcn_certificate certificate;
    struct clfcn_tune_row *rows;  /* in the order of the network */
    int count;
};

/* List the passes of a network, with what is stored for each. level: of the message if
 * what is stored is of no use. Free with clfcn_tuning_close() in every case. */
int clfcn_tuning_open(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options, enum clfcn_log_level level,
                      struct clfcn_tuning *out, struct clfcn_err *err);
void clfcn_tuning_close(struct clfcn_tuning *tuning);

struct clfcn_tune_how {
    double budget; /* seconds, compiling included; the heaviest pass is always measured */
    bool first_look; /* not on behalf of the user: what is stored may be done again */
    bool same_bits;  /* as in struct clfcn_tuner_config: what is usual is not stored */
    const volatile bool *stop; /* may be NULL */
    /* Before row is measured, as number done + 1 of all; may be NULL. */
    void (*progress)(void *user, const struct clfcn_tune_row *row, int done);
    void *user;
};

/* Measure the rows, those that cost the network most first, and store the winners.
 * CLFCN_EINTR if stopped: what was measured by then is stored. */
int clfcn_tuning_measure(struct clfcn_tuning *tuning, const struct clfcn_tune_how *how,
                         struct clfcn_err *err);

/* A first look at a device for which nothing is stored: a few seconds on the heaviest
 * passes. On a CPU, whose defaults were measured, only at parameters that leave every bit
 * of the results as it is: there one seed gives the same bits, whatever a race between
 * algorithms would have decided. A failure is only told. */
void clfcn_tune_first(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                      const struct clfcn_net_options *options, const volatile bool *stop);

#endif
