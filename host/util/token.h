/* token.h - secrets that cannot be guessed. */
#ifndef CLFCN_UTIL_TOKEN_H
#define CLFCN_UTIL_TOKEN_H

#include "err.h"

/* 128 bits from the system's source of randomness, as hexadecimal digits. */
enum { CLFCN_TOKEN_LEN = 33 };
int clfcn_token_make(char token[CLFCN_TOKEN_LEN], struct clfcn_err *err);

/* Whether given, which may be NULL, is token; takes as long wherever they differ. */
bool clfcn_token_equal(const char *token, const char *given);

#endif
