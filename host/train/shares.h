/* shares.h - who of several ranks takes how much of a batch. */
#ifndef CLFCN_TRAIN_SHARES_H
#define CLFCN_TRAIN_SHARES_H

#include "../util/err.h"

/* What --balance says. */
enum clfcn_balance {
    CLFCN_BALANCE_AUTO,  /* by measured speed */
    CLFCN_BALANCE_EQUAL, /* the same for all, as near as whole images allow */
    CLFCN_BALANCE_GIVEN  /* in the proportion of given numbers */
};

/* Read "auto", "equal" (also for NULL: auto) or numbers such as "2:1:1", of which there
 * must be as many as ranks, each at least 1: those go to weights [ranks], which is all 1
 * otherwise; weights may be NULL, and ranks 0: then only the text is checked.
 * CLFCN_EINVAL says what is wrong. */
int clfcn_balance_parse(const char *text, int ranks, double *weights,
                        enum clfcn_balance *kind, struct clfcn_err *err);

/* Divide a batch among ranks that make speeds [ranks] (> 0) images a second, so that the
 * slowest is done as soon as can be; each takes one image at least: batch >= ranks. Equal
 * speeds give shares that differ by one at most, the larger ones first. */
void clfcn_shares_divide(int batch, const double *speeds, int ranks, int *shares);

/* Seconds until the last rank is done with its share. */
double clfcn_shares_seconds(const int *shares, const double *speeds, int ranks);

/* Speeds that differ by less than this part of the larger are taken for equal: devices of
 * one kind then have equal shares, and a run its bits, whatever the measurement's
 * noise. */
#define CLFCN_SHARES_NOISE 0.15

/* Make all speeds the same where they are so by that measure. */
void clfcn_shares_even(double *speeds, int ranks);

/* The rank without which the others would be done with the same batch sooner, and by more
 * than that; -1 if there is none. *seconds receives their time then. */
int clfcn_shares_drag(int batch, const double *speeds, int ranks, double *seconds);

#endif
