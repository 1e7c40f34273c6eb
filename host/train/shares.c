#include "shares.h"

#include <stdlib.h>
#include <string.h>

int clfcn_balance_parse(const char *text, int ranks, double *weights,
                        enum clfcn_balance *kind, struct clfcn_err *err)
{
    for (int i = 0; weights != NULL && i < ranks; ++i) {
        weights[i] = 1;
    }
    *kind = CLFCN_BALANCE_AUTO;
    if (text == NULL || strcmp(text, "auto") == 0) {
        return CLFCN_OK;
    }
    if (strcmp(text, "equal") == 0) {
        *kind = CLFCN_BALANCE_EQUAL;
        return CLFCN_OK;
    }
    *kind = CLFCN_BALANCE_GIVEN;
    int count = 0;
    for (const char *s = text;; ++s) {
        char *end;
        const double w = strtod(s, &end);
        if (end == s || !(w >= 1 && w <= 1e6) || (*end != ':' && *end != '\0')) {
            return clfcn_err_set(err, CLFCN_EINVAL, 0,
                                 "--balance must be auto, equal, or numbers from 1 on "
                                 "with colons between them, one a rank, not '%s'",
                                 text);
        }
        if (weights != NULL && count < ranks) {
            weights[count] = w;
        }
        ++count;
        s = end;
        if (*s == '\0') {
            break;
        }
    }
    return ranks == 0 || count == ranks
               ? CLFCN_OK
               : clfcn_err_set(
                     err, CLFCN_EINVAL, 0,
                     "--balance %s has %d numbers for %d ranks: give one for each", text,
                     count, ranks);
}

/* Image after image to the rank that would be done with it first: no other division has
 * its last rank done sooner. */
void clfcn_shares_divide(int batch, const double *speeds, int ranks, int *shares)
{
    for (int i = 0; i < ranks; ++i) {
        shares[i] = 1;
    }
    for (int n = ranks; n < batch; ++n) {
        int first = 0;
        for (int i = 1; i < ranks; ++i) {
            if ((shares[i] + 1) / speeds[i] < (shares[first] + 1) / speeds[first]) {
                first = i;
            }
        }
        ++shares[first];
    }
}

double clfcn_shares_seconds(const int *shares, const double *speeds, int ranks)
{
    double longest = 0;
    for (int i = 0; i < ranks; ++i) {
        const double s = shares[i] / speeds[i];
        longest = s > longest ? s : longest;
    }
    return longest;
}

int clfcn_shares_drag(int batch, const double *speeds, int ranks, double *seconds)
{
    int *shares = calloc((size_t)ranks, sizeof(*shares));
    double *rest = calloc((size_t)ranks, sizeof(*rest));
    int drag = -1;
    if (shares != NULL && rest != NULL && ranks > 1) {
        clfcn_shares_divide(batch, speeds, ranks, shares);
        *seconds = clfcn_shares_seconds(shares, speeds, ranks) * (1 - CLFCN_SHARES_NOISE);
        for (int out = 0; out < ranks; ++out) {
            memcpy(rest, speeds, (size_t)out * sizeof(*rest));
            memcpy(rest + out, speeds + out + 1,
                   (size_t)(ranks - out - 1) * sizeof(*rest));
            clfcn_shares_divide(batch, rest, ranks - 1, shares);
            const double s = clfcn_shares_seconds(shares, rest, ranks - 1);
            if (s < *seconds) {
                *seconds = s;
                drag = out;
            }
        }
    }
    free(shares);
    free(rest);
    return drag;
}

void clfcn_shares_even(double *speeds, int ranks)
{
    double low = speeds[0], high = speeds[0];
    for (int i = 1; i < ranks; ++i) {
        low = speeds[i] < low ? speeds[i] : low;
        high = speeds[i] > high ? speeds[i] : high;
    }
    for (int i = 0; low >= (1 - CLFCN_SHARES_NOISE) * high && i < ranks; ++i) {
        speeds[i] = high;
    }
}
