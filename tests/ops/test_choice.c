/* test_choice.c - measured choices: kept, found again, and left alone when they are stale
 * or damaged; and what a convolution makes of them. */
#include "../../host/ops/choice.h"
#include "../../host/ops/gemm.h"
#include "../../host/util/file.h"
#include "../kernel/rig.h"
#include "../skip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct clfcn_conv_shape small = { 5, 7, 3, 1, 6, 9, false },
                                     large = { 64, 64, 3, 4, 32, 32, false };

static char messages[4096];
static int message_count;

static void note(void *user, enum clfcn_log_level level, const char *msg)
{
    snprintf(messages, sizeof(messages), "%s", msg);
    ++message_count;
}

static int begin(void **state)
{
    static char cache[64];
    snprintf(cache, sizeof(cache), "/tmp/clfcn-test-XXXXXX");
    if (!mkdtemp(cache)) {
        return -1;
    }
    setenv("CLFCN_CACHE_DIR", cache, 1);
    messages[0] = '\0';
    message_count = 0;
    clfcn_log_set(CLFCN_LOG_WARN, note, NULL);
    return rig_begin_test(state);
}

static int end(void **state)
{
    char command[128];
    clfcn_log_set(CLFCN_LOG_ERROR, NULL, NULL);
    snprintf(command, sizeof(command), "rm -rf %s", getenv("CLFCN_CACHE_DIR"));
    return system(command) != 0 || rig_end_test(state) != 0 ? -1 : 0;
}

static struct clfcn_choice choice(const struct clfcn_conv_shape *shape,
                                  enum clfcn_pass pass, const char *algorithm)
{
    struct clfcn_choice c = {
        .shape = *shape, .pass = pass, .ms = 1.25, .error = 3.1e-7
    };
    snprintf(c.algorithm, sizeof(c.algorithm), "%s", algorithm);
    return c;
}

/* Two choices, saved for rig's device. */
static void make_file(struct rig *rig, struct clfcn_choices *made)
{
    const struct clfcn_choice a = choice(&small, CLFCN_PASS_FORWARD, "im2col+native");
    const struct clfcn_choice b = choice(&large, CLFCN_PASS_WEIGHT, "winograd2");
    struct clfcn_err err;
    *made = (struct clfcn_choices){ 0 };
    rig_ok(clfcn_choices_set(made, &a, &err), &err);
    rig_ok(clfcn_choices_set(made, &b, &err), &err);
    rig_ok(clfcn_choices_save(made, rig->dev, &err), &err);
}

static bool equal(const struct clfcn_choices *a, const struct clfcn_choices *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; ++i) {
        const struct clfcn_choice *x = &a->list[i], *y = &b->list[i];
        same = clfcn_conv_shape_equal(&x->shape, &y->shape) && x->pass == y->pass &&
               x->gemm == y->gemm && strcmp(x->algorithm, y->algorithm) == 0 &&
               x->ms == y->ms && x->error == y->error;
    }
    return same;
}

static void test_round_trip(void **state)
{
    struct rig *rig = *state;
    struct clfcn_choices made, loaded;
    assert_false(clfcn_choices_stored(rig->dev));
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    assert_int_equal(loaded.count, 0);
    make_file(rig, &made);
    assert_true(clfcn_choices_stored(rig->dev));
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    assert_true(equal(&made, &loaded));
    assert_int_equal(message_count, 0);
    clfcn_choices_free(&loaded);
    clfcn_choices_free(&made);
}

static void test_found_by_all_of_the_key(void **state)
{
    struct clfcn_choices made;
    struct clfcn_conv_shape other = small;
    make_file(*state, &made);
    const struct clfcn_choice *found =
        clfcn_choices_find(&made, &small, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO);
    assert_ptr_equal(found, &made.list[0]);
    ++other.w;
    assert_null(clfcn_choices_find(&made, &other, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO));
    other = small;
    other.transposed = true;
    assert_null(clfcn_choices_find(&made, &other, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO));
    assert_null(clfcn_choices_find(&made, &small, CLFCN_PASS_INPUT, CLFCN_GEMM_AUTO));
    assert_null(clfcn_choices_find(&made, &small, CLFCN_PASS_FORWARD, CLFCN_GEMM_NATIVE));
    assert_null(clfcn_choices_find(NULL, &small, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO));
    clfcn_choices_free(&made);
}

static void test_replaced_and_removed(void **state)
{
    struct clfcn_choices made;
    struct clfcn_err err;
    make_file(*state, &made);
    const struct clfcn_choice c = choice(&small, CLFCN_PASS_FORWARD, "winograd4");
    rig_ok(clfcn_choices_set(&made, &c, &err), &err);
    assert_int_equal(made.count, 2);
    assert_string_equal(made.list[0].algorithm, "winograd4");
    clfcn_choices_remove(&made, &small, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO);
    assert_int_equal(made.count, 1);
    assert_null(clfcn_choices_find(&made, &small, CLFCN_PASS_FORWARD, CLFCN_GEMM_AUTO));
    clfcn_choices_free(&made);
}

/* Load for a device that is not quite the one measured on. */
static void check_stale(const struct clfcn_dev *dev, const char *what)
{
    struct clfcn_choices loaded;
    message_count = 0;
    clfcn_choices_load(dev, CLFCN_LOG_WARN, &loaded);
    assert_int_equal(loaded.count, 0);
    assert_int_equal(message_count, 1);
    assert_non_null(strstr(messages, what));
    assert_non_null(strstr(messages, "clfcn tune"));
}

static void test_stale(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_device_info info = rig->dev->info;
    struct clfcn_choices made;
    make_file(rig, &made);
    clfcn_choices_free(&made);
    snprintf(rig->dev->info.driver, sizeof(rig->dev->info.driver), "another 9.9");
    check_stale(rig->dev, "another 9.9");
    rig->dev->info = info;
    ++rig->dev->info.compute_units;
    check_stale(rig->dev, "compute units");
    rig->dev->info = info;
}

static void test_another_device_has_another_file(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_device_info info = rig->dev->info;
    struct clfcn_choices made, loaded;
    make_file(rig, &made);
    clfcn_choices_free(&made);
    snprintf(rig->dev->info.name, sizeof(rig->dev->info.name), "another device");
    assert_false(clfcn_choices_stored(rig->dev));
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    assert_int_equal(loaded.count, 0);
    assert_int_equal(message_count, 0);
    rig->dev->info = info;
}

static void write_plainly(const char *path, const char *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* The file, damaged: none of it may be believed, unless the damage is to blank space. */
static void check_damage(struct rig *rig, const struct clfcn_choices *made, size_t at)
{
    struct clfcn_choices loaded;
    message_count = 0;
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    if (loaded.count == 0) {
        assert_int_equal(message_count, 1);
    } else if (!equal(made, &loaded)) {
        fail_msg("damage at byte %zu was not noticed", at);
    }
    clfcn_choices_free(&loaded);
}

static void test_damaged_at_any_byte(void **state)
{
    struct rig *rig = *state;
    struct clfcn_choices made;
    struct clfcn_err err;
    char *path = NULL, *text = NULL;
    size_t size;
    make_file(rig, &made);
    rig_ok(clfcn_choices_path(rig->dev, &path, &err), &err);
    rig_ok(clfcn_file_read(path, 0, &text, &size, &err), &err);
    for (size_t i = 0; i < size; ++i) {
        const char byte = text[i];
        const char bad[] = { (char)(byte ^ 1), (char)(byte ^ 0x80), '9', '\0' };
        for (size_t k = 0; k < sizeof(bad); ++k) {
            text[i] = bad[k];
            write_plainly(path, text, size);
            check_damage(rig, &made, i);
        }
        text[i] = byte;
        write_plainly(path, text, i);
        check_damage(rig, &made, i);
    }
    free(text);
    free(path);
    clfcn_choices_free(&made);
}

/* It is to be measured again, and the loss is told. */
static void test_damaged_counts_as_none(void **state)
{
    struct rig *rig = *state;
    struct clfcn_choices made;
    struct clfcn_err err;
    char *path = NULL;
    make_file(rig, &made);
    clfcn_choices_free(&made);
    rig_ok(clfcn_choices_path(rig->dev, &path, &err), &err);
    static const char *const damaged[] = { "", "{\"first look\": true", "{}" };
    for (int i = 0; i < 3; ++i) {
        write_plainly(path, damaged[i], strlen(damaged[i]));
        message_count = 0;
        assert_false(clfcn_choices_stored(rig->dev));
        assert_int_equal(message_count, 1);
    }
    free(path);
}

static void test_another_users_file(void **state)
{
    struct rig *rig = *state;
    struct clfcn_choices made;
    struct clfcn_err err;
    char *path = NULL;
    make_file(rig, &made);
    clfcn_choices_free(&made);
    rig_ok(clfcn_choices_path(rig->dev, &path, &err), &err);
    const bool given_away = chown(path, 12345, 12345) == 0;
    free(path);
    if (!given_away) {
        SKIP_TEST("only root can give a file away");
    }
    check_stale(rig->dev, "user");
}

/* What clfcn_conv_create() takes, with this one choice stored. No provider is made but
 * the one that is used. */
static void check_created_by(struct rig *rig, enum clfcn_gemm_kind allowed,
                             const struct clfcn_choice *stored, size_t workspace,
                             const struct clfcn_conv_impl *forced, const char *want)
{
    struct clfcn_choices choices = { 0 };
    struct clfcn_programs *programs = NULL;
    struct clfcn_conv *cv = NULL;
    struct clfcn_err err;
    rig_ok(clfcn_choices_set(&choices, stored, &err), &err);
    rig_ok(clfcn_programs_create(rig->dev, &programs, &err), &err);
    struct clfcn_gemms gemms = { .dev = rig->dev, .programs = programs, .kind = allowed };
    const struct clfcn_op_env env = { .dev = rig->dev,
                                      .programs = programs,
                                      .gemms = &gemms,
                                      .gemm_kind = stored->gemm,
                                      .columns_limit = 1 << 20,
                                      .workspace_limit = workspace,
                                      .training = true,
                                      .conv = { forced },
                                      .choices = &choices };
    rig_ok(clfcn_conv_create(&large, CLFCN_PASS_FORWARD, &env, &cv, &err), &err);
    if (want) {
        assert_string_equal(cv->name, want);
    } else {
        assert_string_not_equal(cv->name, stored->algorithm);
    }
    if (!want || strcmp(want, stored->algorithm) == 0) {
        assert_int_equal(gemms.count, cv->gemm ? 1 : 0);
    }
    clfcn_conv_destroy(&cv);
    clfcn_programs_destroy(&programs);
    clfcn_gemms_destroy(&gemms);
    clfcn_choices_free(&choices);
}

static void check_created(struct rig *rig, const struct clfcn_choice *stored,
                          size_t workspace, const struct clfcn_conv_impl *forced,
                          const char *want)
{
    check_created_by(rig, CLFCN_GEMM_AUTO, stored, workspace, forced, want);
}

static void test_convolutions_follow(void **state)
{
    struct rig *rig = *state;
    char usual[CLFCN_CONV_NAME];
    clfcn_conv_impl_name(&clfcn_conv_im2col, NULL,
                         clfcn_gemm_impl_of(&rig->dev->info, CLFCN_GEMM_AUTO)->name,
                         usual);
    struct clfcn_choice c = choice(&large, CLFCN_PASS_FORWARD, "im2col+clblast");
    check_created(rig, &c, SIZE_MAX, NULL, "im2col+clblast");
    check_created(rig, &c, SIZE_MAX, &clfcn_conv_im2col, usual);
    check_created(rig, &c, 1, NULL, "im2col+clblast"); /* it is thrifty */
    c = choice(&large, CLFCN_PASS_FORWARD, "im2col+native");
    check_created(rig, &c, SIZE_MAX, NULL, "im2col+native");
    c = choice(&large, CLFCN_PASS_FORWARD, "winograd2");
    check_created(rig, &c, 1, NULL, usual); /* that is not */
    if (rig_has_vectors(rig)) {
        c = choice(&large, CLFCN_PASS_FORWARD, "winograd2:tiles=48");
        check_created(rig, &c, SIZE_MAX, NULL, "winograd2:tiles=48");
        c = choice(&large, CLFCN_PASS_FORWARD, "winograd2:tiles=47");
        check_created(rig, &c, SIZE_MAX, NULL, NULL);
    }
    c = choice(&large, CLFCN_PASS_FORWARD, "of a later version");
    check_created(rig, &c, SIZE_MAX, NULL, NULL);
    const char *other =
        strcmp(usual, "im2col+native") ? "im2col+native" : "im2col+clblast";
    c = choice(&large, CLFCN_PASS_INPUT, other);
    check_created(rig, &c, SIZE_MAX, NULL, NULL);
}

static void test_variants_of_providers(void **state)
{
    struct rig *rig = *state;
    const bool vectors = rig_has_vectors(rig);
    const char *const native = vectors ? "im2col+native:part=320" : "im2col+native:kt=32";
    struct clfcn_choice c = choice(&large, CLFCN_PASS_FORWARD, native);
    check_created(rig, &c, SIZE_MAX, NULL, native);
    check_created(rig, &c, 1, NULL, native);
    c = choice(&large, CLFCN_PASS_FORWARD,
               vectors ? "im2col+native:part=321" : "im2col+native:kt=33");
    check_created(rig, &c, SIZE_MAX, NULL, NULL);
    c = choice(&large, CLFCN_PASS_FORWARD, "im2col+");
    check_created(rig, &c, SIZE_MAX, NULL, NULL);
    c = choice(&large, CLFCN_PASS_FORWARD, "im2col:x=1+native");
    check_created(rig, &c, SIZE_MAX, NULL, NULL);
    if (vectors) {
        c = choice(&large, CLFCN_PASS_FORWARD, "im2col+clblast:part=512");
        check_created(rig, &c, SIZE_MAX, NULL, "im2col+clblast:part=512");
    } else {
        c = choice(&large, CLFCN_PASS_FORWARD, "winograd4-batched+native:side=8");
        check_created(rig, &c, SIZE_MAX, NULL, "winograd4-batched+native:side=8");
    }
    c = choice(&large, CLFCN_PASS_FORWARD, native);
    c.gemm = CLFCN_GEMM_CLBLAST; /* no such choice can be, but a file may say so */
    check_created_by(rig, CLFCN_GEMM_CLBLAST, &c, SIZE_MAX, NULL, NULL);
}

/* A first look's file is told apart, and gives way when it is stale. */
static void test_a_first_look(void **state)
{
    struct rig *rig = *state;
    const struct clfcn_device_info info = rig->dev->info;
    struct clfcn_choices made, loaded;
    struct clfcn_err err;
    make_file(rig, &made);
    made.first_look = true;
    rig_ok(clfcn_choices_save(&made, rig->dev, &err), &err);
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    assert_true(loaded.first_look);
    assert_true(equal(&made, &loaded));
    assert_true(clfcn_choices_stored(rig->dev));
    clfcn_choices_free(&loaded);
    snprintf(rig->dev->info.driver, sizeof(rig->dev->info.driver), "another 9.9");
    clfcn_choices_load(rig->dev, CLFCN_LOG_WARN, &loaded);
    assert_int_equal(loaded.count, 0);
    assert_int_equal(message_count, 0);
    assert_false(clfcn_choices_stored(rig->dev));
    made.first_look = false;
    rig->dev->info = info;
    rig_ok(clfcn_choices_save(&made, rig->dev, &err), &err);
    snprintf(rig->dev->info.driver, sizeof(rig->dev->info.driver), "another 9.9");
    assert_true(clfcn_choices_stored(rig->dev));
    rig->dev->info = info;
    clfcn_choices_free(&made);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_found_by_all_of_the_key),
        TEST(test_replaced_and_removed),
        TEST(test_stale),
        TEST(test_another_device_has_another_file),
        TEST(test_damaged_at_any_byte),
        TEST(test_damaged_counts_as_none),
        TEST(test_another_users_file),
        TEST(test_convolutions_follow),
        TEST(test_variants_of_providers),
        TEST(test_a_first_look),
    };
    return RIG_RUN(tests);
}
