/* smtp.c: see smtp.h. libcurl speaks the protocol; the dialogue is watched for the one thing that its result does not tell: which
 * command the server answered, and in what words. */
#include "smtp.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CONNECT_S = 5 };

struct smtp {
    const char *url, *from;
    int timeout_s;
    CURL *curl; /* with the connection of the mail before; NULL after a failure */
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

/* libcurl says good-bye on a connection that it closes itself: neither QUIT nor its answer tells anything about the mail. */
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

/* Cuts the connection before libcurl would end it with QUIT: for the answer to that it waits two minutes, whatever the timeout is. */
static void
close_curl(struct smtp *smtp)
{
    curl_socket_t fd;
    if (smtp->curl == NULL)
        return;
    if (curl_easy_getinfo(smtp->curl, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
        shutdown(fd, SHUT_RDWR);
    curl_easy_cleanup(smtp->curl);
    smtp->curl = NULL;
}

static bool
open_curl(struct smtp *smtp)
{
    CURL *curl = smtp->curl = curl_easy_init();
    if (curl == NULL || curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps") != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_URL, smtp->url) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_MAIL_FROM, smtp->from) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL) != CURLE_OK) {
        close_curl(smtp);
        return false;
    }
    curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)CURLUSESSL_TRY); /* STARTTLS where it is offered */
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, smtp->error);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)smtp->timeout_s);
    curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* without it nothing is told to watch */
    curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, watch);
    curl_easy_setopt(curl, CURLOPT_DEBUGDATA, smtp);
    return true;
}

struct smtp *
smtp_open(const char *url, const char *from, int timeout_s)
{
    struct smtp *smtp = calloc(1, sizeof *smtp);
    if (smtp == NULL)
        return NULL;
    *smtp = (struct smtp){.url = url, .from = from, .timeout_s = timeout_s};
    if (open_curl(smtp))
        return smtp;
    smtp_close(smtp);
    return NULL;
}

/* Whatever was asked: 421, the server closes; 503 and 53x, it wants another dialogue, or a login, before it serves anybody. */
static bool
is_for_everybody(const char *reply)
{
    return strncmp(reply, "421", 3) == 0 || strncmp(reply, "503", 3) == 0 || strncmp(reply, "53", 2) == 0;
}

/* Only an answer about the recipient or the text is the mail's own. A last word of 354, "go ahead", says that the text went out and
 * nothing came back; it may be that not all of it went out, which is not to be seen from here. */
static enum smtp_result
judge(const struct smtp *smtp)
{
    bool text = strcmp(smtp->command, "DATA") == 0;
    if (text && *smtp->reply == '3')
        return SMTP_DOUBTFUL;
    if ((!text && strcmp(smtp->command, "RCPT") != 0) || is_for_everybody(smtp->reply))
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
    if (reader != NULL && recipients != NULL && (smtp->curl != NULL || open_curl(smtp))) {
        curl_easy_setopt(smtp->curl, CURLOPT_READDATA, reader);
        curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, recipients);
        code = curl_easy_perform(smtp->curl);
        curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, NULL);
    }
    curl_slist_free_all(recipients);
    if (reader != NULL)
        fclose(reader);
    if (code != CURLE_OK)
        close_curl(smtp); /* its late answers are not those to the next mail */
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
    close_curl(smtp);
    free(smtp);
}
