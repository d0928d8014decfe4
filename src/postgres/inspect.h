/* inspect.h: everything about a live database that decides whether a relay can work on it, for `outboxd
 * check` and for the start of `run`: two statements without parameters, which the caller sends as it likes
 * (the relay must not block), and a pure judgement of what they answered. Privileges are judged as
 * privileges; what a role is called means nothing. */
#ifndef OUTBOXD_POSTGRES_INSPECT_H
#define OUTBOXD_POSTGRES_INSPECT_H

#include "base/error.h"
#include "base/findings.h"
#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>

struct pg_result;

/* Reads catalogs only: works in every database, for every role. */
extern const char inspect_catalog_sql[];

/* Reads the outbox itself; send it only when inspect_wants_outbox() says so. Looks at the newest 10,000
 * events for their topics: some 10 ms. */
extern const char inspect_outbox_sql[];

struct inspect_names {
    char **list;
    size_t count;
};

struct inspect_relay {
    char *name, *source;
    struct inspect_names topics; /* shell patterns */
    bool retired;
    bool has_journal;    /* false: its journal is gone, and the next two mean nothing */
    bool set_back;       /* the id sequence is behind what the journal has seen */
    int64_t sysid, dbid; /* of its newest row */
};

struct inspect_facts {
    /* inspect_catalog_sql */
    int server_version; /* 150004 */
    bool standby;
    int64_t sysid, dbid;
    int timeline; /* 0 on a standby */
    int backend_pid;
    char *database, *user;
    bool has_schema; /* there is an outbox.schema_version */
    bool owns;       /* `user` could alter the outbox: owner, member of the owner, or superuser */
    struct inspect_names
        missing; /* privileges that a relay needs and `user` lacks: "SELECT on table event" */
    struct inspect_names
        foreign; /* privileges of others than owner, writers and relays: "bob: SELECT on table .." */
    struct inspect_names publications; /* that carry the outbox's tables to other databases */
    int64_t sequence_cache;            /* 0: there is no outbox.event_id_seq */
    bool sequence_cycles;
    char identity;  /* of outbox.event.id: 'a' always, 'd' by default, '-' none */
    bool xid_first; /* xid is the first column and its default the transaction's own id */

    /* inspect_outbox_sql */
    bool has_outbox; /* it was read */
    int version, readable_since, slots;
    int64_t slot_width_us;
    struct inspect_relay *relays;
    size_t relay_count;
    struct inspect_names topics; /* of the newest events */
};

/* Fill the facts from the two answers (in text format); ERROR_INTERNAL when a result is not of this shape.
 * Call the first on facts that are zero. */
MUST_CHECK bool inspect_read_catalog(struct inspect_facts *facts, const struct pg_result *result,
                                     struct error *error);
MUST_CHECK bool inspect_read_outbox(struct inspect_facts *facts, const struct pg_result *result,
                                    struct error *error);

/* True when the schema is there and its tables may be read. */
bool inspect_wants_outbox(const struct inspect_facts *facts);

/* Of facts that are read: true when the outbox was; else ERROR_UNUSABLE: there is none, or the role may not read it. */
MUST_CHECK bool inspect_require_outbox(const struct inspect_facts *facts, struct error *error);

void inspect_facts_free(struct inspect_facts *facts);

/* Appends what is right, doubtful and wrong, each with its cure. ERROR_CONFIG for what the configuration file
 * can mend, else ERROR_UNUSABLE. Pure. */
void inspect_judge(const struct inspect_facts *facts, const struct settings *settings,
                   struct findings *findings);

#endif
