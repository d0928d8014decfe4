/* smtp.h: hands one mail to one mail server, by libcurl, and says what its answer means. Knows nothing of events. */
#ifndef EXAMPLE_WELCOME_SMTP_H
#define EXAMPLE_WELCOME_SMTP_H

struct smtp;

enum smtp_result {
    SMTP_SENT,     /* the server has it, and answers for it from now on */
    SMTP_REFUSED,  /* 5xx to this recipient or this text: it would say the same tomorrow */
    SMTP_DEFERRED, /* 4xx to this recipient or this text: later, perhaps */
    SMTP_DOUBTFUL, /* the text was handed over, and no answer came: the server has it, or has it not */
    SMTP_UNREACHABLE, /* nobody there, too slow, or no service for anybody: not this mail's fault, and it is not out */
};

/* A server by its URL, smtp://host:port, or smtps://; a login is looked for in ~/.netrc. `url` and `from` are kept, not copied. A mail may take
 * `timeout_s` in all. NULL: no memory. Connects to nothing yet. */
struct smtp *smtp_open(const char *url, const char *from, int timeout_s);

/* Blocks, timeout_s at most. `to` is a plain address (mail.h), `text` a whole message. `answer` receives what the server said, or why
 * nobody did: one line, which may hold the address. */
enum smtp_result smtp_send(struct smtp *smtp, const char *to, const char *text, char answer[256]);

void smtp_close(struct smtp *smtp);

#endif
