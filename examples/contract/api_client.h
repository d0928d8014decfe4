/* api_client.h: GET from the other company's API, by libcurl: with a deadline, a bound on what is read, few attempts with a
 * growing pause, and an ear for "too often". Knows HTTP and nothing of contracts. One client belongs to one thread. */
#ifndef EXAMPLE_CONTRACT_API_CLIENT_H
#define EXAMPLE_CONTRACT_API_CLIENT_H

#include "outcome.h"

#include <stddef.h>

struct api;

struct api_options {
    const char *url;        /* "https://api.example.com/v1"; paths are appended */
    int request_timeout_ms; /* of one request, the connection included */
    int attempts;           /* of one request in all, 1 or more */
};

enum { API_ETAG_MAX = 200 };

struct api_answer {
    bool not_modified; /* 304: what is known is still right; there is no body */
    char *body;        /* freed by api_answer_clear */
    size_t size;
    char etag[API_ETAG_MAX + 1]; /* printable ASCII; "": none, or one that is longer or not of that */
};

/* NULL, with the reason in `result`, when the URL is not one of http or https. */
struct api *api_open(const struct api_options *options, struct result *result);
void api_close(struct api *api);

/* How long nothing at all may be asked: after a limit, after a Retry-After, and after credentials were refused; 0: ask. */
int64_t api_closed_ms(const struct api *api);

/* Blocks until `deadline_ms` (stop_clock_ms) at most, pauses included; SIGTERM ends it within a second. `etag` is what is known,
 * "" for nothing. True for 200, and for 304 when there was an etag; else false with the outcome. Clear the answer after both. */
bool api_get(struct api *api, const char *path, const char *etag, int64_t deadline_ms,
             struct api_answer *answer, struct result *result);

void api_answer_clear(struct api_answer *answer);

#endif
