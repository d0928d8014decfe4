/* registry.h: what the relay tells the database beside the journal: that it exists, what it is stuck at, and when the ring
 * may be swept. All through SECURITY DEFINER functions of the schema. Ask and read, like journal.h. */
#ifndef OUTBOXD_POSTGRES_REGISTRY_H
#define OUTBOXD_POSTGRES_REGISTRY_H

#include "base/error.h"
#include "postgres/session.h"

/* Registers the first relay of an empty registry, or brings a known one up to date; *registered is false, and nothing is
 * changed, when the registry has other names only, or this one with another source. Waits for locks as long as any statement
 * only when it is the `first` one; else, and in all the others, ERROR_RETRY comes after a moment. */
void registry_ask_register(struct session *session, const struct settings *settings, bool first,
                           int64_t now_us);
MUST_CHECK bool registry_read_register(struct session *session, bool *registered, struct error *error);

/* `trouble` is a JSON object as text, or NULL: nothing any more. */
void registry_ask_trouble(struct session *session, const char *relay, const char *trouble, int64_t now_us);
MUST_CHECK bool registry_read_trouble(struct session *session, struct error *error);

/* Empties one slot of the ring if it may be: `outcome` says "emptied" or why not. Never waits for a lock. */
void registry_ask_empty(struct session *session, int slot, int64_t now_us);
MUST_CHECK bool registry_read_empty(struct session *session, char *outcome, size_t size, struct error *error);

/* Moves the id sequence to `id` at least, never back; *sequence is its value then. ERROR_INTERNAL: it is too far away. */
void registry_ask_pass(struct session *session, int64_t id, int64_t now_us);
MUST_CHECK bool registry_read_pass(struct session *session, int64_t *sequence, struct error *error);

/* Deletes journal rows from the old end; *low is the low-water mark, given and taken. */
void registry_ask_trim(struct session *session, const char *relay, int64_t low, int64_t now_us);
MUST_CHECK bool registry_read_trim(struct session *session, int64_t *low, struct error *error);

#endif
