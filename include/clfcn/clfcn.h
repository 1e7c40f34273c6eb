/* clfcn.h - everything: train fully convolutional networks on any OpenCL device. */
#ifndef CLFCN_CLFCN_H
#define CLFCN_CLFCN_H

#include "comm.h"
#include "common.h"
#include "data.h"
#include "device.h"
#include "loader.h"
#include "net.h"
#include "predict.h"
#include "train.h"

#endif
