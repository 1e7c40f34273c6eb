/* ranks.h - what `clfcn plan` says of training on several ranks. */
#ifndef CLFCN_CLI_RANKS_H
#define CLFCN_CLI_RANKS_H

#include "../net/scaling.h"
#include "measured.h"

enum { CLI_RANKS_MOST = 16, CLI_RANKS_HIGHEST = 65536 };

/* How the batch grows with the ranks. */
enum cli_scaling { CLI_SCALING_BOTH, CLI_SCALING_STRONG, CLI_SCALING_WEAK };

/* The options as they are given, then what they come to. */
struct cli_ranks {
    const char *list;                       /* NULL: not wanted */
    const char *bandwidth, *latency, *copy; /* with their units */
    enum clfcn_wire exchange;
    enum clfcn_sync_bn sync_bn;
    enum cli_scaling scaling;
    double step_ms;       /* 0: not given */
    const char *measured; /* file or folder, or NULL */

    int ranks[CLI_RANKS_MOST], count; /* in ascending order, without 1 */
    struct clfcn_link link; /* but for sync_norm, which may differ from row to row */
    bool assumed_bandwidth, assumed_latency, assumed_copy;
    struct cli_measured step; /* ms NaN: to be estimated */
};

#define CLI_RANKS_DEFAULTS \
    { .bandwidth = "1Gbit/s", .latency = "50us", .copy = "8GB/s" }

const char *cli_choice_scaling(int i);

#define CLI_RANKS_ROWS(r) \
    CLI_GROUP_ROW("On several ranks, each with a device of its own"), \
    { .name = "ranks", .kind = CLI_STRING, .target = &(r)->list, .arg = "K,...", \
      .help = "also say what training takes on so many ranks: 8, or 2,8,64", \
      .dflt = "" }, \
    { .name = "scaling", .kind = CLI_CHOICE, .target = &(r)->scaling, \
      .choice = cli_choice_scaling, \
      .help = "strong: --batch is divided among the ranks; weak: each takes so many" }, \
    { .name = "bandwidth", .kind = CLI_STRING, .target = &(r)->bandwidth, .arg = "RATE", \
      .help = "of a rank's link, each way: 100Mbit/s, 10Gbit/s, 1.2GB/s; of a link that " \
              "several share, a part" }, \
    { .name = "latency", .kind = CLI_STRING, .target = &(r)->latency, .arg = "TIME", \
      .help = "of a message from rank to rank: 50us, 0.2ms" }, \
    { .name = "copy-rate", .kind = CLI_STRING, .target = &(r)->copy, .arg = "RATE", \
      .help = "of copies between a device and its host: 8GB/s" }, \
    { .name = "exchange", .kind = CLI_CHOICE, .target = &(r)->exchange, \
      .choice = cli_choice_wire, .help = "how gradients travel" }, \
    { .name = "sync-bn", .kind = CLI_CHOICE, .target = &(r)->sync_bn, \
      .choice = cli_choice_sync_bn, \
      .help = "batch norm over all their images; auto: if one has fewer than 8" }, \
    { .name = "step-ms", .kind = CLI_DOUBLE, .target = &(r)->step_ms, .arg = "MS", \
      .help = "what a step of --batch images was measured to take on one device", \
      .dflt = "the estimate" }, \
    { .name = "measured", .kind = CLI_STRING, .target = &(r)->measured, .arg = "PATH", \
      .help = "take that, and the network, from what bench --json printed or from a " \
              "run's folder", \
      .dflt = "" }

/* Convert and check what was given, and read r->measured; the network that options
 * describe becomes that one. CLFCN_EINVAL names the option. */
int cli_ranks_read(struct cli_ranks *r, struct cli_option *options, struct clfcn_err *err);

/* A row of a table. */
struct cli_ranks_row {
    int ranks, share; /* images of the rank that has most; 0: there are too few for all */
    bool fits;        /* a rank's share in its device's memory */
    bool known;       /* false: none of what follows is */
    struct clfcn_scaled_step step;
    double images_per_s, speedup, efficiency; /* NaN where one rank cannot do it */
    enum clfcn_scaling_limit limit;
};

/* Of strong or of weak scaling; the first row is one rank. */
struct cli_ranks_table {
    struct cli_ranks_row rows[CLI_RANKS_MOST + 1];
    int count;
};

struct cli_ranks_forecast {
    struct cli_ranks_table strong, weak; /* without rows if it is not wanted */
    double step_ms, backward_share;      /* of one rank with the whole batch; or NaN */
};

/* Whether a network is within the device's and the user's limits. (cmd_plan.c) */
bool cli_plan_fits(const struct clfcn_net_memory *m, size_t limit,
                   const struct clfcn_device_info *info);

/* desc, with the whole batch, as cli_ranks_read() left it. */
int cli_ranks_forecast(const struct cli_ranks *r, struct clfcn_dev *dev,
                       const struct clfcn_net_desc *desc,
                       const struct clfcn_net_options *how,
                       struct cli_ranks_forecast *out, struct clfcn_err *err);
/* Whether any number of several ranks can do it. */
bool cli_ranks_any_fits(const struct cli_ranks_forecast *f);

/* Both in ranks_view.c. A new reference, or NULL if memory is exhausted. */
json_t *cli_ranks_to_json(const struct cli_ranks *r, const struct cli_ranks_forecast *f);
void cli_ranks_print(const struct cli_ranks *r, const struct cli_ranks_forecast *f);

#endif
