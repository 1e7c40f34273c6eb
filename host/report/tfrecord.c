/* tfrecord.c - TFRecord files: byte strings, each with its length and checksums. The
 * layout is that of tensorflow/core/lib/io/record_writer.h: length (8 bytes), checksum of
 * it (4), data, checksum of them (4), all little-endian. */
#include "tfrecord.h"

enum { LENGTH_BYTES = 8, CHECKSUM_BYTES = 4 };

uint32_t clfcn_crc32c(const void *data, size_t n)
{
    /* What four zero bits make of each remainder of four bits; polynomial 0x82f63b78. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const unsigned char *bytes = data;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < n; ++i) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void put_little_endian(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; ++i) {
        to[i] = (unsigned char)(value >> 8 * i);
    }
}

/* A checksum of data that hold checksums would be weak: TFRecords rotate it and add a
 * constant. */
static void put_checksum(unsigned char *to, const void *data, size_t n)
{
    const uint32_t crc = clfcn_crc32c(data, n);
    put_little_endian(to, (uint32_t)((crc >> 15 | crc << 17) + 0xa282ead8u),
                      CHECKSUM_BYTES);
}

int clfcn_tfrecord_write(struct clfcn_output *out, const void *data, size_t n)
{
    unsigned char head[LENGTH_BYTES + CHECKSUM_BYTES], foot[CHECKSUM_BYTES];
    put_little_endian(head, n, LENGTH_BYTES);
    put_checksum(head + LENGTH_BYTES, head, LENGTH_BYTES);
    put_checksum(foot, data, n);
    clfcn_output_put(out, head, sizeof(head));
    clfcn_output_put(out, data, n);
    return clfcn_output_put(out, foot, sizeof(foot)); /* a first error stays */
}
