/* tfrecord.h - TFRecord files: byte strings, each with its length and checksums. */
#ifndef CLFCN_REPORT_TFRECORD_H
#define CLFCN_REPORT_TFRECORD_H

#include "../util/output.h"

/* CRC-32C (Castagnoli), as in RFC 3720. */
uint32_t clfcn_crc32c(const void *data, size_t n);

/* Append a record. Returns 0, or errno. */
int clfcn_tfrecord_write(struct clfcn_output *out, const void *data, size_t n);

#endif
