/* pickle_write.h - writing Python pickles of protocol 2, as torch.save() does: a value is
 * put after those that it is made of. */
#ifndef CLFCN_NET_PICKLE_WRITE_H
#define CLFCN_NET_PICKLE_WRITE_H

#include "../util/strbuf.h"

/* Opcodes that stand alone (Lib/pickletools.py of Python). */
enum clfcn_pickle_op {
    CLFCN_PICKLE_OP_EMPTY_TUPLE = ')',
    CLFCN_PICKLE_OP_FALSE = 0x89,
    CLFCN_PICKLE_OP_MARK = '(',     /* where the items of what follows begin */
    CLFCN_PICKLE_OP_TUPLE = 't',    /* of the values since the mark */
    CLFCN_PICKLE_OP_SETITEMS = 'u', /* keys and values since it, into the dictionary */
    CLFCN_PICKLE_OP_REDUCE = 'R',   /* the function below, called with the tuple */
    CLFCN_PICKLE_OP_PERSISTENT = 'Q', /* what the tuple stands for outside the pickle */
    CLFCN_PICKLE_OP_STOP = '.'
};

/* All append to out, whose failed says in the end whether memory sufficed. */
void clfcn_pickle_put_header(struct clfcn_strbuf *out);
void clfcn_pickle_put_op(struct clfcn_strbuf *out, enum clfcn_pickle_op op);
void clfcn_pickle_put_int(struct clfcn_strbuf *out, int64_t number);
void clfcn_pickle_put_text(struct clfcn_strbuf *out, const char *text);
/* A class or function. */
void clfcn_pickle_put_global(struct clfcn_strbuf *out, const char *module,
                             const char *name);
/* A tuple of integers. */
void clfcn_pickle_put_ints(struct clfcn_strbuf *out, const int64_t *numbers, int count);

#endif
