/* relay_http.c: what a running relay says over HTTP: health and metrics (relay.h), read with libcurl. */
#include "support/relay.h"

#include "base/error.h"
#include "support/relay_daemon.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 2000

struct body {
    char *text;
    size_t size;
};

static size_t
body_append(char *data, size_t one, size_t size, void *context)
{
    struct body *body = context;
    body->text = must_realloc(body->text, body->size + size * one + 1, 1);
    memcpy(body->text + body->size, data, size * one);
    body->size += size * one;
    body->text[body->size] = '\0';
    return size * one;
}

int
daemon_http(const struct daemon *daemon, const char *path, char **body)
{
    struct body got = {.text = must_calloc(1, 1)};
    long status = 0;
    char *url = must_format("http://%s%s", daemon->address, path);
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        test_fail("curl_easy_init failed");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(ANSWER_MS * wait_patience()));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &got);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    free(url);
    if (body != NULL)
        *body = got.text;
    else
        free(got.text);
    return (int)status;
}

bool
daemon_readiness_is(const struct daemon *daemon, int status, const char *text)
{
    char *body = NULL;
    bool is = daemon_http(daemon, "/health/ready", &body) == status && strstr(body, text) != NULL;
    free(body);
    return is;
}

double
daemon_metric(const struct daemon *daemon, const char *sample)
{
    char *body;
    double value = NAN;
    size_t size = strlen(sample);
    if (daemon_http(daemon, "/metrics", &body) == 200)
        for (const char *line = body; line != NULL && isnan(value); line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, sample, size) == 0 && line[size] == ' ')
                value = strtod(line + size + 1, NULL);
        }
    free(body);
    return value;
}
