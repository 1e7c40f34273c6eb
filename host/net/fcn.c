#include "graph.h"

#include <stdio.h>

/* Convolutions of each of the five stages (Simonyan and Zisserman, 2015, table 1: A, B,
 * D, E). */
const int clfcn_vgg_depth[][5] = {
    [CLFCN_VGG11] = { 1, 1, 2, 2, 2 },
    [CLFCN_VGG13] = { 2, 2, 2, 2, 2 },
    [CLFCN_VGG16] = { 2, 2, 3, 3, 3 },
    [CLFCN_VGG19] = { 2, 2, 4, 4, 4 },
};
const int clfcn_vgg_channels[5] = { 64, 128, 256, 512, 512 };
const int clfcn_decoder_channels[5] = { 512, 256, 128, 64, 32 };

struct builder {
    struct clfcn_graph *graph;
    const struct clfcn_op_env *env;
    bool frozen;
    int stage[6]; /* x1..x5 at [1]..[5] */
    int at;       /* the value built last */
    struct clfcn_err *err;
};

/* Append op after b->at; rc is that of creating it. */
static int append(struct builder *b, int rc, struct clfcn_op *op, const char *name,
                  const char *prefix, int skip)
{
    if (rc < 0) {
        return rc;
    }
    return clfcn_graph_add(b->graph, op, name, prefix, b->at, skip, b->frozen, b->env,
                           &b->at, b->err);
}

/* How head and stage i of the decoder use the backbone's output x(5-i). */
enum skip { SKIP_NONE, SKIP_BEFORE_BN, SKIP_AFTER_BN };

static enum skip skip_of(enum clfcn_arch arch, int i)
{
    switch (arch) {
    case CLFCN_FCN16S:
        return i == 1 ? SKIP_BEFORE_BN : SKIP_NONE;
    case CLFCN_FCN8S:
        return i <= 2 ? SKIP_BEFORE_BN : SKIP_NONE;
    case CLFCN_FCNS:
        return i <= 4 ? SKIP_AFTER_BN : SKIP_NONE;
    default:
        return SKIP_NONE;
    }
}

/* From here on one part of the batch. */
static int begin_parts(struct builder *b)
{
    struct clfcn_op *op = NULL;
    const int batch = b->graph->values[0].tensor.n;
    const int rc = clfcn_split_create(batch / b->graph->parts.count, &op, b->err);
    return append(b, rc, op, "split", NULL, -1);
}

/* From here on the whole batch again: of stage s, the last in parts, and of what skips
 * read of those before it. */
static int end_parts(struct builder *b, enum clfcn_arch arch, int s)
{
    const int batch = b->graph->values[0].tensor.n;
    int rc = CLFCN_OK;
    for (int i = 1; rc == CLFCN_OK && i <= s; ++i) {
        struct clfcn_op *op = NULL;
        char name[32];
        if (i < s && skip_of(arch, 5 - i) == SKIP_NONE) {
            continue;
        }
        b->at = b->stage[i];
        snprintf(name, sizeof(name), "join%d", i);
        rc = clfcn_join_create(batch, &op, b->err);
        rc = append(b, rc, op, name, NULL, -1);
        b->stage[i] = b->at;
    }
    b->graph->part_ops = b->graph->op_count;
    return rc;
}

/* torchvision's `features` without batch norm: its indices count convolution, ReLU and
 * pooling. */
static int build_vgg(struct builder *b, const struct clfcn_net_desc *desc)
{
    const int parts = b->graph->parts.count > 1 ? b->graph->parts.stages : 0;
    int index = 0, rc = parts > 0 ? begin_parts(b) : CLFCN_OK;
    for (int s = 0; rc == CLFCN_OK && s < 5; ++s) {
        struct clfcn_op *op = NULL;
        char name[32], prefix[48];
        for (int i = 0; rc == CLFCN_OK && i < clfcn_vgg_depth[desc->backbone][s]; ++i) {
            snprintf(name, sizeof(name), "conv%d_%d", s + 1, i + 1);
            snprintf(prefix, sizeof(prefix), "pretrained_net.features.%d", index);
            rc = clfcn_conv2d_create(clfcn_vgg_channels[s], 3, true, &op, b->err);
            rc = append(b, rc, op, name, prefix, -1);
            index += 2;
        }
        if (rc == CLFCN_OK) {
            snprintf(name, sizeof(name), "pool%d", s + 1);
            rc = clfcn_maxpool_create(&op, b->err);
            rc = append(b, rc, op, name, NULL, -1);
            ++index;
        }
        b->stage[s + 1] = b->at;
        if (rc == CLFCN_OK && s + 1 == parts) {
            rc = end_parts(b, desc->arch, parts);
        }
        b->graph->segment_count += s + 1 >= parts;
    }
    return rc;
}

/* Stage i of the decoder: s = bn_i(relu(deconv_i(s))), with the head's skip. */
static int build_stage(struct builder *b, enum clfcn_arch arch, int i)
{
    const enum skip skip = skip_of(arch, i);
    struct clfcn_op *op = NULL;
    char name[32];
    snprintf(name, sizeof(name), "deconv%d", i);
    int rc = clfcn_deconv2d_create(clfcn_decoder_channels[i - 1], &op, b->err);
    rc = append(b, rc, op, name, name, -1);
    if (rc == CLFCN_OK && skip == SKIP_BEFORE_BN) {
        snprintf(name, sizeof(name), "add%d", i);
        rc = clfcn_add_create(&op, b->err);
        rc = append(b, rc, op, name, NULL, b->stage[5 - i]);
    }
    if (rc == CLFCN_OK) {
        snprintf(name, sizeof(name), "bn%d", i);
        rc = clfcn_batchnorm_create(&op, b->err);
        rc = append(b, rc, op, name, name, skip == SKIP_AFTER_BN ? b->stage[5 - i] : -1);
        ++b->graph->segment_count;
    }
    return rc;
}

int clfcn_graph_build(struct clfcn_graph *graph, const struct clfcn_net_desc *desc,
                      bool freeze_backbone, const struct clfcn_parts *parts,
                      const struct clfcn_op_env *env, struct clfcn_err *err)
{
    struct builder b = {
        .graph = graph, .env = env, .frozen = freeze_backbone, .err = err
    };
    struct clfcn_op *op = NULL;
    graph->values[0].tensor =
        (struct clfcn_tensor){ 3, desc->batch, desc->height, desc->width, NULL };
    graph->values[0].producer = -1;
    graph->value_count = 1;
    graph->parts = parts ? *parts : (struct clfcn_parts){ 0 };
    int rc = build_vgg(&b, desc);
    b.frozen = false;
    for (int i = 1; rc == CLFCN_OK && i <= 5; ++i) {
        rc = build_stage(&b, desc->arch, i);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_conv2d_create(desc->classes, 1, false, &op, err);
        rc = append(&b, rc, op, "classifier", "classifier", -1);
    }
    graph->logits = b.at;
    ++graph->segment_count;
    if (rc == CLFCN_OK && env->training) {
        rc = clfcn_graph_link_gradients(graph, err);
    }
    return rc;
}
