/* schema.h: installs and upgrades the outbox in a database: the SQL of schema/, embedded, as one transaction
 * that may be run again at any time. For `outboxd migrate`; blocks, so never call it from the relay. */
#ifndef OUTBOXD_POSTGRES_SCHEMA_H
#define OUTBOXD_POSTGRES_SCHEMA_H

#include "base/error.h"
#include "postgres/admin.h"

#include <stddef.h>
#include <stdint.h>

/* The version that this binary is made for: the number of the newest file in schema/. It works with a
 * database whose version is at least this one and whose readable_since is at most this one. */
#define SCHEMA_VERSION 14

/* One file of schema/; made by packaging/embed-sql.sh. */
struct schema_file {
    int number;               /* of a migration; 0: prepare, slots and grant, which run before and after */
    const char *name;         /* "001_outbox"; NULL ends the table */
    const char *const *lines; /* each with its newline; NULL ends them */
};
extern const struct schema_file schema_files[];

/* Who may do what: emit, publish, use the inbox. */
enum schema_duty { SCHEMA_WRITERS, SCHEMA_RELAYS, SCHEMA_CONSUMERS, SCHEMA_DUTIES };

struct schema_logins {
    const char *const *names;
    size_t count;
};

/* Role names as Postgres stores them, unquoted, UTF-8. */
struct schema_wish {
    const char *owner; /* NULL: who owns the schema, or outbox_owner for a new one */
    struct schema_logins logins[SCHEMA_DUTIES];
    bool create_roles;     /* false: make no role; the privileges go to the named roles themselves */
    int64_t slot_width_us; /* of the ring, while it is new; whole seconds. 0: as it is */
};

/* The whole SQL, from begin to commit, for PQexec or psql: it adapts itself to what it finds in the database,
 * so printing it needs no connection. The caller frees it. ERROR_USAGE for a name that cannot be the role
 * that it seems to be, and for a slot width that is none. */
MUST_CHECK bool schema_script(char **script, const struct schema_wish *wish, struct error *error);

/* Connects and runs the script. Whatever holds a lock that it needs, or migrates at the same time, is waited
 * for by trying again for a minute, with pauses that grow; no try queues for longer than 100 ms, so that writers never
 * wait behind it. Each one that failed is told to `waits`, with who is in the way; after the commit, what was done goes to
 * `listener`; both may be NULL. ERROR_USAGE: names or conninfo; ERROR_UNUSABLE, ERROR_RETRY: the server says why not, and
 * nothing was changed. */
MUST_CHECK bool schema_migrate(const char *conninfo, const struct schema_wish *wish, admin_listener *listener,
                               admin_listener *waits, void *context, struct error *error);

#endif
