/* pickle.c - the machine that a pickle is a program for: a stack, a memo, and those of
 * its operations that make plain values. */
#include "pickle.h"
#include "../util/array.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct machine {
    struct clfcn_pickle *pickle;
    const struct clfcn_pickle_hooks *hooks;
    const unsigned char *data;
    size_t size, at;
    struct clfcn_pickle_value **stack, **memo;
    size_t depth, stack_room, memo_count, memo_room;
    bool stopped;
    struct clfcn_err *err;
};

static struct clfcn_pickle_value mark = { .kind = CLFCN_PICKLE_MARK };

static int damaged(struct machine *m, const char *what)
{
    return clfcn_err_set(m->err, CLFCN_EDATA, 0, "%s", what);
}

/* --- the pickle's bytes --- */

static int too_short(struct machine *m)
{
    return damaged(m, m->size == CLFCN_PICKLE_MAX_BYTES ? "it is longer than 16 MiB"
                                                        : "it ends too early");
}

static int take(struct machine *m, size_t n, const unsigned char **out)
{
    if (n > m->size - m->at) {
        return too_short(m);
    }
    *out = m->data + m->at;
    m->at += n;
    return CLFCN_OK;
}

/* A little-endian number without sign of n <= 8 bytes. */
static int take_number(struct machine *m, size_t n, uint64_t *out)
{
    const unsigned char *bytes = NULL;
    const int rc = take(m, n, &bytes);
    *out = 0;
    for (size_t i = 0; rc == CLFCN_OK && i < n; ++i) {
        *out |= (uint64_t)bytes[i] << 8 * i;
    }
    return rc;
}

/* Bytes after their length, itself of n bytes. */
static int take_counted(struct machine *m, size_t n, const unsigned char **out,
                        size_t *length)
{
    uint64_t count;
    int rc = take_number(m, n, &count);
    if (rc == CLFCN_OK && count > m->size - m->at) {
        rc = too_short(m);
    }
    *length = (size_t)count;
    return rc < 0 ? rc : take(m, *length, out);
}

/* --- stack and memo --- */

static int reserve(struct machine *m, struct clfcn_pickle_value ***list, size_t *room,
                   size_t need)
{
    if (need > CLFCN_PICKLE_MAX_VALUES) {
        return damaged(m, "its stack or memo is too large");
    }
    struct clfcn_pickle_value **grown =
        clfcn_array_grow(*list, need, room, sizeof(**list));
    *list = grown ? grown : *list;
    return grown ? CLFCN_OK : clfcn_err_nomem(m->err);
}

static int push(struct machine *m, struct clfcn_pickle_value *v)
{
    const int rc = reserve(m, &m->stack, &m->stack_room, m->depth + 1);
    if (rc == CLFCN_OK) {
        m->stack[m->depth++] = v;
    }
    return rc;
}

static int push_new(struct machine *m, enum clfcn_pickle_kind kind,
                    struct clfcn_pickle_value **out)
{
    const int rc = clfcn_pickle_new(m->pickle, out, m->err);
    if (rc < 0) {
        return rc;
    }
    (*out)->kind = kind;
    return push(m, *out);
}

/* The value n below the top (0: the top), which must not lie below a mark. */
static struct clfcn_pickle_value *peek(struct machine *m, size_t n)
{
    for (size_t i = 0; i <= n; ++i) {
        if (i >= m->depth || m->stack[m->depth - 1 - i]->kind == CLFCN_PICKLE_MARK) {
            damaged(m, "its stack is empty where a value is needed");
            return NULL;
        }
    }
    return m->stack[m->depth - 1 - n];
}

/* Where the values above the topmost mark begin. */
static int find_mark(struct machine *m, size_t *first)
{
    for (size_t i = m->depth; i > 0; --i) {
        if (m->stack[i - 1]->kind == CLFCN_PICKLE_MARK) {
            *first = i;
            return CLFCN_OK;
        }
    }
    return damaged(m, "a mark is missing");
}

static int remember(struct machine *m, uint64_t index)
{
    struct clfcn_pickle_value *v = peek(m, 0);
    if (!v) {
        return CLFCN_EDATA;
    }
    /* They count up, and each takes bytes of the pickle to store. */
    if (index >= CLFCN_PICKLE_MAX_VALUES || index >= m->size) {
        return damaged(m, "its stack or memo is too large");
    }
    const int rc = reserve(m, &m->memo, &m->memo_room, (size_t)index + 1);
    if (rc == CLFCN_OK) {
        m->memo_count += m->memo[index] == NULL;
        m->memo[index] = v;
    }
    return rc;
}

/* --- operations: each is given its own code --- */

static int op_frame(struct machine *m, int op)
{
    uint64_t skipped;
    return take_number(m, op == 0x80 ? 1 : 8, &skipped);
}

static int op_stop(struct machine *m, int op)
{
    m->stopped = true;
    return m->depth == 1 && peek(m, 0) ? CLFCN_OK
                                       : damaged(m, "it ends with other than one value");
}

static int op_constant(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    const int rc = push_new(m, op == 'N' ? CLFCN_PICKLE_NONE : CLFCN_PICKLE_BOOL, &v);
    if (rc == CLFCN_OK) {
        v->number = op == 0x88;
    }
    return rc;
}

static int op_int(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    uint64_t number;
    int rc = take_number(m, op == 'K' ? 1 : op == 'M' ? 2 : 4, &number);
    if (rc == CLFCN_OK) {
        rc = push_new(m, CLFCN_PICKLE_INT, &v);
    }
    if (rc == CLFCN_OK) {
        v->number = op == 'J' ? (int32_t)(uint32_t)number : (int64_t)number;
    }
    return rc;
}

/* In two's complement, as short as can be. */
static int op_long(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    const unsigned char *bytes = NULL;
    size_t n;
    int rc = take_counted(m, op == 0x8a ? 1 : 4, &bytes, &n);
    if (rc == CLFCN_OK) {
        rc = push_new(m, n > 8 ? CLFCN_PICKLE_BIG : CLFCN_PICKLE_INT, &v);
    }
    if (rc < 0) {
        return rc;
    }
    if (n > 8) {
        v->text = bytes;
        v->length = n;
        return CLFCN_OK;
    }
    uint64_t number = n > 0 && (bytes[n - 1] & 0x80) ? UINT64_MAX : 0;
    for (size_t i = n; i > 0; --i) {
        number = number << 8 | bytes[i - 1];
    }
    memcpy(&v->number, &number, sizeof(number));
    return CLFCN_OK;
}

static int op_float(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    const unsigned char *skipped;
    const int rc = take(m, 8, &skipped);
    return rc < 0 ? rc : push_new(m, CLFCN_PICKLE_FLOAT, &v);
}

/* Text and bytes alike, after a length of one byte, four or eight. */
static int op_text(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    const unsigned char *bytes = NULL;
    const bool tiny = op == 'U' || op == 'C' || op == 0x8c;
    size_t n;
    int rc = take_counted(m, tiny ? 1 : op == 0x8d || op == 0x8e ? 8 : 4, &bytes, &n);
    if (rc == CLFCN_OK) {
        rc = push_new(m, CLFCN_PICKLE_TEXT, &v);
    }
    if (rc == CLFCN_OK) {
        v->text = bytes;
        v->length = n;
    }
    return rc;
}

static int op_empty(struct machine *m, int op)
{
    struct clfcn_pickle_value *v;
    return push_new(m,
                    op == ')'   ? CLFCN_PICKLE_TUPLE
                    : op == ']' ? CLFCN_PICKLE_LIST
                                : CLFCN_PICKLE_DICT,
                    &v);
}

static int op_mark(struct machine *m, int op)
{
    return push(m, &mark);
}

static int op_pop(struct machine *m, int op)
{
    size_t first = m->depth;
    if (op == '0') {
        return peek(m, 0) ? (--m->depth, CLFCN_OK) : CLFCN_EDATA;
    }
    const int rc = find_mark(m, &first);
    m->depth = rc < 0 ? m->depth : first - 1;
    return rc;
}

/* The values from first on become the items of a new tuple, in the place of what stands
 * from base on. */
static int make_tuple(struct machine *m, size_t first, size_t base)
{
    struct clfcn_pickle_value *tuple = NULL;
    const size_t end = m->depth;
    int rc = push_new(m, CLFCN_PICKLE_TUPLE, &tuple);
    for (size_t i = first; rc == CLFCN_OK && i < end; ++i) {
        rc = clfcn_pickle_append(m->pickle, tuple, m->stack[i], m->err);
    }
    if (rc == CLFCN_OK) {
        m->stack[base] = tuple;
        m->depth = base + 1;
    }
    return rc;
}

static int op_tuple(struct machine *m, int op)
{
    size_t first = 0;
    if (op == 't') {
        const int rc = find_mark(m, &first);
        return rc < 0 ? rc : make_tuple(m, first, first - 1);
    }
    const size_t n = (size_t)op - 0x84;
    return peek(m, n - 1) ? make_tuple(m, m->depth - n, m->depth - n) : CLFCN_EDATA;
}

/* Put the values from first on into the container below them, which stands at at. */
static int fill(struct machine *m, enum clfcn_pickle_kind kind, size_t at, size_t first)
{
    struct clfcn_pickle_value *to = m->stack[at];
    int rc = CLFCN_OK;
    if (to->kind != kind || (kind == CLFCN_PICKLE_DICT && (m->depth - first) % 2 != 0)) {
        return damaged(m, "items are added to what does not take them");
    }
    for (size_t i = first; rc == CLFCN_OK && i < m->depth; ++i) {
        rc = clfcn_pickle_append(m->pickle, to, m->stack[i], m->err);
    }
    m->depth = at + 1;
    return rc;
}

static int op_append(struct machine *m, int op)
{
    const size_t n = op == 'a' ? 1 : 2;
    return peek(m, n) ? fill(m, op == 'a' ? CLFCN_PICKLE_LIST : CLFCN_PICKLE_DICT,
                             m->depth - 1 - n, m->depth - n)
                      : CLFCN_EDATA;
}

static int op_appends(struct machine *m, int op)
{
    size_t first = 0;
    const int rc = find_mark(m, &first);
    if (rc < 0) {
        return rc;
    }
    if (first < 2) {
        return damaged(m, "its stack is empty where a value is needed");
    }
    return fill(m, op == 'e' ? CLFCN_PICKLE_LIST : CLFCN_PICKLE_DICT, first - 2, first);
}

static int op_put(struct machine *m, int op)
{
    uint64_t index = m->memo_count;
    const int rc = op == 0x94 ? CLFCN_OK : take_number(m, op == 'q' ? 1 : 4, &index);
    return rc < 0 ? rc : remember(m, index);
}

static int op_get(struct machine *m, int op)
{
    uint64_t index;
    const int rc = take_number(m, op == 'h' ? 1 : 4, &index);
    if (rc < 0) {
        return rc;
    }
    if (index >= m->memo_room || !m->memo[index]) {
        return damaged(m, "it recalls what it did not store");
    }
    return push(m, m->memo[index]);
}

/* --- operations that the hooks decide on --- */

/* A line of text without its end. */
static int take_line(struct machine *m, struct clfcn_pickle_value *out)
{
    const unsigned char *begin = m->data + m->at,
                        *end =
                            m->at < m->size ? memchr(begin, '\n', m->size - m->at) : NULL;
    if (!end) {
        return too_short(m);
    }
    *out = (struct clfcn_pickle_value){ .kind = CLFCN_PICKLE_TEXT,
                                        .text = begin,
                                        .length = (size_t)(end - begin) };
    m->at += out->length + 1;
    return CLFCN_OK;
}

static int push_global(struct machine *m, const struct clfcn_pickle_value *module,
                       const struct clfcn_pickle_value *name)
{
    struct clfcn_pickle_value *v;
    const int rc = push_new(m, CLFCN_PICKLE_GLOBAL, &v);
    return rc < 0 ? rc : m->hooks->find(m->hooks->user, module, name, v, m->err);
}

static int op_global(struct machine *m, int op)
{
    struct clfcn_pickle_value module, name;
    int rc = take_line(m, &module);
    if (rc == CLFCN_OK) {
        rc = take_line(m, &name);
    }
    return rc < 0 ? rc : push_global(m, &module, &name);
}

static int op_stack_global(struct machine *m, int op)
{
    const struct clfcn_pickle_value *name = peek(m, 0), *module = peek(m, 1);
    if (!name || !module || name->kind != CLFCN_PICKLE_TEXT ||
        module->kind != CLFCN_PICKLE_TEXT) {
        return damaged(m, "a class is named by other than text");
    }
    m->depth -= 2;
    return push_global(m, module, name);
}

static int op_reduce(struct machine *m, int op)
{
    const struct clfcn_pickle_value *args = peek(m, 0), *callee = peek(m, 1);
    struct clfcn_pickle_value *v;
    if (!args || !callee || callee->kind != CLFCN_PICKLE_GLOBAL ||
        args->kind != CLFCN_PICKLE_TUPLE) {
        return damaged(m, "it calls what is no function");
    }
    m->depth -= 2;
    const int rc = push_new(m, CLFCN_PICKLE_NONE, &v);
    return rc < 0 ? rc : m->hooks->call(m->hooks->user, callee, args, v, m->err);
}

static int op_persistent(struct machine *m, int op)
{
    const struct clfcn_pickle_value *id = peek(m, 0);
    struct clfcn_pickle_value *v;
    if (!id) {
        return CLFCN_EDATA;
    }
    --m->depth;
    const int rc = push_new(m, CLFCN_PICKLE_NONE, &v);
    return rc < 0 ? rc : m->hooks->persistent(m->hooks->user, id, v, m->err);
}

/* Attributes, such as a state_dict's versions, or whether a parameter wants a gradient:
 * not needed. Five of them were a tensor's own content, before PyTorch 0.2. */
static int op_build(struct machine *m, int op)
{
    const struct clfcn_pickle_value *state = peek(m, 0), *object = peek(m, 1);
    if (!state || !object ||
        (object->kind != CLFCN_PICKLE_DICT && object->kind != CLFCN_PICKLE_OBJECT) ||
        (object->kind == CLFCN_PICKLE_OBJECT && state->count > 3)) {
        return damaged(m, "attributes are set on what has none");
    }
    --m->depth;
    return CLFCN_OK;
}

static int (*const operations[256])(struct machine *m, int op) = {
    [0x80] = op_frame,   [0x95] = op_frame,        ['.'] = op_stop,
    ['N'] = op_constant, [0x88] = op_constant,     [0x89] = op_constant,
    ['J'] = op_int,      ['K'] = op_int,           ['M'] = op_int,
    [0x8a] = op_long,    [0x8b] = op_long,         ['G'] = op_float,
    ['X'] = op_text,     [0x8c] = op_text,         [0x8d] = op_text,
    ['T'] = op_text,     ['U'] = op_text,          ['B'] = op_text,
    ['C'] = op_text,     [0x8e] = op_text,         [')'] = op_empty,
    [']'] = op_empty,    ['}'] = op_empty,         ['('] = op_mark,
    ['0'] = op_pop,      ['1'] = op_pop,           ['t'] = op_tuple,
    [0x85] = op_tuple,   [0x86] = op_tuple,        [0x87] = op_tuple,
    ['a'] = op_append,   ['s'] = op_append,        ['e'] = op_appends,
    ['u'] = op_appends,  ['q'] = op_put,           ['r'] = op_put,
    [0x94] = op_put,     ['h'] = op_get,           ['j'] = op_get,
    ['c'] = op_global,   [0x93] = op_stack_global, ['R'] = op_reduce,
    [0x81] = op_reduce,  ['Q'] = op_persistent,    ['b'] = op_build,
};

static int step(struct machine *m)
{
    const unsigned char *op = NULL;
    int rc = take(m, 1, &op);
    if (rc < 0) {
        return rc;
    }
    if (!operations[*op]) {
        return clfcn_err_set(m->err, CLFCN_EDATA, 0,
                             "operation 0x%02x is none that plain data needs", *op);
    }
    return operations[*op](m, *op);
}

int clfcn_pickle_read(struct clfcn_pickle *p, const unsigned char *data, size_t size,
                      const struct clfcn_pickle_hooks *hooks, size_t *used,
                      const struct clfcn_pickle_value **out, struct clfcn_err *err)
{
    struct machine m = { .pickle = p,
                         .hooks = hooks,
                         .data = data,
                         .size = size < CLFCN_PICKLE_MAX_BYTES ? size
                                                               : CLFCN_PICKLE_MAX_BYTES,
                         .err = err };
    int rc = CLFCN_OK;
    size_t at = 0;
    while (rc == CLFCN_OK && !m.stopped) {
        at = m.at;
        rc = step(&m);
    }
    if (rc < 0) {
        clfcn_err_note(err, "pickle, byte %zu", at);
    }
    *used = m.at;
    *out = rc < 0 ? NULL : m.stack[0];
    free(m.stack);
    free(m.memo);
    return rc;
}
