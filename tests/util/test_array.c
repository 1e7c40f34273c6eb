/* Arrays that grow as they are filled. */
#include "../../host/util/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_growing(void **state)
{
    size_t room = 0;
    int *list = NULL;
    for (int i = 0; i < 1000; ++i) {
        int *grown = clfcn_array_grow(list, (size_t)i + 1, &room, sizeof(*list));
        assert_non_null(grown);
        assert_true(room > (size_t)i);
        assert_int_equal(grown[room - 1], 0);
        list = grown;
        list[i] = i;
    }
    for (int i = 0; i < 1000; ++i) {
        assert_int_equal(list[i], i);
    }
    assert_true(room < 4000);
    assert_ptr_equal(clfcn_array_grow(list, 5, &room, sizeof(*list)), list);
    free(list);
}

static void test_more_than_there_is(void **state)
{
    size_t room = 0;
    int64_t *list = clfcn_array_grow(NULL, 100, &room, sizeof(*list));
    assert_int_equal(room, 100);
    assert_null(clfcn_array_grow(list, SIZE_MAX / 8 + 2, &room, sizeof(*list)));
    assert_int_equal(room, 100);
    assert_int_equal(list[99], 0);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_more_than_there_is),
    };
    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
