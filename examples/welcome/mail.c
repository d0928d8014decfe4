/* mail.c: see mail.h. */
#include "mail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ADDRESS_MAX = 254 /* RFC 5321, 4.5.3.1.3 */ };

bool
mail_address_is_plain(const char *address)
{
    const char *at = strchr(address, '@');
    if (at == NULL || at == address || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
        strlen(address) > ADDRESS_MAX)
        return false;
    for (const char *c = address; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("()<>[]:;,\\\"", *c) != NULL)
            return false;
    return true;
}

static void
print_date(FILE *to)
{
    char date[64];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    fprintf(to, "Date: %s\r\n", date);
}

char *
mail_write(const struct mail *mail)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (to == NULL)
        return NULL;
    fprintf(to, "From: <%s>\r\nTo: <%s>\r\nSubject: Welcome\r\n", mail->from, mail->to);
    print_date(to);
    fprintf(to, "Message-ID: <welcome.%s.%" PRId64 "%s>\r\n", mail->source, mail->event_id,
            strchr(mail->from, '@'));
    fputs("Auto-Submitted: auto-generated\r\n"
          "MIME-Version: 1.0\r\n"
          "Content-Type: text/plain; charset=us-ascii\r\n"
          "\r\n"
          "Welcome! Your account is ready.\r\n",
          to);
    bool good = !ferror(to);
    if (fclose(to) == 0 && good)
        return text;
    free(text);
    return NULL;
}
