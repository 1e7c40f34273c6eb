/* predict.h - a trained network over pictures of any size. */
#ifndef CLFCN_PREDICT_H
#define CLFCN_PREDICT_H

#include "data.h"
#include "net.h"

CLFCN_BEGIN_DECLS

/** How a picture meets a network that takes one size. */
enum clfcn_predict_mode {
    CLFCN_PREDICT_RESIZE, /**< the whole picture is resized to the network's size */
    CLFCN_PREDICT_TILES   /**< cut into overlapping tiles of the network's size */
};

/** The name of an enumerator as the command line spells it ("tiles"), or NULL. */
CLFCN_API const char *clfcn_predict_mode_name(enum clfcn_predict_mode mode);

/** Zero-initialised: a checkpoint as it was trained, pictures resized. */
struct clfcn_predict_options {
    enum clfcn_predict_mode mode;
    double scale; /**< tiles: the picture is resized by this before it is cut; 0: 1 */
    enum clfcn_resize resize; /**< bare weights: as they were trained with */
    int overlap;  /**< tiles: pixels that neighbours share at least; 0: a quarter of the
                     tile, < 0: none */
    bool flip;    /**< the mean over the picture and its mirror image */
    /** Of a checkpoint, width, height and batch that are not 0 replace its own, and the
     * rest is not looked at. A bare weights file needs all but the batch (0: 4). */
    struct clfcn_net_desc net;
    const char *classes;  /**< bare weights: a classes.txt, or NULL: "0", "1", ... */
    enum clfcn_loss loss; /**< bare weights: that they were trained with */
    enum clfcn_gemm_kind gemm;
    size_t workspace_bytes;    /**< see struct clfcn_net_options */
    const volatile bool *stop; /**< ends the work with CLFCN_EINTR; may be NULL */
};

/**
 * A network with what it takes to predict. Opaque. Not thread-safe: one thread uses it at
 * a time; it spreads its work over threads of its own.
 */
struct clfcn_predictor;

/**
 * Make a predictor from a checkpoint or a bare weights file.
 *
 * @param dev      Borrowed: must outlive the predictor.
 * @param path     What clfcn_net_load() takes.
 * @param options  Copied, but for *stop; NULL: defaults.
 * @param out      Receives the predictor, or NULL on error. Free with
 *                 clfcn_predictor_destroy().
 * @return CLFCN_OK; CLFCN_EINVAL if an option is out of range or a bare file lacks a
 *         description; CLFCN_EDATA if the file does not hold such a network; CLFCN_EIO;
 *         CLFCN_ENOMEM; CLFCN_EDEVMEM; CLFCN_ECL.
 */
CLFCN_API int clfcn_predictor_create(struct clfcn_dev *dev, const char *path,
                                     const struct clfcn_predict_options *options,
                                     struct clfcn_predictor **out, struct clfcn_err *err);

/** Destroy *predictor and set it to NULL. What was submitted and not collected is
 * dropped. Takes a pointer to NULL. */
CLFCN_API void clfcn_predictor_destroy(struct clfcn_predictor **predictor);

/** The network; borrowed. */
CLFCN_API const struct clfcn_net_desc *
clfcn_predictor_get_desc(const struct clfcn_predictor *predictor);

/** Name and colour (r, g, b) of class c, 0 <= c < desc.classes; borrowed. */
CLFCN_API const char *clfcn_predictor_class_name(const struct clfcn_predictor *predictor,
                                                 int c);
CLFCN_API const uint8_t *
clfcn_predictor_class_color(const struct clfcn_predictor *predictor, int c);

/** Receives row y of the probabilities, [classes][width], borrowed for the call; rows
 * come once each, from the top, in whatever thread. An error ends the picture with it. */
typedef int (*clfcn_predict_row_fn)(void *user, int y, const float *probs,
                                    struct clfcn_err *err);

/**
 * A picture and where its results go. Everything is borrowed until it is collected.
 *
 * Probabilities are softmax over the logits where that was trained (ce, dice, focal), and
 * where every class was trained by itself (bce) their sigmoids, divided by their sum. The
 * label is the class that is largest, the lower one of equals.
 */
struct clfcn_predict_job {
    const uint8_t *rgb; /**< 8 bits a sample, rows from the top */
    int width, height;
    size_t stride;   /**< bytes from row to row; 0: 3 * width */
    uint8_t *labels; /**< receives [height][width] */
    float *probs;    /**< receives [classes][height][width]; may be NULL */
    float *logits;   /**< receives [classes][net height][net width] of the picture as it
                        is, not mirrored; may be NULL, and must be with tiles */
    clfcn_predict_row_fn row; /**< for probabilities too large for probs; may be NULL */
    void *user;
};

/**
 * Predict one picture and wait for the result. Nothing else may be submitted.
 *
 * @return CLFCN_OK; CLFCN_EINVAL; CLFCN_ENOMEM; CLFCN_ECL; CLFCN_EINTR.
 */
CLFCN_API int clfcn_predictor_run(struct clfcn_predictor *predictor,
                                  const struct clfcn_predict_job *job,
                                  struct clfcn_err *err);

/**
 * Give a picture to the predictor, which starts the device whenever a batch is full and
 * does not wait for it more than needed: so the caller can prepare the next picture
 * meanwhile. With tiles a large picture takes many batches, and this call most of their
 * time.
 *
 * @return As clfcn_predictor_run(). After CLFCN_ECL or CLFCN_EINTR the predictor can only
 *         be destroyed; other errors concern this picture alone, which is not taken.
 */
CLFCN_API int clfcn_predictor_submit(struct clfcn_predictor *predictor,
                                     const struct clfcn_predict_job *job,
                                     struct clfcn_err *err);

/** Whether the oldest picture that was submitted and not collected is complete, so that
 * clfcn_predictor_collect() returns at once. */
CLFCN_API bool clfcn_predictor_ready(const struct clfcn_predictor *predictor);

/**
 * Take back the picture that was submitted first, its results complete, starting a
 * smaller batch and waiting for it if need be.
 *
 * @param user  Receives the job's; may be NULL. NULL if nothing is pending.
 * @return As clfcn_predictor_submit(); an error that concerns the picture alone takes it
 *         back too. CLFCN_EINVAL if nothing is pending.
 */
CLFCN_API int clfcn_predictor_collect(struct clfcn_predictor *predictor, void **user,
                                      struct clfcn_err *err);

CLFCN_END_DECLS

#endif
