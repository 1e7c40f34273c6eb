/* legend.h - which colour is which class, below a picture. */
#ifndef CLFCN_TRAIN_LEGEND_H
#define CLFCN_TRAIN_LEGEND_H

#include "../data/classes.h"

/* Put colour and name of the classes that are shown below an 8-bit RGB image, which
 * becomes as much higher, and wider if a name needs it. shown [classes->count]. On error
 * *im stays as it is. */
int clfcn_legend_add(struct clfcn_image *im, const struct clfcn_classes *classes,
                     const bool *shown, struct clfcn_err *err);

#endif
