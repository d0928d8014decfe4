/* complaints.h: everything found wrong with one configuration file, collected so that a person corrects all
 * of it in one go: printed in the order of the lines, as `file:line: key: what is wrong`. Values of secrets
 * never get in here. */
#ifndef OUTBOXD_CONFIG_COMPLAINTS_H
#define OUTBOXD_CONFIG_COMPLAINTS_H

#include "base/error.h"

#include <stdio.h>

struct complaint {
    int line; /* 0: the file as a whole */
    char *text;
};

struct complaints {
    const char *file; /* the path as given; not owned */
    struct complaint *list;
    size_t count, capacity;
    size_t mistakes; /* the rest are warnings */
    size_t unlisted; /* more than anybody reads: counted only */
};

/* A mistake: the configuration is refused. `key` is the dotted path ("poll.idle"), or NULL where there is
 * none. */
void complaints_add(struct complaints *complaints, int line, const char *key, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* A warning: printed, and the configuration is taken. */
void complaints_warn(struct complaints *complaints, int line, const char *key, const char *format, ...)
    PRINTF_LIKE(4, 5);

void complaints_print(struct complaints *complaints, FILE *to);
void complaints_free(struct complaints *complaints);

/* `text` in double quotes, at most 60 bytes of it, everything but printable ASCII as \xNN: a hostile value
 * can neither forge a line nor flood a terminal. Returns `quoted`. */
#define COMPLAINTS_QUOTED 256
const char *complaints_quote(const char *text, char quoted[COMPLAINTS_QUOTED]);

#endif
