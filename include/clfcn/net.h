/* net.h - a fully convolutional network on one device. */
#ifndef CLFCN_NET_H
#define CLFCN_NET_H

#include "comm.h"
#include "device.h"

CLFCN_BEGIN_DECLS

enum clfcn_arch { CLFCN_FCN32S, CLFCN_FCN16S, CLFCN_FCN8S, CLFCN_FCNS };
enum clfcn_backbone { CLFCN_VGG11, CLFCN_VGG13, CLFCN_VGG16, CLFCN_VGG19 };
enum clfcn_loss { CLFCN_LOSS_BCE, CLFCN_LOSS_CE, CLFCN_LOSS_DICE, CLFCN_LOSS_FOCAL };
enum clfcn_optimizer { CLFCN_SGD, CLFCN_ADAM, CLFCN_ADAMW };
enum clfcn_gemm_kind { CLFCN_GEMM_AUTO, CLFCN_GEMM_CLBLAST, CLFCN_GEMM_NATIVE };
/** Whether batch norm takes its statistics over all ranks' shares of a batch. */
enum clfcn_sync_bn { CLFCN_SYNC_BN_AUTO, CLFCN_SYNC_BN_ON, CLFCN_SYNC_BN_OFF };

enum {
    CLFCN_MAX_CLASSES = 255,
    CLFCN_IGNORE = 255 /**< label of a pixel that counts nowhere */
};

/** The name of an enumerator as the command line spells it ("fcn8s", "vgg16"), or NULL.
 */
CLFCN_API const char *clfcn_arch_name(enum clfcn_arch arch);
CLFCN_API const char *clfcn_backbone_name(enum clfcn_backbone backbone);
CLFCN_API const char *clfcn_loss_name(enum clfcn_loss loss);
CLFCN_API const char *clfcn_optimizer_name(enum clfcn_optimizer optimizer);
CLFCN_API const char *clfcn_gemm_name(enum clfcn_gemm_kind kind);
CLFCN_API const char *clfcn_sync_bn_name(enum clfcn_sync_bn sync);

/** Which network. */
struct clfcn_net_desc {
    enum clfcn_arch arch;
    enum clfcn_backbone backbone;
    int classes;       /**< 1 .. CLFCN_MAX_CLASSES */
    int width, height; /**< of the images, multiples of 32 */
    int batch;         /**< images a pass, >= 1 */
};

/** Which algorithms are fastest on a device. Opaque. */
struct clfcn_choices;

/** How it runs on the device. Zero-initialised is inference with defaults. */
struct clfcn_net_options {
    bool training; /**< allocate for backward and update too */
    enum clfcn_loss loss;
    /** [classes], at least 0 and one of them above; NULL: all are 1. Borrowed for
     * clfcn_net_create(). */
    const float *class_weights;
    double focal_gamma; /**< exponent of the focal loss */
    enum clfcn_optimizer optimizer;
    double clip_norm; /**< limit of the norm of all gradients together; 0: none */
    bool freeze_backbone; /**< backbone gets neither gradients nor updates */
    enum clfcn_gemm_kind gemm;
    size_t workspace_bytes; /**< limit of im2col columns and GEMM scratch; 0: a default */
    /** Limit of device memory in all; 0: none. To keep to it, networks that train take
     * smaller workspaces and cheaper algorithms, update weights layer by layer, make
     * activations twice, let the backbone, which has no batch norm, take the batch in
     * parts, and leave optimiser state and weights in host memory: whatever costs least;
     * with clip_norm no update comes before the last gradient, which leaves out three of
     * these. Only other algorithms and parts change bits, by rounding. */
    size_t mem_bytes;
    /** Borrowed: must outlive the network. NULL: what `clfcn tune` stored for the device.
     */
    const struct clfcn_choices *choices;
    /** Ranks that train one network together, each with a share of every batch: a step is
     * one on all their shares as one batch. All ranks make the same calls, with the same
     * options; weights have to be the same in all, as clfcn_net_init() makes them.
     * Borrowed: must outlive the network. NULL: this process alone. */
    struct clfcn_comm *comm;
    /** Batch norm takes its statistics over all ranks' shares, in place of this one's. */
    bool sync_batchnorm;
    enum clfcn_wire wire; /**< of the gradients */
};

/** A network with its weights, activations and optimiser state on a device. Opaque. */
struct clfcn_net;

/**
 * Build a network: kernels compiled, memory planned and allocated; weights are undefined
 * until clfcn_net_init() or clfcn_net_load().
 *
 * @param dev   Borrowed: must outlive the network.
 * @param out   Receives the network, or NULL on error. Free with clfcn_net_destroy().
 * @return CLFCN_OK; CLFCN_EINVAL; CLFCN_EDEVMEM with the bytes needed in the message;
 *         CLFCN_ENOMEM; CLFCN_ECL; with other ranks, the first error of any of them.
 */
CLFCN_API int clfcn_net_create(struct clfcn_dev *dev, const struct clfcn_net_desc *desc,
                               const struct clfcn_net_options *options,
                               struct clfcn_net **out, struct clfcn_err *err);

/** Destroy *net and set it to NULL. Takes a pointer to NULL. */
CLFCN_API void clfcn_net_destroy(struct clfcn_net **net);

CLFCN_API const struct clfcn_net_desc *clfcn_net_get_desc(const struct clfcn_net *net);

/** Initialise every parameter as PyTorch does, from seed; optimiser state becomes zero.
 */
CLFCN_API int clfcn_net_init(struct clfcn_net *net, uint64_t seed, struct clfcn_err *err);

/**
 * Load weights: a checkpoint, a bare file under the same names, or one that holds only a
 * backbone (`features.{i}.*`, a torchvision VGG), which sets that alone. The file is
 * safetensors, or a state_dict from torch.save(), of which nothing is executed; numbers
 * of 16 and 64 bits are converted.
 *
 * @param partial  Take what matches and log the rest as warnings, in place of an error.
 * @return CLFCN_OK; CLFCN_EDATA if the file is damaged, if a tensor is missing, unknown
 * or has another shape, or, with partial, if none matches, or if one holds NaN or
 * infinity: the message names it; CLFCN_EIO; CLFCN_ECL.
 */
CLFCN_API int clfcn_net_load(struct clfcn_net *net, const char *path, bool partial,
                             struct clfcn_err *err);

/** Save the parameters as safetensors under PyTorch's names, atomically. */
CLFCN_API int clfcn_net_save(struct clfcn_net *net, const char *path,
                             struct clfcn_err *err);

/**
 * Inference. Waits for the result.
 *
 * @param images  [3][N][H][W] normalised floats, N = desc.batch.
 * @param logits  Receives [classes][N][H][W].
 */
CLFCN_API int clfcn_net_forward(struct clfcn_net *net, const float *images, float *logits,
                                struct clfcn_err *err);

/**
 * Steps, one by one. A network has two slots, so that the host can prepare and upload one
 * batch while the device works on the other:
 *
 *     clfcn_net_upload(net, s, &batch, &err);
 *     clfcn_net_step(net, s, &hyper, &err);
 *     s ^= 1;
 *     clfcn_net_wait(net, s, &loss, &err);
 *
 * Who is in no hurry waits on the slot that was just enqueued. One thread at a time uses
 * a network.
 */
enum { CLFCN_NET_SLOTS = 2 };

/** Host memory of one batch. Borrowed until clfcn_net_wait() on the slot, and not to be
 * written until then: where the device shares the host's memory and both begin a page, it
 * reads them there. */
struct clfcn_net_input {
    const float *images; /**< [3][N][H][W] */
    /** [N][H][W]: 0 .. classes-1, or CLFCN_IGNORE; NULL: for inference only */
    const uint8_t *labels;
    /** Pixels that are not CLFCN_IGNORE, over which the loss averages; < 0: count them */
    int64_t labelled;
};

/** The numbers of one update, as struct clfcn_train_config explains them. */
struct clfcn_net_hyper {
    double lr, momentum, weight_decay;
    double beta1, beta2, eps; /**< of Adam and AdamW */
    int64_t update;           /**< counts from 1: Adam's bias correction */
};

/** Enqueue the upload of a batch into slot, which must be idle: new, or waited for. */
CLFCN_API int clfcn_net_upload(struct clfcn_net *net, int slot,
                               const struct clfcn_net_input *in, struct clfcn_err *err);

/** Enqueue forward pass, backward pass and update on the slot's batch. CLFCN_EINVAL if
 * the network was built for inference, or no batch with labels was uploaded. With other
 * ranks it waits for their gradients, and CLFCN_ECOMM says which of them is gone. */
CLFCN_API int clfcn_net_step(struct clfcn_net *net, int slot,
                             const struct clfcn_net_hyper *hyper, struct clfcn_err *err);

/** Enqueue inference on the slot's batch and the read-back of logits [classes][N][H][W],
 * which must not be touched until clfcn_net_wait(). */
CLFCN_API int clfcn_net_infer(struct clfcn_net *net, int slot, float *logits,
                              struct clfcn_err *err);

/** Wait for what was enqueued on slot; returns at once if that is nothing.
 *
 * @param loss  After a step, receives the batch's loss, that of all ranks' shares; may be
 *              NULL, with other ranks in all of them. */
CLFCN_API int clfcn_net_wait(struct clfcn_net *net, int slot, float *loss,
                             struct clfcn_err *err);

CLFCN_END_DECLS

#endif
