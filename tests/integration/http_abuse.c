/* http_abuse.c: clients that are slow, greedy, many or broken. Afterwards the server answers at once and holds no
 * descriptor of theirs; the relay, which publishes all the time here, never waits for it. */
#include "base/clock.h"
#include "http/connections.h"
#include "http/server.h"
#include "http_client.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000

/* A literal that may hold NUL, and its size. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static struct http_server *server;
static uint16_t port;
static size_t descriptors_before;

/* A relay in small: publishes every 20 ms and remembers the slowest publication. */
static pthread_t relay;
static atomic_bool relay_stops;
static _Atomic int64_t slowest_us;

/* What it publishes, as many of them as a test asks for, which makes /status.json as long: 220 KiB for all. */
enum { TOPICS_MAX = 2000 };
static struct snapshot_topic topics[TOPICS_MAX];
static _Atomic size_t topic_count;

static void *
publish_all_the_time(void *unused)
{
    while (!atomic_load(&relay_stops)) {
        int64_t before_us = clock_monotonic_us();
        struct snapshot snapshot = {.state = "leading",
                                    .leader = true,
                                    .ready = true,
                                    .turned_at_us = before_us,
                                    .topics = topics,
                                    .topic_count = atomic_load(&topic_count)};
        http_server_publish(server, &snapshot);
        int64_t took_us = clock_monotonic_us() - before_us;
        if (took_us > atomic_load(&slowest_us))
            atomic_store(&slowest_us, took_us);
        poll(NULL, 0, 20);
    }
    return unused;
}

static bool
is_servers(int fd)
{
    struct sockaddr_in own = {0};
    socklen_t size = sizeof own;
    return getsockname(fd, (struct sockaddr *)&own, &size) == 0 && own.sin_family == AF_INET &&
           ntohs(own.sin_port) == port;
}

/* Connections that the server has; a client sees of one that was ended nothing before it has read what was sent to it. */
static size_t
count_held(void)
{
    size_t held = 0;
    for (int fd = 3; fd < 1000; fd++) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        held += is_servers(fd) && getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
    }
    return held;
}

static size_t
count_descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static void
start(void)
{
    struct error error;
    cr_assert(http_server_start(&server, "127.0.0.1:0", &error), "%s", error.message);
    port = http_server_port(server);
    cr_assert_eq(http_client_request(port, "GET", "/metrics")->status, 200);
    wait_for(count_held() == 0, 2000);
    descriptors_before = count_descriptors();
    cr_assert_eq(pthread_create(&relay, NULL, publish_all_the_time, NULL), 0);
    while (http_client_request(port, "GET", "/health/live")->status != 200) /* until something is published */
        poll(NULL, 0, 1);
}

static void
stop(void)
{
    atomic_store(&relay_stops, true);
    pthread_join(relay, NULL);
    http_server_stop(server);
}

TestSuite(http_abuse, .init = start, .fini = stop, .timeout = 60);

/* "Afterwards": within a second for an answer, and for the descriptors. */
static void
assert_unharmed(void)
{
    int64_t before_us = clock_monotonic_us();
    const struct http_reply *reply = http_client_request(port, "GET", "/metrics");
    cr_assert_eq(reply->status, 200, "%.200s", reply->text);
    cr_assert_lt((double)(clock_monotonic_us() - before_us), SECOND * wait_patience());
    wait_for(count_descriptors() <= descriptors_before, 2000);
    cr_assert_lt((double)atomic_load(&slowest_us), SECOND * wait_patience() / 2, "a publication took %lld us",
                 (long long)slowest_us);
}

/* Waits until the server has closed `fd`, sending a byte every 200 ms; gives how long that took. */
static int64_t
drip_until_closed(int fd, int64_t at_most_us)
{
    int64_t start_us = clock_monotonic_us();
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (clock_monotonic_us() - start_us < at_most_us) {
        char byte;
        http_client_send(fd, "x", 1);
        if (poll(&ready, 1, 200) == 1 && read(fd, &byte, 1) <= 0)
            break;
    }
    return clock_monotonic_us() - start_us;
}

Test(http_abuse, fault_84_a_byte_now_and_then_buys_no_time_beyond_the_deadline)
{
    int fd = http_client_connect(port);
    http_client_send_text(fd, "GET / HTTP/1.1\r\nX-Slow: ");
    int64_t took_us = drip_until_closed(fd, CONNECTIONS_DEADLINE_US * 2);
    cr_assert_lt(took_us, CONNECTIONS_DEADLINE_US + 2 * SECOND, "%lld us", (long long)took_us);
    cr_assert_gt(took_us, CONNECTIONS_DEADLINE_US - 2 * SECOND, "%lld us", (long long)took_us);
    close(fd);
    assert_unharmed();
}

Test(http_abuse, fault_84_a_client_that_is_silent_is_dropped)
{
    static struct http_reply reply;
    int fd = http_client_connect(port);
    http_client_read(fd, 9000, &reply);
    cr_assert(reply.ended);
    close(fd);
    assert_unharmed();
}

Test(http_abuse, fault_84_two_hundred_connections_do_not_keep_a_scrape_out)
{
    enum { MANY = 200 };
    int fds[MANY];
    for (size_t i = 0; i < MANY; i++) {
        fds[i] = http_client_connect(port);
        http_client_send_text(fds[i], "GET /metrics HT");
    }
    /* They stay, and give way: a scraper that tries again is served within the patience and a second. */
    int64_t start_us = clock_monotonic_us();
    while (http_client_request(port, "GET", "/metrics")->status != 200) {
        cr_assert_lt(clock_monotonic_us() - start_us, CONNECTIONS_PATIENCE_US + SECOND);
        poll(NULL, 0, 50);
    }
    cr_assert_leq(count_descriptors(), descriptors_before + MANY + CONNECTIONS_SLOTS);
    for (size_t i = 0; i < MANY; i++)
        close(fds[i]);
    poll(NULL, 0, 200);
    assert_unharmed();
}

Test(http_abuse, fault_84_a_header_of_64_KiB_is_refused)
{
    static char request[70000] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Large: ";
    size_t start = strlen(request);
    memset(request + start, 'x', 65536);
    memcpy(request + start + 65536, "\r\n\r\n", 4);
    const struct http_reply *reply = http_client_ask(port, request, start + 65540);
    cr_assert(reply->ended);
    cr_assert(reply->status == 0 || (reply->status >= 400 && reply->status < 500), "%d", reply->status);
    assert_unharmed();
}

Test(http_abuse, fault_84_a_url_of_64_KiB_is_refused)
{
    static char request[70000] = "GET /";
    memset(request + 5, 'x', 65536);
    memcpy(request + 65541, " HTTP/1.1\r\n\r\n", 13);
    const struct http_reply *reply = http_client_ask(port, request, 65554);
    cr_assert(reply->ended);
    cr_assert_neq(reply->status, 200);
    assert_unharmed();
}

/* So many requests in one piece. */
static const struct http_reply *
pipeline(int count)
{
    static char requests[100 * 64];
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += (size_t)snprintf(requests + size, sizeof requests - size,
                                 "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return http_client_ask(port, requests, size);
}

Test(http_abuse, fault_84_of_pipelined_requests_one_is_answered)
{
    const struct http_reply *reply = pipeline(3);
    cr_assert_eq(reply->status, 200);
    cr_assert(reply->ended);
    cr_assert_null(strstr(reply->body, "HTTP/1.1"), "%s", reply->text);
    /* More than the server reads at once: what it leaves unread makes its close a reset, which may overtake the answer. */
    reply = pipeline(100);
    cr_assert(reply->status == 200 || reply->size == 0, "%s", reply->text);
    cr_assert(reply->ended);
    cr_assert_null(strstr(reply->body, "HTTP/1.1"), "%s", reply->text);
    assert_unharmed();
}

Test(http_abuse, fault_84_paths_lead_nowhere_else)
{
    static const char *const paths[] = {"/../../etc/passwd",
                                        "/../../",
                                        "/%2e%2e/%2e%2e/etc/passwd",
                                        "/metrics/../../etc",
                                        "/..",
                                        "*",
                                        "http://other.example/",
                                        "/%00",
                                        "/%ff%fe",
                                        "/%"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const struct http_reply *reply = http_client_request(port, "GET", paths[i]);
        cr_assert_neq(reply->status, 200, "%s", paths[i]);
        cr_assert_null(strstr(reply->text, "root:"));
        cr_assert(reply->ended, "%s", paths[i]);
    }
    assert_unharmed();
}

Test(http_abuse, fault_84_a_request_of_http_0_9_is_answered_or_dropped)
{
    const struct http_reply *reply = http_client_ask(port, BYTES("GET /metrics\r\n\r\n"));
    cr_assert(reply->ended);
    assert_unharmed();
}

Test(http_abuse, fault_84_nul_bytes_and_noise_are_dropped)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {BYTES("\0\0\0\0\r\n\r\n")},
        {BYTES("GET /met\0rics HTTP/1.1\r\nHost: a\r\n\r\n")},
        {BYTES("GET /metrics HTTP/1.1\r\nHo\0st: a\r\n\r\n")},
        {BYTES("GET /metrics HTTP/9.9\r\n\r\n")},
        {BYTES("GET  HTTP/1.1\r\n\r\n")},
        {BYTES("\r\n\r\n\r\n\r\nGARBAGE\r\n\r\n")},
        {BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")}, /* a TLS hello at the wrong door */
        {BYTES("GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n")},
        {BYTES("GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert(http_client_ask(port, cases[i].bytes, cases[i].size)->ended, "case %zu", i);
    assert_unharmed();
}

Test(http_abuse, fault_84_an_upload_is_refused_before_it_is_read)
{
    const char *request = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
    const struct http_reply *reply = http_client_ask(port, request, strlen(request));
    cr_assert_eq(reply->status, 405);
    cr_assert(reply->ended);
    assert_unharmed();
}

/* Returns when so many topics are served. */
static void
publish_topics(size_t count)
{
    static char name[] = "a.topic";
    for (size_t i = 0; i < TOPICS_MAX; i++)
        topics[i].name = name;
    atomic_store(&topic_count, count);
    wait_for((strstr(http_client_request(port, "GET", "/status.json")->text, name) != NULL) == (count > 0),
             5000);
}

/* The kernel is to keep 4 KiB of an answer and not 4 MiB: a connection takes after the socket by which it came in. */
static void
narrow_the_way_out(void)
{
    int little = 4096;
    for (int fd = 3; fd < 1000; fd++)
        if (is_servers(fd))
            cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
}

/* Each has the beginning of its answer before it, and the server still holds each. */
static bool
all_are_in_the_middle(const int *fds)
{
    char byte;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (recv(fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
            return false;
    return count_held() == CONNECTIONS_MAX;
}

Test(http_abuse, fault_84_clients_that_do_not_read_their_answers_do_not_keep_a_scrape_out)
{
    publish_topics(TOPICS_MAX);
    wait_for(count_held() == 0, 2000); /* what is being closed cannot be narrowed */
    narrow_the_way_out();
    int fds[CONNECTIONS_MAX];
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        fds[i] = http_client_connect(port);
        http_client_send_text(fds[i], "GET /status.json HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_for(all_are_in_the_middle(fds), 5000);
    int64_t start_us = clock_monotonic_us();
    while (http_client_request(port, "GET", "/health/live")->status != 200) {
        cr_assert_lt(clock_monotonic_us() - start_us, CONNECTIONS_PATIENCE_US + 2 * SECOND);
        poll(NULL, 0, 50);
    }
    /* the oldest of them has given way, and none is borne for ever */
    wait_for(count_held() < CONNECTIONS_MAX, 1000);
    wait_for(count_held() == 0, CONNECTIONS_DEADLINE_US / 1000);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        close(fds[i]);
    publish_topics(0);
    assert_unharmed();
}
