/* common.h - what every public header needs: linkage, visibility, error reporting. */
#ifndef CLFCN_COMMON_H
#define CLFCN_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define CLFCN_BEGIN_DECLS extern "C" {
#define CLFCN_END_DECLS }
#else
#define CLFCN_BEGIN_DECLS
#define CLFCN_END_DECLS
#endif

/* Every other symbol of the library is hidden. */
#define CLFCN_API __attribute__((visibility("default")))

#if defined(__GNUC__)
#define CLFCN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define CLFCN_PRINTF(f, a)
#endif

CLFCN_BEGIN_DECLS

/** What a function returns: CLFCN_OK or a negative status. */
enum clfcn_status {
    CLFCN_OK = 0,
    CLFCN_EINVAL = -1, /**< an argument or option is out of range */
    CLFCN_ENOMEM = -2, /**< host memory is exhausted */
    CLFCN_ECL = -3,    /**< OpenCL or CLBlast refused; native is its code */
    CLFCN_EIO = -4,    /**< the operating system refused; native is errno */
    CLFCN_ENODEV = -5, /**< no usable OpenCL device */
    CLFCN_EDATA = -6,  /**< an input (image, mask, classes, weights, checkpoint) is bad */
    CLFCN_ENUMERIC = -7, /**< a loss or metric is not finite */
    CLFCN_EINTR = -8,    /**< stopped on request; the state is saved */
    CLFCN_EDEVMEM = -9,  /**< the job does not fit the device's memory */
    CLFCN_ECOMM = -10,   /**< another rank of the job died, failed or is out of reach */
    CLFCN_EWRONG = -11   /**< the device computed wrongly, but maybe not again */
};

/**
 * Why a call failed. Plain data, owned by the caller, who may reuse it for any number of
 * calls. The message reads from the outside in: "layer 'conv3_1': CLBlast -1009: matrix C
 * too small".
 */
struct clfcn_err {
    int code;   /**< enum clfcn_status */
    int native; /**< the code of the system that refused (OpenCL, CLBlast, errno), or 0 */
    char msg[1024]; /**< one line of text, never empty after a failure */
};

/** The name of an enum clfcn_status value ("CLFCN_ECL"). */
CLFCN_API const char *clfcn_status_name(int status);

/** The version of the library, "0.1.0". */
CLFCN_API const char *clfcn_version(void);

enum clfcn_log_level { CLFCN_LOG_ERROR, CLFCN_LOG_WARN, CLFCN_LOG_INFO, CLFCN_LOG_DEBUG };

/** Receives one message without a trailing newline. May be called from any thread, one at
 * a time. */
typedef void (*clfcn_log_fn)(void *user, enum clfcn_log_level level, const char *msg);

/**
 * Send messages up to and including level to fn. Without this call nothing is printed:
 * the library never writes to stdout or stderr by itself. fn == NULL silences it again.
 */
CLFCN_API void clfcn_log_set(enum clfcn_log_level level, clfcn_log_fn fn, void *user);

CLFCN_END_DECLS

#endif
