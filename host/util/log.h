/* log.h - messages to the user of the library; see clfcn_log_set(). */
#ifndef CLFCN_UTIL_LOG_H
#define CLFCN_UTIL_LOG_H

#include <clfcn/common.h>

void clfcn_log(enum clfcn_log_level level, const char *fmt, ...) CLFCN_PRINTF(2, 3);

#define clfcn_warn(...) clfcn_log(CLFCN_LOG_WARN, __VA_ARGS__)
#define clfcn_info(...) clfcn_log(CLFCN_LOG_INFO, __VA_ARGS__)
#define clfcn_debug(...) clfcn_log(CLFCN_LOG_DEBUG, __VA_ARGS__)

#endif
