/* dead.h: the dead letters of a relay (schema/005_aside.sql): those that wait, those that were discarded, what is held behind
 * them; and asking its leader to retry or to discard them. For the command `dead`; waits for each answer (oneshot.h). */
#ifndef OUTBOXD_POSTGRES_DEAD_H
#define OUTBOXD_POSTGRES_DEAD_H

#include "base/error.h"
#include "event/page.h"
#include "postgres/requests.h"
#include "postgres/session.h"

#include <stddef.h>
#include <stdint.h>

/* Of a key in a list: more than a line shows. */
#define DEAD_KEY_BYTES 512

struct dead_entry {
    int64_t id;
    char *topic, *key; /* the key's first DEAD_KEY_BYTES; NULL: none */
    size_t key_size;   /* of those */
    char *error;
    int64_t attempts;
    char *first_at, *last_at;  /* when it was refused first and last: UTC, ISO 8601 */
    int64_t first_us, last_us; /* so long ago */
    int64_t held;              /* events behind it */
    int64_t request;           /* number of the retry or discard that is under way; 0: none is */
    char *request_kind;        /* "" then */
    struct request_wait wait;  /* of that request */
};

/* Dead letters of some topics, behind which held events are counted: some tenths of a second. */
#define DEAD_HELD_COUNTED 100000

struct dead_list {
    struct dead_entry *list; /* in the order of the ids */
    size_t count;
    int64_t letters;   /* of all that were meant, also where the list ends before */
    int64_t held;      /* behind any of those; counted once behind two of them */
    bool held_exact;   /* false: there are at least so many, behind DEAD_HELD_COUNTED of them */
    int64_t oldest_us; /* the first refusal of any of them, so long ago */
};

/* Before the others, once a session. */
MUST_CHECK bool dead_prepare(struct session *session, struct error *error);

/* Those of topics that match the pattern (fnmatch(3); NULL: all), `limit` at most. To be freed in any case. */
MUST_CHECK bool dead_read_list(struct session *session, const char *relay, const char *pattern, int64_t limit,
                               struct dead_list *dead, struct error *error);
void dead_list_free(struct dead_list *dead);

/* Dead letters that are meant, and how many events are held behind any of them: at least so many, as in a list. */
struct dead_meant {
    int64_t *ids; /* in their order */
    size_t count;
    int64_t held;
};

/* As dead_read_list() finds them, all of them. To be freed in any case. */
MUST_CHECK bool dead_find_all(struct session *session, const char *relay, const char *pattern,
                              struct dead_meant *meant, struct error *error);
/* Of these ids those that are dead letters, and no other one is looked at. To be freed in any case. */
MUST_CHECK bool dead_find_ids(struct session *session, const char *relay, const int64_t *ids, size_t count,
                              struct dead_meant *meant, struct error *error);
void dead_meant_free(struct dead_meant *meant);

#define DEAD_HELD_SHOWN 10

/* One of them, whole. */
struct dead_letter {
    struct topic_table *topics;
    struct page *page; /* with one event */
    char *error, *message;
    int64_t attempts;
    int64_t tick;
    char *first_at, *last_at; /* last_at: NULL for a discarded one */
    int64_t first_us, last_us;
    bool holds;         /* later events of its topic and key wait */
    int64_t held;       /* so many do; the first ids of them: */
    char *held_first;   /* "[4, 2, 3]", DEAD_HELD_SHOWN at most */
    char *discarded_by; /* NULL: it waits; else who discarded it last */
    char *discarded_at, *reason;
};

/* ERROR_USAGE when there is no such dead letter, and no discarded one; it says behind which one it is held, if it is. To be freed
 * in any case. */
MUST_CHECK bool dead_read_letter(struct session *session, const char *relay, int64_t id,
                                 struct dead_letter *letter, struct error *error);
void dead_letter_free(struct dead_letter *letter);

/* Why an event is no dead letter that waits, as far as it is known. */
struct dead_absence {
    int64_t holder;     /* the dead letter behind which it is held; 0: it is not */
    char *discarded_by; /* NULL: it was not discarded; the last time counts */
    char *discarded_at; /* UTC, ISO 8601 */
};

/* To be freed in any case. */
MUST_CHECK bool dead_read_absence(struct session *session, const char *relay, int64_t id,
                                  struct dead_absence *absence, struct error *error);
void dead_absence_free(struct dead_absence *absence);

/* Asks for a retry of each of the ids, or with a reason for a discard, in one transaction: numbers[i] is the request's, or 0: there is
 * no such dead letter, or one is under way. The number of the one under way is in `before` then, else 0; before_kinds says which,
 * 'r' or 'd'. All three have `count` elements. */
MUST_CHECK bool dead_ask(struct session *session, const char *relay, const int64_t *ids, size_t count,
                         const char *reason, int64_t *numbers, int64_t *before, char *before_kinds,
                         struct error *error);

#endif
