/* http_listen.c: where the HTTP server listens, and what is said when it cannot. */
#include "http/listen.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

Test(http_listen, addresses_are_taken_apart)
{
    static const char *const cases[][3] = {{"127.0.0.1:9187", "127.0.0.1", "9187"},
                                           {"[::1]:9187", "::1", "9187"},
                                           {"0.0.0.0:0", "0.0.0.0", "0"},
                                           {"localhost:65535", "localhost", "65535"},
                                           {"[::]:1", "::", "1"},
                                           {"db.example:00080", "db.example", "00080"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listen_address address;
        struct error error;
        cr_assert(listen_parse(cases[i][0], &address, &error), "%s", cases[i][0]);
        cr_assert_str_eq(address.host, cases[i][1]);
        cr_assert_str_eq(address.port, cases[i][2]);
    }
}

Test(http_listen, anything_else_is_an_error_that_quotes_it)
{
    static char endless[400];
    memset(endless, 'a', sizeof endless - 1);
    memcpy(endless + sizeof endless - 4, ":80", 3);
    const char *const cases[] = {"",
                                 "9187",
                                 "localhost",
                                 ":9187",
                                 "127.0.0.1:",
                                 "127.0.0.1:http",
                                 "::1:9",
                                 "127.0.0.1:65536",
                                 "127.0.0.1:999999",
                                 "[]:80",
                                 "[::1:80",
                                 "::1]:80",
                                 "[::1]",
                                 "[::1]80",
                                 "a b:80",
                                 "a:-1",
                                 "http://a:80",
                                 "a:80/metrics",
                                 "a:+80",
                                 endless};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listen_address address;
        struct error error = {0};
        cr_assert_not(listen_parse(cases[i], &address, &error), "%s", cases[i]);
        cr_assert_eq(error.kind, ERROR_CONFIG);
        cr_assert_not_null(strstr(error.message, cases[i]), "%s", error.message);
    }
}

static void
assert_opens(const char *text)
{
    struct error error;
    int fd = -1;
    uint16_t port = 0;
    cr_assert(listen_open(text, &fd, &port, &error), "%s", error.message);
    cr_assert_neq(port, 0);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int listening = 0;
    socklen_t size = sizeof listening;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    cr_assert_eq(listening, 1);
    close(fd);
}

Test(http_listen, port_0_takes_a_free_one)
{
    assert_opens("127.0.0.1:0");
    assert_opens("localhost:0");
    assert_opens("0.0.0.0:0");
}

Test(http_listen, an_address_in_use_is_named)
{
    struct error error = {0};
    int fd, second;
    uint16_t port;
    char text[40];
    cr_assert(listen_open("127.0.0.1:0", &fd, &port, &error));
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    cr_assert_not(listen_open(text, &second, &port, &error));
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
    cr_assert_not_null(strstr(error.message, text), "%s", error.message);
    cr_assert_not_null(strstr(error.message, "Address already in use"), "%s", error.message);
    close(fd);
}

Test(http_listen, an_address_of_another_machine_is_named)
{
    struct error error = {0};
    int fd;
    uint16_t port;
    cr_assert_not(listen_open("192.0.2.1:9187", &fd, &port, &error));
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
    cr_assert_not_null(strstr(error.message, "192.0.2.1:9187"), "%s", error.message);
}
