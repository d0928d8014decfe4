/* http_server.c: the real HTTP server on a free port: what it answers to those who ask properly. */
#include "base/clock.h"
#include "http/server.h"
#include "http_client.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static struct http_server *server;
static uint16_t port;
static struct snapshot_topic topics[] = {
    {.name = (char[]){"orders"}, .published = 12, .published_bytes = 3400}};

static struct snapshot
leading(void)
{
    return (struct snapshot){.source = "shop",
                             .relay = "main",
                             .state = "leading",
                             .leader = true,
                             .leader_until_us = clock_monotonic_us() + 60 * INT64_C(1000000),
                             .ready = true,
                             .epoch = 7,
                             .turned_at_us = clock_monotonic_us(),
                             .topic_count = 1,
                             .topics = topics};
}

static void
start(void)
{
    struct error error;
    cr_assert(http_server_start(&server, "127.0.0.1:0", &error), "%s", error.message);
    port = http_server_port(server);
    cr_assert_neq(port, 0);
}

static void
stop(void)
{
    http_server_stop(server);
}

TestSuite(http_server, .init = start, .fini = stop, .timeout = 60);

static bool
has(const struct http_reply *reply, const char *text)
{
    return strstr(reply->text, text) != NULL;
}

Test(http_server, before_the_first_snapshot_health_is_503_and_the_page_says_starting)
{
    cr_assert_eq(http_client_request(port, "GET", "/health/live")->status, 503);
    cr_assert_eq(http_client_request(port, "GET", "/health/ready")->status, 503);
    cr_assert_eq(http_client_request(port, "GET", "/metrics")->status, 200);
    const struct http_reply *page = http_client_request(port, "GET", "/");
    cr_assert_eq(page->status, 200);
    cr_assert(has(page, "<h1>Starting</h1>"));
}

Test(http_server, metrics_are_prometheus_text_of_the_last_snapshot)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    const struct http_reply *reply = http_client_request(port, "GET", "/metrics");
    cr_assert_eq(reply->status, 200);
    cr_assert(has(reply, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "%s",
              reply->text);
    cr_assert(has(reply, "\noutbox_published_total{topic=\"orders\"} 12\n"));
    cr_assert(has(reply, "\noutbox_epoch 7\n"));
    snapshot.epoch = 8;
    http_server_publish(server, &snapshot);
    cr_assert(has(http_client_request(port, "GET", "/metrics"), "\noutbox_epoch 8\n"));
}

Test(http_server, a_leader_whose_last_snapshot_is_older_than_its_lease_is_told_as_none)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    cr_assert(has(http_client_request(port, "GET", "/metrics"), "\noutbox_leader 1\n"));
    snapshot.leader_until_us = clock_monotonic_us();
    http_server_publish(server, &snapshot);
    cr_assert(has(http_client_request(port, "GET", "/metrics"), "\noutbox_leader 0\n"));
    cr_assert(has(http_client_request(port, "GET", "/status.json"), "\"leader\": false"));
}

Test(http_server, a_query_string_changes_nothing)
{
    cr_assert_eq(http_client_request(port, "GET", "/metrics?name[]=outbox_epoch")->status, 200);
}

Test(http_server, live_is_200_while_the_loop_turns_and_503_when_it_does_not)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    const struct http_reply *reply = http_client_request(port, "GET", "/health/live");
    cr_assert_eq(reply->status, 200);
    cr_assert(has(reply, "\r\nContent-Type: application/json\r\n"));
    snapshot.turned_at_us = clock_monotonic_us() - 11000000;
    http_server_publish(server, &snapshot);
    cr_assert_eq(http_client_request(port, "GET", "/health/live")->status, 503);
    cr_assert_eq(http_client_request(port, "GET", "/health/ready")->status, 503);
}

Test(http_server, ready_is_200_or_503_with_a_reason_in_json)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    cr_assert_eq(http_client_request(port, "GET", "/health/ready")->status, 200);
    snapshot.ready = false;
    strcpy(snapshot.reason, "no broker answers");
    http_server_publish(server, &snapshot);
    const struct http_reply *reply = http_client_request(port, "GET", "/health/ready");
    cr_assert_eq(reply->status, 503);
    json_t *answer = json_loads(reply->body, 0, NULL);
    cr_assert_not_null(answer, "%s", reply->text);
    cr_assert(json_is_false(json_object_get(answer, "ready")));
    cr_assert_str_eq(json_string_value(json_object_get(answer, "state")), "leading");
    cr_assert_str_eq(json_string_value(json_object_get(answer, "reason")), "no broker answers");
    json_decref(answer);
}

Test(http_server, status_json_parses)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    const struct http_reply *reply = http_client_request(port, "GET", "/status.json");
    cr_assert_eq(reply->status, 200);
    json_t *status = json_loads(reply->body, 0, NULL);
    cr_assert_not_null(status, "%s", reply->text);
    cr_assert_eq(json_integer_value(json_object_get(status, "epoch")), 7);
    json_decref(status);
}

Test(http_server, the_page_may_load_and_run_nothing)
{
    struct snapshot snapshot = leading();
    http_server_publish(server, &snapshot);
    const struct http_reply *reply = http_client_request(port, "GET", "/");
    cr_assert_eq(reply->status, 200);
    cr_assert(has(reply, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    cr_assert(has(reply, "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline';"));
    cr_assert(has(reply, "\r\nX-Content-Type-Options: nosniff\r\n"));
    cr_assert(has(reply, "<h1>Leading</h1>"));
}

Test(http_server, head_gives_the_head_without_the_body)
{
    const struct http_reply *reply = http_client_request(port, "HEAD", "/metrics");
    cr_assert_eq(reply->status, 200);
    cr_assert(has(reply, "\r\nContent-Length: "));
    cr_assert(reply->ended);
    cr_assert_str_eq(reply->body, "");
}

Test(http_server, other_methods_are_405_and_other_paths_404)
{
    static const char *const methods[] = {"POST",  "PUT",   "DELETE", "OPTIONS",
                                          "TRACE", "PATCH", "get",    "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const struct http_reply *reply = http_client_request(port, methods[i], "/metrics");
        cr_assert_eq(reply->status, 405, "%s: %d", methods[i], reply->status);
        cr_assert(has(reply, "\r\nAllow: GET, HEAD\r\n"));
    }
    static const char *const paths[] = {"/metric", "/metrics/",   "/health",     "/health/",
                                        "//",      "/index.html", "/favicon.ico"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        cr_assert_eq(http_client_request(port, "GET", paths[i])->status, 404, "%s", paths[i]);
}

Test(http_server, every_answer_ends_its_connection)
{
    static const char *const paths[] = {"/", "/metrics", "/status.json", "/health/live", "/nothing"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const struct http_reply *reply = http_client_request(port, "GET", paths[i]);
        cr_assert(reply->ended, "%s", paths[i]);
        cr_assert(has(reply, "\r\nConnection: close\r\n"), "%s", reply->text);
    }
}

Test(http_server, a_second_server_on_the_same_port_is_refused_by_name)
{
    char listen[32];
    struct http_server *second = NULL;
    struct error error = {0};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    cr_assert_not(http_server_start(&second, listen, &error));
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
    cr_assert_not_null(strstr(error.message, listen), "%s", error.message);
    cr_assert_eq(http_client_request(port, "GET", "/metrics")->status, 200);
}

Test(http_server, the_port_is_free_again_after_a_stop)
{
    char listen[32];
    struct error error = {0};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    cr_assert_eq(http_client_request(port, "GET", "/metrics")->status,
                 200); /* leaves a TIME_WAIT on this side */
    http_server_stop(server);
    cr_assert(http_server_start(&server, listen, &error), "%s", error.message);
    cr_assert_eq(http_client_request(port, "GET", "/metrics")->status, 200);
}
