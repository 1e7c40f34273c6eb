/* tfrecord.h - TFRecord files: byte strings, each with its length and checksums. */
#ifndef CLFCN_REPORT_TFRECORD_H
#define CLFCN_REPORT_TFRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* CRC-32C (Castagnoli), as in RFC 3720. */
uint32_t clfcn_crc32c(const void *data, size_t n);

/* Append a record to f; false if that fails, errno says why. */
bool clfcn_tfrecord_write(FILE *f, const void *data, size_t n);

#endif
