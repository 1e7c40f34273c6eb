/* token.c - secrets that cannot be guessed. */
#include "token.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int clfcn_token_make(char token[CLFCN_TOKEN_LEN], struct clfcn_err *err)
{
    unsigned char bytes[(CLFCN_TOKEN_LEN - 1) / 2];
    if (getentropy(bytes, sizeof(bytes)) < 0) {
        return clfcn_err_errno(err, errno, "no random numbers");
    }
    for (size_t i = 0; i < sizeof(bytes); ++i) {
        snprintf(token + 2 * i, 3, "%02x", bytes[i]);
    }
    return CLFCN_OK;
}

bool clfcn_token_equal(const char *token, const char *given)
{
    const size_t n = strlen(token), m = given ? strlen(given) : 0;
    unsigned char differ = n != m;
    for (size_t i = 0; i < n; ++i) { /* no early end: its time would tell the prefix */
        differ |= (unsigned char)(token[i] ^ (i < m ? given[i] : 0));
    }
    return differ == 0;
}
