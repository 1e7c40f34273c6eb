/* texts.c - texts of any length, gathered. */
#include "../util/err.h"
#include "comm.h"
#include <stdlib.h>
#include <string.h>

/* Room for size texts of so many bytes, and pointers to them in front. */
static char **make_texts(int size, size_t bytes)
{
    const size_t count = (size_t)size;
    char **texts = calloc(1, count * (sizeof(*texts) + bytes) + 1);
    for (size_t r = 0; texts && r < count; ++r) {
        texts[r] = (char *)(texts + count) + r * bytes;
    }
    return texts;
}

int clfcn_comm_gather_text(struct clfcn_comm *comm, const char *mine, char ***all,
                           struct clfcn_err *err)
{
    const int size = clfcn_comm_size(comm);
    uint64_t own = mine ? strlen(mine) + 1 : 0, most = 0; /* 0: NULL */
    uint64_t *lengths = calloc((size_t)size, sizeof(*lengths));
    *all = NULL;
    int rc = clfcn_comm_agree(comm, lengths ? CLFCN_OK : clfcn_err_nomem(err), err);
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_gather(comm, &own, sizeof(own), lengths, err);
    }
    for (int r = 0; rc == CLFCN_OK && r < size; ++r) {
        most = lengths[r] > most ? lengths[r] : most;
    }
    char **texts = rc == CLFCN_OK ? make_texts(size, (size_t)most) : NULL;
    char *padded = rc == CLFCN_OK ? calloc(1, (size_t)most + 1) : NULL;
    if (rc == CLFCN_OK) {
        rc = clfcn_comm_agree(comm, texts && padded ? CLFCN_OK : clfcn_err_nomem(err),
                              err);
    }
    if (rc == CLFCN_OK && most > 0) {
        memcpy(padded, mine ? mine : "", mine ? (size_t)own : 1);
        rc = clfcn_comm_gather(comm, padded, (size_t)most, (char *)(texts + size), err);
    }
    for (int r = 0; rc == CLFCN_OK && r < size; ++r) {
        texts[r] = lengths[r] > 0 ? texts[r] : NULL;
    }
    free(lengths);
    free(padded);
    if (rc < 0) {
        free(texts);
    } else {
        *all = texts;
    }
    return rc;
}
