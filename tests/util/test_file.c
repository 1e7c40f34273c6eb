/* test_file.c - files and folders: atomic writing and its failures, reading, maps,
 * locks. */
#include "../../host/util/file.h"
#include "../../host/util/path.h"
#include "../../host/util/temp.h"
#include "../skip.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Every test runs in a new folder, which is its working folder. */
static char folder[64], start_folder[4096];

static int enter_folder(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/clfcn-test-XXXXXX");
    return getcwd(start_folder, sizeof(start_folder)) && mkdtemp(folder) &&
                   chdir(folder) == 0
               ? 0
               : -1;
}

static int leave_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return chdir(start_folder) == 0 ? system(command) : -1;
}

static void assert_content(const char *path, const char *want)
{
    char *data;
    size_t size;
    struct clfcn_err err;
    assert_int_equal(clfcn_file_read(path, 0, &data, &size, &err), CLFCN_OK);
    assert_int_equal(size, strlen(want));
    assert_string_equal(data, want);
    free(data);
}

/* Number of entries of a folder, those with a leading dot included. */
static int entries(const char *dir)
{
    char command[128];
    int n = -1;
    snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

static void test_write_and_read(void **state)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("f", "one", 3, &err), CLFCN_OK);
    assert_content("f", "one");
    assert_int_equal(clfcn_file_write("./f", "second", 6, &err), CLFCN_OK);
    assert_content("f", "second");
    assert_int_equal(clfcn_file_write("f", NULL, 0, &err), CLFCN_OK);
    assert_content("f", "");
    assert_int_equal(entries("."), 1);

    char long_name[256];
    memset(long_name, 'n', 255);
    long_name[255] = '\0';
    assert_int_equal(clfcn_file_write(long_name, "x", 1, &err), CLFCN_OK);
    assert_content(long_name, "x");
}

static void test_read_limits(void **state)
{
    char *data;
    size_t size;
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("f", "0123456789", 10, NULL), CLFCN_OK);
    assert_int_equal(clfcn_file_read("f", 10, &data, &size, &err), CLFCN_OK);
    free(data);
    assert_int_equal(clfcn_file_read("f", 9, &data, &size, &err), CLFCN_EDATA);
    assert_string_equal(err.msg, "f: longer than 9 B");
    assert_null(data);
    /* A size of 0 that lies, as files in /proc have. */
    assert_int_equal(clfcn_file_read("/proc/self/status", 0, &data, &size, &err),
                     CLFCN_OK);
    assert_true(size > 100 && strlen(data) == size);
    free(data);
    assert_int_equal(clfcn_file_read("none", 0, &data, &size, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot read none: No such file or directory");
    assert_int_equal(clfcn_file_read(".", 0, &data, &size, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot read .: Is a directory");
}

static void test_read_own(void **state)
{
    char *data;
    size_t size;
    struct clfcn_err err;
    struct stat st;
    const mode_t mask = umask(0);
    assert_int_equal(clfcn_file_write_own("f", "x", 1, NULL), CLFCN_OK);
    umask(mask);
    assert_int_equal(stat("f", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(clfcn_file_read_own("f", 0, &data, &size, &err), CLFCN_OK);
    free(data);
    for (mode_t mode = 0602; mode <= 0620; mode += 016) { /* others, and the group */
        assert_int_equal(chmod("f", mode), 0);
        assert_int_equal(clfcn_file_read_own("f", 0, &data, &size, &err), CLFCN_EDATA);
        assert_string_equal(err.msg, "f: others may write to it");
    }
    assert_int_equal(mkfifo("pipe", 0600), 0); /* not waited for */
    assert_int_equal(clfcn_file_read_own("pipe", 0, &data, &size, &err), CLFCN_EDATA);
    assert_string_equal(err.msg, "pipe: no regular file");
    assert_int_equal(chmod("f", 0600), 0);
    if (geteuid() != 0) {
        SKIP_TEST("only root can give a file away");
    }
    assert_int_equal(chown("f", 12345, (gid_t)-1), 0);
    assert_int_equal(clfcn_file_read_own("f", 0, &data, &size, &err), CLFCN_EDATA);
    assert_string_equal(err.msg, "f: belongs to another user");
}

/* The reader must see the old content until the commit, and after an abort. */
static void test_atomic_steps(void **state)
{
    struct clfcn_atomic_file af;
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("f", "old", 3, &err), CLFCN_OK);
    assert_int_equal(clfcn_atomic_open(&af, "f", &err), CLFCN_OK);
    assert_int_equal(clfcn_atomic_write(&af, "ne", 2, &err), CLFCN_OK);
    assert_int_equal(clfcn_atomic_write(&af, "w", 1, &err), CLFCN_OK);
    assert_content("f", "old");
    assert_int_equal(clfcn_atomic_commit(&af, &err), CLFCN_OK);
    assert_content("f", "new");
    clfcn_atomic_abort(&af); /* harmless after a commit */

    assert_int_equal(clfcn_atomic_open(&af, "f", &err), CLFCN_OK);
    assert_int_equal(clfcn_atomic_write(&af, "lost", 4, &err), CLFCN_OK);
    clfcn_atomic_abort(&af);
    assert_content("f", "new");
    assert_int_equal(entries("."), 1);
}

static void test_atomic_refuses(void **state)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("none/f", "x", 1, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write none/f: No such file or directory");
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(clfcn_file_write("d", "x", 1, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write d: it is a folder");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(clfcn_file_write("pipe", "x", 1, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write pipe: it is no regular file");
}

/* A disk with room for 64 KiB, where this process may mount one. */
static void test_full_disk(void **state)
{
    enum { N = 1 << 20 };
    struct clfcn_err err;
    char *data = calloc(1, N);
    assert_non_null(data);
    assert_int_equal(mkdir("small", 0700), 0);
    if (mount("clfcn-test", "small", "tmpfs", 0, "size=64k") != 0) {
        free(data);
        SKIP_TEST("no small file system can be mounted here");
    }
    const int first = clfcn_file_write("small/f", "old", 3, &err);
    const int second = clfcn_file_write("small/f", data, N, &err);
    char *old = NULL;
    size_t size = 0;
    clfcn_file_read("small/f", 0, &old, &size, NULL);
    const int left = entries("small");
    umount("small");
    assert_int_equal(first, CLFCN_OK);
    assert_int_equal(second, CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write small/f: No space left on device");
    assert_true(size == 3 && memcmp(old, "old", 3) == 0);
    assert_int_equal(left, 1);
    free(old);
    free(data);
}

/* The same with a limit on file sizes, which needs no rights. What fits in the buffer
 * fails in the flush of the commit. */
static void test_write_fails(void **state)
{
    static const size_t sizes[] = { 100000, 4100, 4097 };
    struct rlimit before, small;
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("f", "old", 3, &err), CLFCN_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    char *data = calloc(1, sizes[0]);
    assert_non_null(data);
    for (int i = 0; i < 6; ++i) {
        struct clfcn_atomic_file af;
        const size_t n = sizes[i % 3];
        int rc = clfcn_atomic_open(&af, "f", &err);
        setrlimit(RLIMIT_FSIZE, &small);
        if (i < 3) {
            rc = clfcn_atomic_write(&af, data, n, &err);
        } else {
            clfcn_output_put(&af.out, data, n); /* nobody looks at what it returns */
        }
        if (rc == CLFCN_OK) {
            rc = clfcn_atomic_commit(&af, &err);
        }
        clfcn_atomic_abort(&af);
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(rc, CLFCN_EIO);
        assert_memory_equal(err.msg, "cannot write f: ", 16);
        assert_content("f", "old");
        assert_int_equal(entries("."), 1);
    }
    free(data);
}

/* What a killed writer leaves is swept; nothing else is, and not what is being written.
 */
static void test_sweep(void **state)
{
    static const char *const keep[] = { "f.1.2.tmp", ".f.x.2.tmp", ".f.1.tmp", ".1.2.tmp",
                                        ".f.1.2.tm", "tmp",        ".f.1..tmp" };
    for (int i = 0; i < 7; ++i) {
        assert_int_equal(clfcn_file_write(keep[i], "x", 1, NULL), CLFCN_OK);
    }
    const pid_t child = fork();
    if (child == 0) {
        struct clfcn_atomic_file af;
        clfcn_atomic_open(&af, "last.safetensors", NULL);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(entries("."), 8);
    struct clfcn_atomic_file living;
    assert_int_equal(clfcn_atomic_open(&living, "living", NULL), CLFCN_OK);
    clfcn_atomic_sweep(".");
    assert_int_equal(entries("."), 8);
    assert_int_equal(clfcn_atomic_write(&living, "x", 1, NULL), CLFCN_OK);
    assert_int_equal(clfcn_atomic_commit(&living, NULL), CLFCN_OK);
    assert_content("living", "x");
    assert_int_equal(unlink("living"), 0);
    for (int i = 0; i < 7; ++i) {
        assert_true(clfcn_path_exists(keep[i]));
    }
    clfcn_atomic_sweep("none");
}

/* What a killed process leaves of temporary folders goes with the next one that is made;
 * a living one's stays, and whatever bears another name. */
static void test_temp(void **state)
{
    struct clfcn_temp living = { 0 }, next = { 0 };
    struct clfcn_err err;
    setenv("TMPDIR", folder, 1);
    assert_int_equal(mkdir("clfcn-temporary", 0700), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct clfcn_temp temp;
        if (clfcn_temp_make(&temp, NULL) < 0 || chdir(temp.path) != 0 ||
            mkdir("0", 0700) != 0 || clfcn_file_write("0/x.icd", "x", 1, NULL) < 0) {
            _exit(1);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(entries("."), 2);
    assert_int_equal(clfcn_temp_make(&living, &err), CLFCN_OK);
    assert_int_equal(entries("."), 2);
    assert_int_equal(clfcn_temp_make(&next, &err), CLFCN_OK);
    assert_int_equal(entries("."), 3);
    assert_int_equal(chdir(next.path), 0);
    assert_int_equal(clfcn_file_write("y", "y", 1, NULL), CLFCN_OK);
    assert_int_equal(chdir(folder), 0);
    clfcn_temp_remove(&next);
    clfcn_temp_remove(&next);
    assert_true(clfcn_path_is_dir(living.path));
    clfcn_temp_remove(&living);
    assert_int_equal(entries("."), 1);
    unsetenv("TMPDIR");
}

static void test_truncate(void **state)
{
    struct clfcn_err err;
    assert_int_equal(clfcn_file_write("f", "0123456789", 10, NULL), CLFCN_OK);
    assert_int_equal(clfcn_file_truncate("f", 4, &err), CLFCN_OK);
    assert_content("f", "0123");
    assert_int_equal(clfcn_file_truncate("none", 4, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write none: No such file or directory");
}

static void test_reader(void **state)
{
    struct clfcn_file_reader r;
    struct clfcn_err err;
    char bytes[4] = "";
    assert_int_equal(clfcn_file_write("f", "abcdef", 6, NULL), CLFCN_OK);
    assert_int_equal(clfcn_reader_open(&r, "f", &err), CLFCN_OK);
    assert_int_equal(r.size, 6);
    assert_int_equal(clfcn_reader_read(&r, 2, bytes, 3, &err), CLFCN_OK);
    assert_string_equal(bytes, "cde");
    FILE *f = clfcn_reader_stream(&r);
    assert_non_null(f);
    rewind(f);
    assert_int_equal(fread(bytes, 1, 3, f), 3);
    assert_string_equal(bytes, "abc");
    fclose(f);
    assert_int_equal(clfcn_reader_read(&r, 0, bytes, 3, &err), CLFCN_OK);
    /* Somebody cuts it meanwhile. */
    assert_int_equal(truncate("f", 4), 0);
    assert_int_equal(clfcn_reader_read(&r, 2, bytes, 3, &err), CLFCN_EDATA);
    assert_string_equal(err.msg, "the file was cut while it was read, at byte 4");
    clfcn_reader_close(&r);
    clfcn_reader_close(&r);
}

static void test_reader_refuses(void **state)
{
    struct clfcn_file_reader r;
    struct clfcn_err err;
    assert_int_equal(clfcn_reader_open(&r, ".", &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot read .: Is a directory");
    assert_int_equal(clfcn_reader_open(&r, "none", &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot read none: No such file or directory");
    assert_int_equal(mkfifo("pipe", 0600), 0); /* that nobody writes to */
    assert_int_equal(clfcn_reader_open(&r, "pipe", &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot read pipe: No such device");
    assert_int_equal(clfcn_reader_open(&r, "/dev/zero", &err), CLFCN_EIO);
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(clfcn_reader_open(&r, "loop", &err), CLFCN_EIO);
    assert_false(r.open);
}

static void test_list(void **state)
{
    static const char *const files[] = { "10.png", "9.png", "1.png", ".hidden" };
    char **names;
    int count;
    struct clfcn_err err;
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(clfcn_file_write(files[i], "x", 1, NULL), CLFCN_OK);
    }
    assert_int_equal(mkdir("folder.png", 0700), 0);
    assert_int_equal(symlink("9.png", "link"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_int_equal(clfcn_path_list(".", &names, &count, &err), CLFCN_OK);
    assert_int_equal(count, 4);
    assert_string_equal(names[0], "1.png");
    assert_string_equal(names[1], "9.png");
    assert_string_equal(names[2], "10.png");
    assert_string_equal(names[3], "link");
    clfcn_path_list_free(names, count);

    assert_int_equal(clfcn_path_list("none", &names, &count, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "none: No such file or directory");
    assert_null(names);
    assert_int_equal(clfcn_path_list("folder.png", &names, &count, &err), CLFCN_OK);
    assert_int_equal(count, 0);
    clfcn_path_list_free(names, count);
}

static void test_mkdir(void **state)
{
    struct clfcn_err err;
    struct stat st;
    assert_int_equal(clfcn_path_mkdir("a//b/c/", 0700, &err), CLFCN_OK);
    assert_int_equal(clfcn_path_mkdir("a/b/c", 0700, &err), CLFCN_OK);
    assert_true(clfcn_path_is_dir("a/b/c"));
    assert_true(stat("a/b", &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_int_equal(clfcn_file_write("f", "x", 1, NULL), CLFCN_OK);
    assert_true(clfcn_path_exists("f") && !clfcn_path_is_dir("f"));
    assert_int_equal(clfcn_path_mkdir("f", 0700, &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot create folder f: File exists");
    assert_int_equal(clfcn_path_mkdir("f/x", 0700, &err), CLFCN_EIO);
}

static void test_cache_dir(void **state)
{
    char *dir, want[128];
    struct clfcn_err err;
    setenv("CLFCN_CACHE_DIR", "mine", 1);
    assert_int_equal(clfcn_path_cache_dir(&dir, &err), CLFCN_OK);
    assert_string_equal(dir, "mine");
    assert_true(clfcn_path_is_dir("mine"));
    free(dir);
    setenv("CLFCN_CACHE_DIR", "", 1);
    setenv("XDG_CACHE_HOME", folder, 1);
    assert_int_equal(clfcn_path_cache_dir(&dir, &err), CLFCN_OK);
    snprintf(want, sizeof(want), "%s/clfcn", folder);
    assert_string_equal(dir, want);
    free(dir);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", folder, 1);
    assert_int_equal(clfcn_path_cache_dir(&dir, &err), CLFCN_OK);
    snprintf(want, sizeof(want), "%s/.cache/clfcn", folder);
    assert_string_equal(dir, want);
    free(dir);
    unsetenv("HOME");
    assert_int_equal(clfcn_path_cache_dir(&dir, &err), CLFCN_EIO);
    assert_null(dir);
}

/* A lock keeps out another process and another holder in this one, and dies with its
 * process. */
static void test_lock(void **state)
{
    struct clfcn_lock lock, second;
    struct clfcn_err err;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        if (clfcn_lock_acquire(&lock, ".", NULL) != CLFCN_OK ||
            write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(clfcn_lock_acquire(&lock, ".", &err), CLFCN_EIO);
    assert_string_equal(err.msg, ".: in use by another process");
    clfcn_lock_release(&lock);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(clfcn_lock_acquire(&lock, ".", &err), CLFCN_OK);
    assert_int_equal(clfcn_lock_acquire(&second, ".", &err), CLFCN_EIO);
    clfcn_lock_release(&lock);
    assert_int_equal(clfcn_lock_acquire(&second, ".", &err), CLFCN_OK);
    clfcn_lock_release(&second);
    assert_int_equal(clfcn_lock_acquire(&lock, "none", &err), CLFCN_EIO);
    assert_string_equal(err.msg, "cannot write none/.lock: No such file or directory");
    close(ready[0]);
    close(ready[1]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write_and_read), TEST(test_read_limits),    TEST(test_read_own),
        TEST(test_atomic_steps),   TEST(test_atomic_refuses), TEST(test_full_disk),
        TEST(test_write_fails),    TEST(test_sweep),          TEST(test_truncate),
        TEST(test_reader),         TEST(test_reader_refuses), TEST(test_list),
        TEST(test_mkdir),          TEST(test_cache_dir),      TEST(test_lock),
        TEST(test_temp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
