/* cache.c - compiled programs kept between runs.
 *
 * A file is a struct header, the key, the program. The key is kept whole, so that two
 * keys of equal hash cannot be taken for each other. */
#include "cache.h"
#include "../util/file.h"
#include "../util/hash.h"
#include "../util/log.h"
#include "../util/path.h"
#include "../util/strbuf.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "clfcnK1";

struct header {
    char magic[8];
    uint64_t key_bytes, program_bytes;
    uint64_t hash; /* of key and program */
};

/* No program comes near this; a larger file is not ours. */
static const size_t max_file_bytes = (size_t)256 << 20;

char *clfcn_cache_key(const struct clfcn_dev *dev, const char *source,
                      const char *options)
{
    const struct clfcn_device_info *info = &dev->info;
    char platform[256] = "";
    clGetPlatformInfo(dev->platform, CL_PLATFORM_VERSION, sizeof(platform), platform,
                      NULL);
    struct clfcn_strbuf sb = { 0 };
    clfcn_strbuf_add(
        &sb, "source %016" PRIx64 "\noptions %s\ndevice %s\ndriver %s\nversion %s\n",
        clfcn_hash_str(CLFCN_HASH_INIT, source), options, info->name, info->driver,
        info->version);
    clfcn_strbuf_add(&sb, "platform %s %s\nclfcn %s\n", info->platform, platform,
                     clfcn_version());
    if (sb.failed) {
        clfcn_strbuf_free(&sb);
    }
    return sb.str;
}

/* The file of key, its folder created; a new string. */
static int path_of(const char *key, char **path, struct clfcn_err *err)
{
    char name[32], *dir = NULL, *kernels = NULL;
    *path = NULL;
    snprintf(name, sizeof(name), "%016" PRIx64 ".bin",
             clfcn_hash_str(CLFCN_HASH_INIT, key));
    int rc = clfcn_path_cache_dir(&dir, err);
    if (rc < 0) {
        goto out;
    }
    kernels = clfcn_path_join(dir, "kernels");
    *path = kernels ? clfcn_path_join(kernels, name) : NULL;
    if (!*path) {
        rc = clfcn_err_nomem(err);
        goto out;
    }
    rc = clfcn_path_mkdir(kernels, 0700, err);
out:
    if (rc < 0) {
        free(*path);
        *path = NULL;
    }
    free(dir);
    free(kernels);
    return rc;
}

static uint64_t content_hash(const char *key, size_t key_bytes, const void *program,
                             size_t size)
{
    return clfcn_hash(clfcn_hash(CLFCN_HASH_INIT, key, key_bytes), program, size);
}

/* The program in a file's content, borrowed from it; NULL if anything is not as it
 * should be. */
static const char *check_content(const char *content, size_t size, const char *key,
                                 size_t *program_bytes)
{
    struct header header;
    const size_t key_bytes = strlen(key);
    if (size < sizeof(header)) {
        return NULL;
    }
    memcpy(&header, content, sizeof(header));
    size -= sizeof(header);
    if (memcmp(header.magic, magic, sizeof(magic)) != 0 ||
        header.key_bytes != key_bytes || size < key_bytes ||
        header.program_bytes != size - key_bytes || header.program_bytes == 0) {
        return NULL;
    }
    const char *stored_key = content + sizeof(header), *program = stored_key + key_bytes;
    if (memcmp(stored_key, key, key_bytes) != 0 ||
        header.hash != content_hash(stored_key, key_bytes, program, size - key_bytes)) {
        return NULL;
    }
    *program_bytes = size - key_bytes;
    return program;
}

void *clfcn_cache_load(const char *key, size_t *size)
{
    char *path = NULL, *content = NULL;
    void *program = NULL;
    size_t content_size;
    *size = 0;
    if (path_of(key, &path, NULL) < 0 || !clfcn_path_exists(path)) {
        goto out;
    }
    struct clfcn_err err;
    if (clfcn_file_read_own(path, max_file_bytes, &content, &content_size, &err) < 0) {
        clfcn_debug("compiled program left alone: %s", err.msg);
        goto out;
    }
    const char *inside = check_content(content, content_size, key, size);
    if (!inside) {
        clfcn_debug("compiled program left alone: %s: damaged or of another program",
                    path);
        goto out;
    }
    program = malloc(*size);
    if (program) {
        memcpy(program, inside, *size);
    }
out:
    free(content);
    free(path);
    return program;
}

void clfcn_cache_store(const char *key, const void *program, size_t size)
{
    char *path = NULL;
    struct clfcn_err err;
    struct header header = { .key_bytes = strlen(key), .program_bytes = size };
    memcpy(header.magic, magic, sizeof(magic));
    header.hash = content_hash(key, strlen(key), program, size);

    struct clfcn_atomic_file af = { 0 };
    int rc = path_of(key, &path, &err);
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_open_own(&af, path, &err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&af, &header, sizeof(header), &err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&af, key, strlen(key), &err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_write(&af, program, size, &err);
    }
    if (rc == CLFCN_OK) {
        rc = clfcn_atomic_commit(&af, &err);
    }
    clfcn_atomic_abort(&af);
    if (rc < 0) {
        clfcn_debug("compiled program not kept: %s", err.msg);
    }
    free(path);
}

void clfcn_cache_sweep(void)
{
    char *dir = NULL, **names = NULL;
    int count = 0;
    if (clfcn_path_cache_dir(&dir, NULL) < 0 ||
        clfcn_path_list_dirs(dir, &names, &count, NULL) < 0) {
        free(dir);
        return;
    }
    for (int i = 0; i < count; ++i) {
        char *folder = clfcn_path_join(dir, names[i]);
        if (folder) {
            clfcn_atomic_sweep(folder);
        }
        free(folder);
    }
    clfcn_path_list_free(names, count);
    free(dir);
}
