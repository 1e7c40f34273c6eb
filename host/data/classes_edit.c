/* classes_edit.c - copies of classes, and more values for what they ignore. */
#include "classes.h"
#include <stdlib.h>
#include <string.h>

int clfcn_classes_copy(const struct clfcn_classes *from, struct clfcn_classes *to,
                       struct clfcn_err *err)
{
    *to = (struct clfcn_classes){ 0 };
    to->list = calloc((size_t)from->count, sizeof *to->list);
    to->rules = calloc((size_t)from->rule_count, sizeof *to->rules);
    if (!to->list || !to->rules) {
        clfcn_classes_free(to);
        return clfcn_err_nomem(err);
    }
    memcpy(to->list, from->list, (size_t)from->count * sizeof *to->list);
    memcpy(to->rules, from->rules, (size_t)from->rule_count * sizeof *to->rules);
    to->count = from->count;
    to->rule_count = from->rule_count;
    to->built_in = from->built_in;
    return CLFCN_OK;
}

static bool overlap(const struct clfcn_class_rule *a, const struct clfcn_class_rule *b)
{
    return a->rgb == b->rgb && a->lo <= b->hi && b->lo <= a->hi;
}

/* Whether no class has a value of the rule. */
static int check_free(const struct clfcn_classes *c, const struct clfcn_class_rule *rule,
                      struct clfcn_err *err)
{
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule *r = &c->rules[i];
        if (r->label != CLFCN_IGNORE && overlap(r, rule)) {
            const struct clfcn_unknown_value shared = {
                .rgb = rule->rgb, .value = rule->lo > r->lo ? rule->lo : r->lo
            };
            char value[CLFCN_VALUE_LEN];
            return clfcn_err_set(
                err, CLFCN_EINVAL, 0,
                "--ignore: value %s is class '%s'; a value counts either "
                "as a class or not at all",
                clfcn_value_text(&shared, value), c->list[r->label].name);
        }
    }
    return CLFCN_OK;
}

/* Add a rule that is no class's. Rules never overlap: ignored ones that it meets become
 * one with it. */
static void add_rule(struct clfcn_classes *c, struct clfcn_class_rule rule)
{
    int kept = 0;
    for (int i = 0; i < c->rule_count; ++i) {
        const struct clfcn_class_rule r = c->rules[i];
        if (overlap(&r, &rule)) {
            rule.lo = r.lo < rule.lo ? r.lo : rule.lo;
            rule.hi = r.hi > rule.hi ? r.hi : rule.hi;
        } else {
            c->rules[kept++] = r;
        }
    }
    c->rules[kept++] = rule;
    c->rule_count = kept;
}

int clfcn_classes_ignore(struct clfcn_classes *c, const char *values,
                         struct clfcn_err *err)
{
    struct clfcn_class_rule *rules, *grown = NULL;
    int count;
    int rc =
        clfcn_classes_parse_values(values, "--ignore", CLFCN_IGNORE, &rules, &count, err);
    if (rc == CLFCN_OK && count == 0) {
        rc = clfcn_err_set(err, CLFCN_EINVAL, 0, "--ignore: no mask values");
    }
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        rc = check_free(c, &rules[i], err);
    }
    if (rc == CLFCN_OK) {
        grown = realloc(c->rules, (size_t)(c->rule_count + count) * sizeof *grown);
        rc = grown ? CLFCN_OK : clfcn_err_nomem(err);
    }
    c->rules = grown ? grown : c->rules;
    for (int i = 0; i < count && rc == CLFCN_OK; ++i) {
        add_rule(c, rules[i]);
    }
    free(rules);
    return rc;
}
