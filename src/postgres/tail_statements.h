/* tail_statements.h: the text of the statements of tail.c and tail_pages.c. Private to them. Each is a short transaction of its
 * own: no snapshot is held between two of them, and none reads more than a window of ids. */
#ifndef OUTBOXD_POSTGRES_TAIL_STATEMENTS_H
#define OUTBOXD_POSTGRES_TAIL_STATEMENTS_H

#include "postgres/statements.h"

/* SQL is laid out by its own clauses. */
/* clang-format off */

/* $1 snapshot, $2 w and $3 lo_id of the edge up to which everything was shown; $4 where the log stood at an earlier edge. The
 * late transactions of the tick from that edge to this statement's snapshot, whether it has any event, and the edge that it
 * ends at; whether the log is on disk up to $4. */
#define SQL_TAIL_POLL                                                                                                  \
    "prepare outboxd_tail_poll(pg_snapshot, xid8, bigint, pg_lsn) as"                                                  \
    " with late as materialized (" SQL_LATE("$1", "$2", "(select pg_current_snapshot())") ")"                          \
    " select late.late, late.late_lo, late.late <> '{}' or (select e.id from outbox.event e where e.id > $3"           \
    "   and (e.xid >= $2) is true order by e.id limit 1) is not null, pg_current_snapshot()::text,"                    \
    " " SQL_UNASSIGNED ", " SQL_SEQUENCE ", pg_current_wal_insert_lsn(), $4 <= pg_current_wal_flush_lsn()"             \
    " from late;"

#define SQL_TAIL_HERE                                                                                                  \
    "select " SQL_HERE ", " SQL_SEQUENCE ", (extract(epoch from clock_timestamp()) * 1000000)::bigint"

/* A key, the earliest moment, and topics that are known not to be wanted. */
#define SQL_TAIL_WANTED(e, key, since, unwanted)                                                                       \
    "(" key " is null or " e ".key = " key ") and " e ".created_at >= " since " and " e ".topic <> all (" unwanted ")"

/* Events of a tick in a window of ids, without their bytes: $1 late, $2 after, $3 upto, $4 lo, $5 w, $6 cur, $7 key, $8 since,
 * $9 topics not wanted, $10 rows. The streams are those of a page (statements.h). */
#define SQL_TAIL_LOOK                                                                                                  \
    "prepare outboxd_tail_look(xid8[], bigint, bigint, bigint, xid8, pg_snapshot, bytea, timestamptz, text[], int) as" \
    " select id, topic, cost from ("                                                                                   \
    "(select e.id, e.topic, " SQL_COST " as cost from unnest($1) x cross join lateral (select * from outbox.event f"   \
    "  where f.xid = x and f.id > $2 and f.id <= $3 and " SQL_TAIL_WANTED("f", "$7", "$8", "$9")                       \
    "  order by f.id limit $10) e)"                                                                                    \
    " union all "                                                                                                      \
    "(select e.id, e.topic, " SQL_COST " from outbox.event e where e.id > greatest($2, $4) and e.id <= $3"             \
    "  and (e.xid >= $5) is true and pg_visible_in_snapshot(e.xid, $6) and " SQL_TAIL_WANTED("e", "$7", "$8", "$9")    \
    "  order by e.id limit $10)) s order by id limit $10;"

/* The same backwards, in the first tick: $1 after, $2 upto, $3 cur, $4 key, $5 since, $6 topics not wanted, $7 rows. */
#define SQL_TAIL_BACK                                                                                                  \
    "prepare outboxd_tail_back(bigint, bigint, pg_snapshot, bytea, timestamptz, text[], int) as"                       \
    " select e.id, e.topic from outbox.event e where e.id > $1 and e.id <= $2"                                         \
    " and pg_visible_in_snapshot(e.xid, $3) and " SQL_TAIL_WANTED("e", "$4", "$5", "$6")                               \
    " order by e.id desc limit $7;"

/* Events that were found, as row.h reads them: $1 their ids, in order; $2 how much of key and payload is wanted. Each id is
 * looked up in the index of every slot; where they stand close together, walking over them takes a third of that. */
#define SQL_TAIL_READ(name, condition)                                                                                 \
    "prepare " name "(bigint[], int) as"                                                                               \
    " select e.id, e.created_at, e.topic, substr(e.key, 1, $2) as key, substr(e.payload, 1, $2) as payload, e.headers,"\
    " null::boolean from outbox.event e where " condition " order by e.id;"
#define SQL_TAIL_READ_FAR SQL_TAIL_READ("outboxd_tail_far", "e.id = any ($1)")
#define SQL_TAIL_READ_CLOSE                                                                                            \
    SQL_TAIL_READ("outboxd_tail_close",                                                                                \
                  "e.id >= ($1)[1] and e.id <= ($1)[cardinality($1)] and (e.id = any ($1)) is true")

/* clang-format on */

#endif
