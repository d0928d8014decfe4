/* mail_server.h: a real SMTP server for tests, a process of its own (examples/welcome/smtp_server.py), in whatever mood the test
 * wants. Ends the test instead of returning errors. */
#ifndef OUTBOXD_TESTS_EXAMPLES_MAIL_SERVER_H
#define OUTBOXD_TESTS_EXAMPLES_MAIL_SERVER_H

#include "base/error.h"

#include <stddef.h>

struct mail_server;

/* Up, and in the mode "accept". */
struct mail_server *mail_server_start(void);
void mail_server_free(struct mail_server *server); /* kills it; NULL is allowed */

void mail_server_kill(struct mail_server *server);
void mail_server_up(struct mail_server *server); /* again, on the same port; returns when it answers */

/* The modes are in the head of smtp_server.py. */
void mail_server_set(struct mail_server *server, const char *format, ...) PRINTF_LIKE(2, 3);

const char *mail_server_url(const struct mail_server *server);

/* What it has received so far. */
int mail_server_count(const struct mail_server *server);

/* In the order in which they came. The caller frees them. */
struct received_mail {
    char *recipient; /* of the envelope */
    char *text;      /* headers and body */
    char *message_id;
};
struct received_mails {
    struct received_mail *list;
    size_t count;
};
struct received_mails mail_server_read(const struct mail_server *server);
void received_mails_free(struct received_mails *mails);

#endif
