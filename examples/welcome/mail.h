/* mail.h: the welcome mail as text, and which addresses may stand in it. Knows neither SMTP nor the database. */
#ifndef EXAMPLE_WELCOME_MAIL_H
#define EXAMPLE_WELCOME_MAIL_H

#include <stdbool.h>
#include <stdint.h>

struct mail {
    const char *from, *to; /* plain addresses */
    const char *source;    /* of the event that it is sent for, a name; with the id it makes the Message-ID */
    int64_t event_id;
};

/* Whether it is an address of the plain kind, user@host in printable ASCII without quotes, brackets and commas: nothing in it can
 * end a line of SMTP or of a header, or name a second recipient. */
bool mail_address_is_plain(const char *address);

/* A whole message with CRLF at the ends of its lines; NULL: no memory. Its Message-ID is the same however often the mail is sent, and
 * of no other event, so that a second copy is known for one. The caller frees it. */
char *mail_write(const struct mail *mail);

#endif
