/* frame.h - what every OpenCL layer of the tests is: functions put over the driver's.
 *
 * OPENCL_LAYERS=a layer's file makes the ICD loader (2.3 or later) take it up. */
#ifndef CLFCN_TESTS_LAYERS_FRAME_H
#define CLFCN_TESTS_LAYERS_FRAME_H

#include <CL/cl_layer.h>
#include <stdbool.h>

/* The functions that the layer lies over. */
extern const cl_icd_dispatch *below;

/* The layer's own: put functions in place of those in above, which are those below. false
 * refuses to be taken up, as when the settings in the environment are wrong. */
bool take_up(cl_icd_dispatch *above);

/* Make an empty file, which says that the layer was taken up, as older loaders do not do.
 * true for a path of NULL, too. */
bool stamp(const char *path);

#endif
