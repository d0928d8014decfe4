/* api_client.c: see api_client.h.
 *
 *     200, 304                        the answer
 *     404, 410                        not_found
 *     420, 429                        rate_limited, after further attempts; closes the whole client
 *     401, 403, 407                   unauthorized; closes the whole client
 *     5xx, 408, no answer, half of it timeout, after further attempts; a Retry-After is respected here, too
 *     anything else, too much of it   bad_data: redirects are not followed, for nobody has said that they may lead anywhere
 *
 * Closed: until the time of Retry-After; without one for a second, then two, four, up to five minutes, until an answer is better. */
#include "api_client.h"

#include "stop.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    BODY_MAX = 4 * 1024 * 1024,       /* a page of a thousand items has a tenth of that */
    CONNECT_TIMEOUT_MS = 3000,        /* a handshake takes three ways across the world, a second at most */
    PAUSE_FIRST_MS = 200,             /* longer than most hiccups */
    PAUSE_LAST_MS = 5000,             /* further attempts are the job's */
    CLOSED_FIRST_MS = 1000,           /* limits are mostly counted by the second or by the minute */
    CLOSED_LAST_MS = 5 * 60 * 1000,   /* when it has been mended by a person, it is noticed soon */
    RETRY_AFTER_MAX_MS = 3600 * 1000, /* who asks for a week has made a mistake, or his clock has */
    URL_MAX = 2000,
};

#define NOT_LET_IN "the API does not let us in: no contract is at fault, see the credentials in --api"

struct api {
    CURL *curl;
    struct api_options options;
    char url[URL_MAX];
    int64_t open_at_ms;     /* not a request before: limits and credentials are the client's */
    enum outcome closed_by; /* the outcome of a request before that */
    int refusals;           /* one after the other, without a better answer in between */
};

struct body {
    struct api_answer *answer;
    bool too_large;
};

/* ---- open and close ---- */

static bool
url_is_http(const char *text)
{
    char *scheme = NULL;
    CURLU *url = curl_url();
    bool is = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(url);
    return is;
}

struct api *
api_open(const struct api_options *options, struct result *result)
{
    size_t size = strlen(options->url);
    while (size > 0 && options->url[size - 1] == '/')
        size--;
    if (size >= URL_MAX || !url_is_http(options->url)) {
        result_fail(result, OUTCOME_BAD_DATA, "the API's address must be a URL of http or https");
        return NULL;
    }
    struct api *api = calloc(1, sizeof *api);
    if (api != NULL && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        api->curl = curl_easy_init();
    if (api == NULL || api->curl == NULL) {
        result_fail(result, OUTCOME_TIMEOUT, "libcurl does not start");
        free(api);
        return NULL;
    }
    api->options = *options;
    memcpy(api->url, options->url, size);
    return api;
}

void
api_close(struct api *api)
{
    if (api == NULL)
        return;
    curl_easy_cleanup(api->curl);
    curl_global_cleanup();
    free(api);
}

int64_t
api_closed_ms(const struct api *api)
{
    int64_t left = api->open_at_ms - stop_clock_ms();
    return left > 0 ? left : 0;
}

void
api_answer_clear(struct api_answer *answer)
{
    free(answer->body);
    memset(answer, 0, sizeof *answer);
}

/* ---- one request ---- */

static size_t
body_append(char *data, size_t one, size_t count, void *context)
{
    struct body *body = context;
    struct api_answer *answer = body->answer;
    size_t size = one * count;
    body->too_large = size > BODY_MAX - answer->size;
    char *grown = body->too_large ? NULL : realloc(answer->body, answer->size + size + 1);
    if (grown == NULL)
        return 0; /* curl gives up */
    memcpy(grown + answer->size, data, size);
    answer->body = grown;
    answer->size += size;
    grown[answer->size] = '\0';
    return size;
}

static int
end_when_stopped(void *context, curl_off_t down, curl_off_t downloaded, curl_off_t up, curl_off_t uploaded)
{
    (void)context, (void)down, (void)downloaded, (void)up, (void)uploaded;
    return stop_within(0);
}

static void
set_options(CURL *curl, const char *url, struct curl_slist *headers, long timeout_ms, struct body *body)
{
    curl_easy_reset(curl); /* the connection stays */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "contract/1");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, (long)BODY_MAX);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, end_when_stopped);
}

static CURLcode
send_request(struct api *api, const char *path, const char *etag, int64_t timeout_ms, struct body *body)
{
    char url[URL_MAX + 200], known[API_ETAG_MAX + 32];
    snprintf(url, sizeof url, "%s%s", api->url, path);
    snprintf(known, sizeof known, "If-None-Match: %s", etag);
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    struct curl_slist *more = headers != NULL && *etag != '\0' ? curl_slist_append(headers, known) : headers;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (more != NULL) {
        set_options(api->curl, url, headers, (long)timeout_ms, body);
        code = curl_easy_perform(api->curl);
    }
    curl_slist_free_all(headers);
    return code;
}

/* What the API asks for, in seconds or as a date: curl reads both. 0: it did not, or the date has passed. */
static int64_t
read_retry_after_ms(CURL *curl)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    return seconds < RETRY_AFTER_MAX_MS / 1000 ? seconds * 1000 : RETRY_AFTER_MAX_MS;
}

/* Of another byte nobody knows what a server, or a text column, makes of it; without an ETag, all is asked for. */
static bool
etag_is_plain(const char *etag)
{
    size_t size = 0;
    while (etag[size] >= ' ' && etag[size] <= '~')
        size++;
    return etag[size] == '\0' && size <= API_ETAG_MAX;
}

static void
read_etag(CURL *curl, struct api_answer *answer)
{
    struct curl_header *header;
    if (curl_easy_header(curl, "ETag", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        etag_is_plain(header->value))
        snprintf(answer->etag, sizeof answer->etag, "%s", header->value);
}

/* Doubles with each attempt, from `first` to `last`; half of it is random, so that many workers do not come back in step. */
static int64_t
pause_after(int attempt, int64_t first, int64_t last)
{
    int64_t pause = first;
    for (int i = 1; i < attempt && pause < last; i++)
        pause *= 2;
    pause = pause < last ? pause : last;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint32_t)stop_clock_ms();
    return pause / 2 + random % (pause / 2 + 1);
}

/* Not this request was refused, but who sent it; `result` says how. */
static bool
close_client(struct api *api, struct result *result)
{
    int64_t closed_ms = read_retry_after_ms(api->curl);
    api->refusals++;
    if (closed_ms == 0)
        closed_ms = pause_after(api->refusals, CLOSED_FIRST_MS, CLOSED_LAST_MS);
    api->open_at_ms = stop_clock_ms() + closed_ms;
    api->closed_by = result->outcome == OUTCOME_UNAUTHORIZED ? OUTCOME_UNAUTHORIZED : OUTCOME_RATE_LIMITED;
    result->retry_after_ms = closed_ms;
    return false;
}

/* *again: another attempt may go better. */
static bool
judge_failure(struct api *api, const char *path, long status, bool *again, struct result *result)
{
    if (status == 401 || status == 403 || status == 407) {
        result_fail(result, OUTCOME_UNAUTHORIZED, "%s: HTTP %ld: %s", path, status, NOT_LET_IN);
        return close_client(api, result);
    }
    *again = status == 420 || status == 429 || status == 408 || status >= 500;
    if (status == 420 || status == 429) {
        result_fail(result, OUTCOME_RATE_LIMITED, "%s: HTTP %ld", path, status);
        return close_client(api, result);
    }
    if (!*again)
        return result_fail(result, OUTCOME_BAD_DATA, "%s: HTTP %ld is no answer to this", path, status);
    result_fail(result, OUTCOME_TIMEOUT, "%s: HTTP %ld", path, status);
    return read_retry_after_ms(api->curl) > 0 && close_client(api, result);
}

static bool
judge_status(struct api *api, const char *path, bool conditional, struct api_answer *answer, bool *again,
             struct result *result)
{
    long status = 0;
    curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &status);
    answer->not_modified = status == 304;
    read_etag(api->curl, answer);
    bool good = status == 200 || (status == 304 && conditional), absent = status == 404 || status == 410;
    if (good || absent)
        api->refusals = 0;
    if (absent)
        return result_fail(result, OUTCOME_NOT_FOUND, "%s: HTTP %ld", path, status);
    return good || judge_failure(api, path, status, again, result);
}

static bool
request(struct api *api, const char *path, const char *etag, int64_t deadline_ms, struct api_answer *answer,
        bool *again, struct result *result)
{
    int64_t left = deadline_ms - stop_clock_ms();
    *again = false;
    if (left <= 0)
        return result_fail(result, OUTCOME_TIMEOUT, "%s: the time for this contract is over", path);
    int64_t timeout_ms = left < api->options.request_timeout_ms ? left : api->options.request_timeout_ms;
    struct body body = {.answer = answer};
    CURLcode code = send_request(api, path, etag, timeout_ms, &body);
    if (code == CURLE_OK)
        return judge_status(api, path, *etag != '\0', answer, again, result);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return result_fail(result, OUTCOME_STOPPED, "%s: stopped", path);
    if (body.too_large || code == CURLE_FILESIZE_EXCEEDED)
        return result_fail(result, OUTCOME_BAD_DATA, "%s: the answer has more than %d bytes", path, BODY_MAX);
    *again = true;
    return result_fail(result, OUTCOME_TIMEOUT, "%s: %s", path, curl_easy_strerror(code));
}

/* ---- again ---- */

/* False: there is no time for another attempt, and `result` says why one is needed. */
static bool
wait_before(struct api *api, int64_t pause_ms, int64_t deadline_ms, struct result *result)
{
    int64_t closed = api_closed_ms(api), wait = closed > pause_ms ? closed : pause_ms;
    if (wait > 0 && wait >= deadline_ms - stop_clock_ms())
        return false;
    return !stop_within(wait) || result_fail(result, OUTCOME_STOPPED, "stopped");
}

bool
api_get(struct api *api, const char *path, const char *etag, int64_t deadline_ms, struct api_answer *answer,
        struct result *result)
{
    memset(answer, 0, sizeof *answer);
    result_fail(result, api->closed_by, "%s: %s", path,
                api->closed_by == OUTCOME_UNAUTHORIZED ? NOT_LET_IN : "the API has asked to be left alone");
    result->retry_after_ms = api_closed_ms(api);
    if (!etag_is_plain(etag))
        etag = "";
    int64_t pause_ms = 0;
    for (int attempt = 1;; attempt++) {
        if (!wait_before(api, pause_ms, deadline_ms, result))
            return false;
        bool again;
        api_answer_clear(answer);
        if (request(api, path, etag, deadline_ms, answer, &again, result)) {
            memset(result, 0, sizeof *result); /* what an earlier attempt said */
            return true;
        }
        if (!again || attempt >= api->options.attempts)
            return false;
        pause_ms = pause_after(attempt, PAUSE_FIRST_MS, PAUSE_LAST_MS);
    }
}
