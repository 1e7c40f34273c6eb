/* test_serve.c - ports to listen at, and tokens. */
#include "../../host/util/listen.h"
#include "../../host/util/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int reach(int port)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int rc = connect(fd, (const struct sockaddr *)&to, sizeof(to));
    close(fd);
    return rc;
}

static void test_a_free_port(void **state)
{
    struct clfcn_listener l;
    struct clfcn_err err = { 0 };
    char name[64];
    assert_int_equal(clfcn_listen("127.0.0.1", 0, &l, &err), CLFCN_OK);
    assert_in_range(l.port, 1, 65535);
    snprintf(name, sizeof(name), "127.0.0.1:%d", l.port);
    assert_string_equal(l.name, name);
    assert_int_equal(reach(l.port), 0);
    const int port = l.port;
    struct clfcn_listener second;
    assert_int_equal(clfcn_listen("127.0.0.1", port, &second, &err), CLFCN_EIO);
    assert_int_equal(err.native, EADDRINUSE);
    assert_int_equal(second.fd, -1);
    clfcn_listen_close(&l);
    clfcn_listen_close(&l);
    assert_int_equal(reach(port), -1);
}

static void test_any_address_is_called_by_the_host_name(void **state)
{
    struct clfcn_listener l;
    char host[256] = "";
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    assert_int_equal(clfcn_listen("0.0.0.0", 0, &l, NULL), CLFCN_OK);
    assert_memory_equal(l.name, host, strlen(host));
    assert_int_equal(l.name[strlen(host)], ':');
    clfcn_listen_close(&l);
}

static void test_no_address(void **state)
{
    struct clfcn_listener l;
    struct clfcn_err err = { 0 };
    assert_int_equal(clfcn_listen("203.0.113.1", 0, &l, &err), CLFCN_EIO);
    assert_non_null(strstr(err.msg, "203.0.113.1"));
    assert_int_equal(clfcn_listen("no host", 0, &l, &err), CLFCN_EIO);
    assert_non_null(strstr(err.msg, "no host"));
}

static void test_tokens(void **state)
{
    char a[CLFCN_TOKEN_LEN], b[CLFCN_TOKEN_LEN], c[CLFCN_TOKEN_LEN + 1];
    assert_int_equal(clfcn_token_make(a, NULL), CLFCN_OK);
    assert_int_equal(clfcn_token_make(b, NULL), CLFCN_OK);
    assert_int_equal(strlen(a), CLFCN_TOKEN_LEN - 1);
    assert_int_equal(strspn(a, "0123456789abcdef"), CLFCN_TOKEN_LEN - 1);
    assert_string_not_equal(a, b);
    assert_true(clfcn_token_equal(a, a));
    assert_false(clfcn_token_equal(a, b));
    assert_false(clfcn_token_equal(a, NULL));
    assert_false(clfcn_token_equal(a, ""));
    snprintf(c, sizeof(c), "%sx", a);
    assert_false(clfcn_token_equal(a, c));
    c[CLFCN_TOKEN_LEN - 2] = '\0';
    assert_false(clfcn_token_equal(a, c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_free_port),
        cmocka_unit_test(test_any_address_is_called_by_the_host_name),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
