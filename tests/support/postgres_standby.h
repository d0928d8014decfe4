/* postgres_standby.h: private servers that have the history of another one, or a part of it: streaming standbys and what becomes of
 * them, and base backups that are recovered to a moment of the past. All have the other one's system identifier. */
#ifndef OUTBOXD_TESTS_SUPPORT_POSTGRES_STANDBY_H
#define OUTBOXD_TESTS_SUPPORT_POSTGRES_STANDBY_H

#include "support/postgres.h"

/* A streaming standby (pg_basebackup) of `primary`, up and connected; `name` is its application_name. Asynchronous. */
struct postgres *postgres_start_standby(struct postgres *primary, const char *name);

/* What is left of a primary that was lost becomes a standby of its successor, anew: same port, its data are gone. */
void postgres_rebuild_standby(struct postgres *lost, struct postgres *primary, const char *name);

/* From now on commits of `primary` wait for the standby of this name, which is connected and has all that was committed until
 * this returns. */
void postgres_wait_for_standby(struct postgres *primary, const char *name);

/* Returns when it takes writes, on a timeline of its own. */
void postgres_promote(struct postgres *standby);

/* A primary is stopped, cleanly, and comes back as a standby of nobody, until it is promoted. */
void postgres_demote(struct postgres *primary);

/* For a client of both, as libpq's manual has it: whichever takes writes, in this order. Lives as long as `first`. */
const char *postgres_conninfo_of_both(struct postgres *first, struct postgres *second, const char *database,
                                      const char *user);

/* Settings of a server whose log is archived beside its data, for postgres_recover. */
extern const char postgres_archiving[];

/* A base backup of such a server, which is down: the caller recovers it, or only frees it. */
struct postgres *postgres_back_up(struct postgres *from);

/* Ends the segment of the log that `from` writes; returns when everything up to here is in its archive. */
void postgres_archive_all(struct postgres *from);

/* Starts the backup and plays the log that `from` has archived, up to its restore point of this name (pg_create_restore_point). Then it
 * takes writes, on a timeline of its own. */
void postgres_recover(struct postgres *backup, const struct postgres *from, const char *restore_point);

#endif
