/* results.h - what `clfcn predict` makes of one picture: its results in memory, then as
 * files. */
#ifndef CLFCN_CLI_RESULTS_H
#define CLFCN_CLI_RESULTS_H

#include "../data/classes.h"
#include "inputs.h"
#include "npy.h"
#include <clfcn/predict.h>

/* Which results, of a network with these classes. */
struct cli_results_how {
    const char *out;                     /* folder */
    const struct clfcn_classes *classes; /* borrowed */
    int net_width, net_height;
    bool overlay, legend, logits;
    bool probs, prob_maps;
    double alpha;     /* of the overlay's colours */
    char **map_names; /* [classes] "probs.sky": suffix of each class's map */
};

/* Names for the maps, from the classes' names: only letters, digits, '-' and '_', and no
 * two the same in any case. NULL if memory is exhausted. */
char **cli_results_map_names(const struct clfcn_classes *classes);
void cli_results_free_names(char **names, int count);

/* One picture and its results. Zero-initialised is empty. */
struct cli_results {
    const struct cli_results_how *how;
    const struct cli_input_file *file;
    struct clfcn_image image;
    struct clfcn_image mask;
    float *logits;            /* [classes][net_height][net_width], or NULL */
    struct clfcn_image *maps; /* [classes], or NULL */
    struct cli_npy probs;
    uint64_t *pixels; /* [classes] of each in the mask, counted when it is written */
    size_t bytes;     /* of memory, roughly */
};

/* Decode the picture and make room. *unreadable tells whether an error is the picture's
 * fault. */
int cli_results_read(struct cli_results *r, const struct cli_results_how *how,
                     const struct cli_input_file *file, bool *unreadable,
                     struct clfcn_err *err);
/* Where the predictor is to put the results of r, which it gives back as user. */
struct clfcn_predict_job cli_results_job(struct cli_results *r);
/* Write the files. */
int cli_results_write(struct cli_results *r, struct clfcn_err *err);
void cli_results_free(struct cli_results *r);

#endif
