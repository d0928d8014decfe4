/* smtp.c: see smtp.h. libcurl speaks the protocol; the dialogue is watched for the one thing that its result does not tell: which
 * command the server answered, and in what words. */
#include "smtp.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_S = 5 };

struct smtp {
    CURL *curl;
    char error[CURL_ERROR_SIZE];
    char command[5]; /* the latest that was sent, but QUIT: "RCPT" */
    bool leaving;    /* QUIT was sent after it */
    char reply[200]; /* its answer's last line: "550 5.1.1 nobody here"; "" when there is none */
};

/* A server may say anything, and not everything can be stored or shown: what is not printable ASCII becomes '?'. */
static void
keep_line(char *to, size_t size, const char *from, size_t length)
{
    size_t kept = 0;
    for (; kept < length && kept < size - 1 && from[kept] != '\r' && from[kept] != '\n'; kept++)
        to[kept] = from[kept] >= ' ' && from[kept] < 0x7f ? from[kept] : '?';
    to[kept] = '\0';
}

/* libcurl says good-bye on the connection that failed, and on an old one before it makes a new one: neither QUIT nor its answer tells
 * anything about the mail. */
static int
watch(CURL *curl, curl_infotype type, char *data, size_t size, void *context)
{
    struct smtp *smtp = context;
    (void)curl;
    if (type == CURLINFO_HEADER_OUT) {
        smtp->leaving = size >= 4 && strncmp(data, "QUIT", 4) == 0;
        if (!smtp->leaving) {
            keep_line(smtp->command, sizeof smtp->command, data, size);
            *smtp->reply = '\0';
        }
    } else if (type == CURLINFO_HEADER_IN && !smtp->leaving) {
        keep_line(smtp->reply, sizeof smtp->reply, data, size);
    }
    return 0;
}

struct smtp *
smtp_open(const char *url, const char *from, int timeout_s)
{
    struct smtp *smtp = calloc(1, sizeof *smtp);
    CURL *curl = curl_easy_init();
    if (smtp != NULL && curl != NULL &&
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from) == CURLE_OK &&
        curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL) == CURLE_OK) {
        smtp->curl = curl;
        curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)CURLUSESSL_TRY); /* STARTTLS where it is offered */
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, smtp->error);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)timeout_s);
        curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* without it nothing is told to watch */
        curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, watch);
        curl_easy_setopt(curl, CURLOPT_DEBUGDATA, smtp);
        return smtp;
    }
    curl_easy_cleanup(curl);
    free(smtp);
    return NULL;
}

/* Only an answer about the recipient or the text is the mail's own. 421 says that the server closes, whatever was asked. */
static enum smtp_result
judge(const struct smtp *smtp)
{
    bool own = strcmp(smtp->command, "RCPT") == 0 || strcmp(smtp->command, "DATA") == 0;
    if (!own || strncmp(smtp->reply, "421", 3) == 0)
        return SMTP_UNREACHABLE;
    return *smtp->reply == '5' ? SMTP_REFUSED : *smtp->reply == '4' ? SMTP_DEFERRED : SMTP_UNREACHABLE;
}

enum smtp_result
smtp_send(struct smtp *smtp, const char *to, const char *text, char answer[256])
{
    FILE *reader = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    *smtp->command = *smtp->reply = *smtp->error = '\0';
    smtp->leaving = false;
    if (reader != NULL && recipients != NULL) {
        curl_easy_setopt(smtp->curl, CURLOPT_READDATA, reader);
        curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, recipients);
        code = curl_easy_perform(smtp->curl);
        curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, NULL);
    }
    curl_slist_free_all(recipients);
    if (reader != NULL)
        fclose(reader);
    enum smtp_result result = code == CURLE_OK ? SMTP_SENT : judge(smtp);
    bool spoken = *smtp->reply == '4' || *smtp->reply == '5';
    snprintf(answer, 256, "%s",
             code == CURLE_OK || spoken ? smtp->reply
             : *smtp->error != '\0'     ? smtp->error
                                        : curl_easy_strerror(code));
    return result;
}

void
smtp_close(struct smtp *smtp)
{
    curl_easy_cleanup(smtp->curl);
    free(smtp);
}
