/* pickle.h - Python pickles as plain values. Nothing is executed: whatever is no number,
 * text or container goes to the caller's hooks, who know what they allow.
 * Format: Lib/pickletools.py of Python, protocols 2 to 5. */
#ifndef CLFCN_NET_PICKLE_H
#define CLFCN_NET_PICKLE_H

#include "../util/err.h"

enum clfcn_pickle_kind {
    CLFCN_PICKLE_NONE,
    CLFCN_PICKLE_BOOL,
    CLFCN_PICKLE_INT,
    CLFCN_PICKLE_BIG,   /* an int of more than 8 bytes: they are in text */
    CLFCN_PICKLE_FLOAT, /* its number is not kept */
    CLFCN_PICKLE_TEXT,
    CLFCN_PICKLE_TUPLE,
    CLFCN_PICKLE_LIST,
    CLFCN_PICKLE_DICT,
    CLFCN_PICKLE_GLOBAL, /* a Python class or function that the hooks know */
    CLFCN_PICKLE_OBJECT, /* what the hooks made */
    CLFCN_PICKLE_MARK    /* on the stack only */
};

struct clfcn_pickle_value {
    enum clfcn_pickle_kind kind;
    int type;                  /* GLOBAL, OBJECT: the hooks' own */
    int64_t number;            /* BOOL, INT; GLOBAL, OBJECT: the hooks' own */
    const unsigned char *text; /* borrowed from the pickle, not terminated */
    size_t length;
    struct clfcn_pickle_value **items; /* TUPLE, LIST; DICT: key, value, key, ... */
    size_t count, room;
};

/* Each fills *out, which is NONE before; an error stops the reading. */
struct clfcn_pickle_hooks {
    void *user;
    /* GLOBAL, a class or function by name: module and name are TEXT. */
    int (*find)(void *user, const struct clfcn_pickle_value *module,
                const struct clfcn_pickle_value *name, struct clfcn_pickle_value *out,
                struct clfcn_err *err);
    /* What callee, a GLOBAL, makes of a TUPLE. */
    int (*call)(void *user, const struct clfcn_pickle_value *callee,
                const struct clfcn_pickle_value *args, struct clfcn_pickle_value *out,
                struct clfcn_err *err);
    /* What a persistent id stands for. */
    int (*persistent)(void *user, const struct clfcn_pickle_value *id,
                      struct clfcn_pickle_value *out, struct clfcn_err *err);
};

/* A file may claim no more than this. */
enum {
    CLFCN_PICKLE_MAX_BYTES = 16 << 20,
    CLFCN_PICKLE_MAX_VALUES = 1 << 20, /* also of the stack and of memo entries */
    CLFCN_PICKLE_MAX_ITEMS = 4 << 20,  /* of all containers: one value may be in many */
};

/* Owns the values of the pickles read with it, which may refer to one another, even in
 * circles. Zero-initialised is empty. */
struct clfcn_pickle {
    struct clfcn_pickle_value **values;
    size_t count, room;
    size_t items; /* in all containers */
};

/* Read one pickle from the start of data, which its values borrow. *used receives its
 * length, *out its value. CLFCN_EDATA says what is wrong and at which byte. */
int clfcn_pickle_read(struct clfcn_pickle *p, const unsigned char *data, size_t size,
                      const struct clfcn_pickle_hooks *hooks, size_t *used,
                      const struct clfcn_pickle_value **out, struct clfcn_err *err);
void clfcn_pickle_free(struct clfcn_pickle *p);

/* *out is a new NONE, owned by p. CLFCN_EDATA if there are too many. */
int clfcn_pickle_new(struct clfcn_pickle *p, struct clfcn_pickle_value **out,
                     struct clfcn_err *err);
/* Put item at the end of the items of container, a value of p. CLFCN_EDATA if there are
 * too many. */
int clfcn_pickle_append(struct clfcn_pickle *p, struct clfcn_pickle_value *container,
                        struct clfcn_pickle_value *item, struct clfcn_err *err);

bool clfcn_pickle_is(const struct clfcn_pickle_value *v, const char *text);
/* The value of the last key of that text, or NULL. */
const struct clfcn_pickle_value *clfcn_pickle_get(const struct clfcn_pickle_value *dict,
                                                  const char *key);
/* TEXT for messages: cut to what fits buf and freed of control characters. */
const char *clfcn_pickle_show(const struct clfcn_pickle_value *v, char *buf, size_t n);

#endif
