/* predictor.h - making a predictor of a network that is there already, and pictures of
 * other depths. */
#ifndef CLFCN_TRAIN_PREDICTOR_H
#define CLFCN_TRAIN_PREDICTOR_H

#include "../data/classes.h"
#include <clfcn/predict.h>

/* A predictor of a network made for inference, which becomes the predictor's own, also on
 * error: *net is NULL afterwards. classes are copied; options->net and options->classes
 * are not looked at. */
int clfcn_predictor_wrap(struct clfcn_net **net, const struct clfcn_classes *classes,
                         const struct clfcn_predict_options *options,
                         struct clfcn_predictor **out, struct clfcn_err *err);

/* As clfcn_predictor_submit(), of an RGB image, 8 or 16 bit, in place of the job's
 * pixels; its samples are borrowed. */
int clfcn_predictor_submit_image(struct clfcn_predictor *p,
                                 const struct clfcn_image *image,
                                 const struct clfcn_predict_job *job,
                                 struct clfcn_err *err);

/* CLFCN_EINVAL names the option that is out of range for a network of this size, as the
 * command line spells it. */
int clfcn_predict_check(const struct clfcn_predict_options *options,
                        const struct clfcn_net_desc *net, struct clfcn_err *err);

#endif
