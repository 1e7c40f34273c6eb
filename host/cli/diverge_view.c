/* diverge_view.c - what clfcn diverge prints: a table, and the report at its end. */
#include "diverge.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *cli_diverge_wrong(const struct clfcn_diverge_first *first)
{
    const struct clfcn_difference *d = &first->difference;
    const double a = isfinite(d->a) ? fabs(d->a - first->reference) : INFINITY;
    const double b = isfinite(d->b) ? fabs(d->b - first->reference) : INFINITY;
    if (!first->has_reference) {
        return NULL;
    }
    return 10 * a < b ? "B" : 10 * b < a ? "A" : "both";
}

const char *cli_diverge_what(const struct clfcn_diverge_row *row,
                             char text[CLI_DIVERGE_WHAT])
{
    if (strcmp(row->pass, row->tensor) == 0) {
        snprintf(text, CLI_DIVERGE_WHAT, "%s", row->tensor);
    } else {
        snprintf(text, CLI_DIVERGE_WHAT, "%s: %s", row->pass, row->tensor);
    }
    return text;
}

static bool same_pass(const struct clfcn_diverge_row *a,
                      const struct clfcn_diverge_row *b)
{
    return strcmp(a->layer, b->layer) == 0 && strcmp(a->pass, b->pass) == 0;
}

/* How much of its tolerance a row took; of what must be the same bits, none or too much.
 */
static double share(const struct clfcn_diverge_row *row)
{
    return row->worst.relative > 0 ? row->worst.relative / row->tolerance : 0;
}

static bool is_worse(const struct clfcn_diverge_row *a, const struct clfcn_diverge_row *b)
{
    const bool beyond = a->beyond > 0;
    return beyond != (b->beyond > 0) ? beyond : share(a) > share(b);
}

/* The worst row of those from first on that are of the same pass as row, or of all if row
 * is NULL. */
static const struct clfcn_diverge_row *worst_of(const struct clfcn_diverge *r, int first,
                                                const struct clfcn_diverge_row *row)
{
    const struct clfcn_diverge_row *worst = &r->rows[first];
    for (int i = first + 1; i < r->row_count; ++i) {
        const struct clfcn_diverge_row *other = &r->rows[i];
        if ((!row || same_pass(row, other)) && is_worse(other, worst)) {
            worst = other;
        }
    }
    return worst;
}

/* Whether a row of the same pass came before. */
static bool is_repeated(const struct clfcn_diverge *r, int row)
{
    for (int i = 0; i < row; ++i) {
        if (same_pass(&r->rows[i], &r->rows[row])) {
            return true;
        }
    }
    return false;
}

/* "winograd4", or "winograd4, im2col+native" where B's is another. */
static void list_algorithms(const struct clfcn_diverge_row *row, char *buf, size_t n)
{
    const char *a = row->algorithm[0], *b = row->algorithm[1];
    if (strcmp(a, b) == 0) {
        snprintf(buf, n, "%s", a);
    } else {
        snprintf(buf, n, "%s, %s", a, b);
    }
}

/* One line a layer and pass: what differed most in it. */
static void print_table(const struct clfcn_diverge *r)
{
    cli_heading("%-10s %-15s %-22s %-15s %8s %9s %5s", "layer", "pass", "largest in",
                "algorithm", "apart", "tolerance", "step");
    for (int i = 0; i < r->row_count; ++i) {
        if (is_repeated(r, i)) {
            continue;
        }
        const struct clfcn_diverge_row *row = worst_of(r, i, &r->rows[i]);
        const size_t len = strlen(row->tensor);
        char text[2 * CLFCN_CONV_NAME + 2];
        list_algorithms(row, text, sizeof(text));
        printf("%-10s %-15s %-22s %-15s %8.1e %9.1e %5d%s\n", row->layer, row->pass,
               row->tensor + (len > 22 ? len - 22 : 0), /* of names the end tells most */
               text, row->worst.relative, row->tolerance, row->worst_step,
               row->beyond ? "  BEYOND" : "");
    }
    putchar('\n');
}

static void print_steps(const struct cli_diverge *d)
{
    printf("%5s %14s %14s %12s %12s %11s %11s\n", "step", "loss A", "loss B",
           "gradient A", "gradient B", "apart", "weights");
    for (int i = 0; i < d->result.steps_done; ++i) {
        const struct clfcn_diverge_step *s = &d->result.steps[i];
        printf("%5d %14.8g %14.8g %12.6g %12.6g %11.2e %11.2e\n", i + 1, s->loss[0],
               s->loss[1], s->gradient[0], s->gradient[1], s->gradient_apart,
               s->weights_apart);
    }
    putchar('\n');
}

/* "[64][4][160][160]" */
static void print_brackets(const int64_t *v, int n)
{
    for (int i = 0; i < n; ++i) {
        printf("[%" PRId64 "]", v[i]);
    }
}

static void print_values(const struct clfcn_diverge_first *first,
                         const struct clfcn_diverge_row *row)
{
    const struct clfcn_difference *d = &first->difference;
    const char *wrong = cli_diverge_wrong(first);
    printf("  apart       %.3g in the relative 2-norm (tolerance %.3g)\n", d->relative,
           row->tolerance);
    printf("  elements    %zu of %zu are off by more than %.2g of their size\n", d->far,
           d->count, CLFCN_DIVERGE_FAR * row->tolerance);
    printf("  furthest    ");
    print_brackets(first->index, row->ndim);
    printf("  A %.9g  B %.9g", d->a, d->b);
    if (wrong) {
        printf("  float64 %.9g: %s wrong", first->reference,
               *wrong == 'b'   ? "both are"
               : *wrong == 'A' ? "A is"
                               : "B is");
    }
    putchar('\n');
}

static void print_pair(const char *what, const char *a, const char *b)
{
    if (*a && strcmp(a, b) == 0) {
        printf("  %-11s %s\n", what, a);
    } else if (*a || *b) {
        printf("  %-11s A %s; B %s\n", what, a, b);
    }
}

static void print_first(const struct clfcn_diverge *r, bool free_running)
{
    const struct clfcn_diverge_first *first = &r->first;
    const struct clfcn_diverge_row *row = &r->rows[first->row];
    if (first->step) {
        printf("The devices part at step %d, ", first->step);
    } else {
        printf("The devices part before the first step, ");
    }
    char text[CLI_DIVERGE_WHAT];
    printf("layer '%s' (%s), %s ", row->layer, row->kind, cli_diverge_what(row, text));
    print_brackets(row->dims, row->ndim);
    putchar('\n');
    print_values(first, row);
    print_pair("algorithm", row->algorithm[0], row->algorithm[1]);
    print_pair("kernels", first->kernels[0], first->kernels[1]);
    if (free_running) {
        printf("  caution     running free, rounding alone does this sooner or later; "
               "without --free\n"
               "              every pass is compared by itself\n");
    }
}

static void print_none(const struct cli_diverge *d)
{
    const struct clfcn_diverge_row *row = worst_of(&d->result, 0, NULL);
    printf("No difference beyond tolerance in %d of %d steps.\n", d->result.steps_done,
           d->how.steps);
    if (row->worst.relative > 0) {
        char text[CLI_DIVERGE_WHAT];
        printf("  largest     %.3g (tolerance %.3g) at step %d, layer '%s', %s\n",
               row->worst.relative, row->tolerance, row->worst_step, row->layer,
               cli_diverge_what(row, text));
    } else {
        printf("  largest     none: the same bits everywhere\n");
    }
}

void cli_diverge_print_text(const struct cli_diverge *d)
{
    print_table(&d->result);
    if (d->how.free_running) {
        print_steps(d);
    }
    if (d->result.found) {
        print_first(&d->result, d->how.free_running);
    } else {
        print_none(d);
    }
    for (int s = 0; s < 2; ++s) {
        const struct clfcn_device_info *info = &d->dev[s]->info;
        printf("  device %c    %s; %s; platform %s, driver %s\n", "AB"[s], info -> name,
               info -> version, info -> platform, info -> driver);
    }
    printf("  network     %s on %s, %dx%d, batch %d, %d classes, %s, %s, --gemm %s, seed "
           "%" PRIu64 "\n",
           clfcn_arch_name(d->desc.arch), clfcn_backbone_name(d->desc.backbone),
           d->desc.width, d->desc.height, d->desc.batch, d->desc.classes,
           clfcn_loss_name(d->net.loss), clfcn_optimizer_name(d->net.optimizer),
           clfcn_gemm_name(d->net.gemm), d->how.seed);
    printf("  clfcn       %s\n  command     %s\n", clfcn_version(), d->command);
}
