/* server.c: answers GET and HEAD from the last published snapshot. libmicrohttpd's thread does the work; the
 * relay only copies a snapshot in. Must never take a lock for longer than a copy, nor hold more than a
 * bounded number of clients. */
#include "http/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/connections.h"
#include "http/listen.h"
#include "http/metrics.h"
#include "http/page.h"
#include "http/status.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* A client that says nothing for so long is gone; one that goes on talking meets CONNECTIONS_DEADLINE_US. */
#define SILENCE_SECONDS 5

/* Request line, headers and the head of the answer of one client; a longer request is answered 4xx. */
#define CLIENT_MEMORY 16384

struct http_server {
    struct MHD_Daemon *daemon;
    uint16_t port;
    struct connections connections;
    pthread_mutex_t mutex;     /* guards `published` */
    struct snapshot published; /* the relay's last word */
    struct snapshot served;    /* the HTTP thread's copy of it, used without the lock */
};

/* ---- answers
 * -------------------------------------------------------------------------------------------------- */

struct answer {
    unsigned status;
    const char *type;
    char *text; /* freed by libmicrohttpd */
    size_t size;
};

static const char json_type[] = "application/json";
static const char text_type[] = "text/plain; charset=utf-8";

static struct answer
make_answer(unsigned status, const char *type, char *text)
{
    return (struct answer){status, type, text, strlen(text)};
}

static struct answer
route(const struct snapshot *snapshot, const char *url, int64_t now_us)
{
    struct answer answer = {.status = MHD_HTTP_OK};
    if (strcmp(url, "/metrics") == 0) {
        answer.type = METRICS_CONTENT_TYPE;
        answer.text = metrics_write(snapshot, &answer.size);
        return answer;
    }
    if (strcmp(url, "/") == 0) {
        answer.type = "text/html; charset=utf-8";
        answer.text = http_page_write(snapshot, now_us, &answer.size);
        return answer;
    }
    if (strcmp(url, "/status.json") == 0)
        return make_answer(MHD_HTTP_OK, json_type, status_write(snapshot, now_us));
    if (strcmp(url, "/health/live") == 0)
        return make_answer(status_is_live(snapshot, now_us) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                           json_type, status_write_live(snapshot, now_us));
    if (strcmp(url, "/health/ready") == 0)
        return make_answer(status_is_ready(snapshot, now_us) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                           json_type, status_write_ready(snapshot, now_us));
    return make_answer(
        MHD_HTTP_NOT_FOUND, text_type,
        must_strdup("not found; there are /, /metrics, /status.json, /health/live and /health/ready\n"));
}

/* One request a connection: nothing to pipeline, nothing to keep open. The page needs its own style and
 * nothing else. */
static enum MHD_Result
send_answer(struct MHD_Connection *connection, const struct answer *answer)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->size, answer->text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(answer->text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", answer->type);
    MHD_add_response_header(response, "Connection", "close");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
                            "form-action 'none'; frame-ancestors 'none'");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* ---- what libmicrohttpd calls, in its thread
 * -------------------------------------------------------------------- */

/* Answers as soon as the headers are there, so a body is never read. */
static enum MHD_Result
answer_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
               const char *version, const char *upload, size_t *upload_size, void **request)
{
    struct http_server *server = context;
    struct answer answer;
    (void)version, (void)upload, (void)upload_size, (void)request;
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        pthread_mutex_lock(&server->mutex);
        snapshot_copy(&server->served, &server->published);
        pthread_mutex_unlock(&server->mutex);
        int64_t now_us = clock_monotonic_us();
        snapshot_age(&server->served, now_us);
        answer = route(&server->served, url, now_us);
    } else {
        answer = make_answer(MHD_HTTP_METHOD_NOT_ALLOWED, text_type, must_strdup("only GET and HEAD\n"));
    }
    return send_answer(connection, &answer);
}

/* Paths are compared as they were sent: none of ours needs an escape, and a decoded %00 would end the text early. */
static size_t
leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context, (void)connection;
    return strlen(text);
}

static enum MHD_Result
admit(void *context, const struct sockaddr *address, socklen_t size)
{
    struct http_server *server = context;
    (void)address, (void)size;
    return connections_admit(&server->connections, clock_monotonic_us()) ? MHD_YES : MHD_NO;
}

static void
note_connection(void *context, struct MHD_Connection *connection, void **unused,
                enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = context;
    (void)unused;
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        connections_opened(&server->connections, fd, clock_monotonic_us());
    else
        connections_closed(&server->connections, fd);
}

/* ---- what the relay calls
 * --------------------------------------------------------------------------------------- */

bool
http_server_start(struct http_server **result, const char *listen, struct error *error)
{
    int fd;
    uint16_t port;
    if (!listen_open(listen, &fd, &port, error))
        return false;
    struct http_server *server = must_calloc(1, sizeof *server);
    server->port = port;
    connections_init(&server->connections);
    CHECK(pthread_mutex_init(&server->mutex, NULL) == 0);
    const struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_SLOTS, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_SECONDS, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CLIENT_MEMORY, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)note_connection, server},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    server->daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD, 0, admit, server, answer_request, server,
                                      MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (server->daemon == NULL) {
        http_server_stop(server);
        return error_set(error, ERROR_UNUSABLE, "cannot serve HTTP on %s: no thread or memory for it",
                         listen);
    }
    log_info("serving HTTP", LOG_STR("listen", listen), LOG_INT("port", port), LOG_END);
    *result = server;
    return true;
}

uint16_t
http_server_port(const struct http_server *server)
{
    return server->port;
}

void
http_server_publish(struct http_server *server, const struct snapshot *snapshot)
{
    pthread_mutex_lock(&server->mutex);
    snapshot_copy(&server->published, snapshot);
    pthread_mutex_unlock(&server->mutex);
    connections_sweep(&server->connections, clock_monotonic_us());
}

void
http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    snapshot_clear(&server->published);
    snapshot_clear(&server->served);
    pthread_mutex_destroy(&server->mutex);
    pthread_mutex_destroy(&server->connections.mutex);
    free(server);
}
