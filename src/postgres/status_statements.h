/* status_statements.h: the text of the statements of status.c. Private to it. All of them read through indexes and stop at a
 * limit, so that they take well under a second on tens of millions of rows; what may take longer is a statement of its
 * own. */
#ifndef OUTBOXD_POSTGRES_STATUS_STATEMENTS_H
#define OUTBOXD_POSTGRES_STATUS_STATEMENTS_H

#include "postgres/moments.h"
#include "postgres/session.h"
#include "postgres/statements.h"

/* SQL is laid out by hand. */
/* clang-format off */

/* The id up to which row n of relay r has confirmed: every event of the ticks up to confirmed_seq has an id at or below the
 * hi_id of that row; confirmed_id is of the tick after them. */
#define SQL_REACHED(n)                                                                                       \
    "greatest((select j.hi_id from outbox.journal j where j.relay = r.name and j.seq = " n ".confirmed_seq),"\
    " " n ".confirmed_id)"

/* A trouble may say itself since when it is one (an outage: its reasons change, it does not). Row n is the newest of each relay, row o the last one that is older than a minute (a young journal's first one): between
 * them lies the rate. The way back is bounded; a busy relay appends some thousand rows a minute. */
static const char sql_relays[] =
    "select r.name, r.source, " SQL_MICROSECONDS("r.retention") ","
    " r.trouble, " SQL_AGE("coalesce((r.trouble->>'since')::timestamptz, r.trouble_at)") ","
    " n.seq, n.epoch, n.holder, n.released, " SQL_AGE("n.written_at") ","
    " n.confirmed_seq, coalesce(n.confirmed_id, 0),"
    " (n.sysid, n.dbid) is distinct from (h.sysid, h.dbid),"
    " " SQL_REACHED("n") " - " SQL_REACHED("o") ", " SQL_AGE("o.written_at") ","
    " greatest(0, " SQL_SEQUENCE " - " SQL_REACHED("n") ")"
    " from outbox.relay r"
    " cross join (select " SQL_HERE ") h(sysid, timeline, dbid)"
    " left join lateral (select * from outbox.journal j"
    "   where j.relay = r.name order by j.seq desc limit 1) n on true"
    " left join lateral ("
    "   (select * from (select * from outbox.journal j where j.relay = r.name order by j.seq desc limit 200000) j"
    "     where j.written_at < clock_timestamp() - interval '1 minute' order by j.seq desc limit 1)"
    "   union all (select * from outbox.journal j where j.relay = r.name order by j.seq limit 1) limit 1) o on true"
    " where r.retired_at is null order by r.created_at, r.name limit 1000";

static const char sql_aside[] =
    "select r.name, r.paused,"
    " (select count(*) from outbox.dead_letter l where l.relay = r.name),"
    " (select count(*) from outbox.held_event h where h.relay = r.name),"
    " (select " SQL_AGE("min(l.first_at)") " from outbox.dead_letter l where l.relay = r.name),"
    " (select count(*) from outbox.request q where q.relay = r.name and q.done_at is null"
    "  and not exists (select from outbox.cancelled c where c.relay = q.relay and c.number = q.number))"
    " from outbox.relay r where r.retired_at is null order by r.created_at, r.name limit 1000";

/* A session of a relay's name whose role may work as a relay: not everybody who calls himself so. An address or a time that is
 * not to be seen by this role is null; the address of a local socket is null, too. */
static const char sql_processes[] =
    "select r.name, a.pid, split_part(a.application_name, ' ', 3),"
    " case when a.backend_start is not null then coalesce(host(a.client_addr), '') end,"
    " coalesce(" SQL_AGE("a.backend_start") ", -1)"
    " from outbox.relay r join pg_stat_activity a"
    "   on split_part(a.application_name, ' ', 2) = left(r.name, " SQL_NUMBER(SESSION_NAME_RELAY) ")"
    " where r.retired_at is null and a.datname = current_database()"
    " and a.application_name ~ '^outboxd [^ ]+ [0-9a-f]{" SQL_NUMBER(SESSION_NAME_HOLDER) "}$'"
    " and has_function_privilege(a.usesysid, 'outbox.slot_empty(integer)', 'execute')"
    " order by r.created_at, r.name, a.backend_start, a.pid limit 1000";

/* What an event takes on disk: values as stored (an out-of-line one is not fetched), 58 bytes of row and 54 of its entries
 * in the two indexes. */
#define SQL_STORED                                                                                           \
    "coalesce(pg_column_size(e.payload), 0) + coalesce(pg_column_size(e.key), 0)"                            \
    " + coalesce(pg_column_size(e.headers), 0) + pg_column_size(e.topic) + 112 as stored"

/* Events of the tick from row `prev` (a relation of one row or none) to the snapshot `cur` with after < id <= upto: late
 * transactions through (xid, id), the rest by walking the id index from lo_id, as pages are read (statements.h); of each at
 * most `most.events`. Arguments are SQL. */
#define SQL_EVENTS_BETWEEN(prev, cur, after, upto)                                                           \
    "(select e.created_at, " SQL_STORED                                                                      \
    "   from (" SQL_LATE("(select snapshot from " prev ")", "(select w from " prev ")", cur) ") l"           \
    "   cross join lateral unnest(l.late) x"                                                                 \
    "   cross join lateral (select * from outbox.event f where f.xid = x and f.id > " after                  \
    "     order by f.id limit (select events from most)) e)"                                                 \
    " union all"                                                                                             \
    " (select e.created_at, " SQL_STORED " from outbox.event e"                                              \
    "   where e.id > greatest(" after ", (select lo_id from " prev ")) and e.id <= " upto                    \
    "   and (e.xid >= (select w from " prev ")) is true and pg_visible_in_snapshot(e.xid, " cur ")"          \
    "   order by e.id limit (select events from most))"

/* Of one relay: newest row n; c, up to which all is confirmed; t, the tick after it; f, where what no tick has yet begins.
 * First what is left of t, then everything from f to now. printf arguments: the relay as a literal, the limit. */
static const char sql_lag[] =
    "with n as materialized (select * from outbox.journal where relay = %s order by seq desc limit 1),"
    " c as materialized (select j.* from n join outbox.journal j"
    "   on j.relay = n.relay and j.seq = n.confirmed_seq),"
    " t as materialized (select j.* from n join outbox.journal j"
    "   on j.relay = n.relay and j.seq = n.confirmed_seq + 1),"
    " f as materialized (select * from t union all select * from c where not exists (select from t)),"
    " most as materialized (select %d as events),"
    " unconfirmed as ("
    SQL_EVENTS_BETWEEN("c", "(select snapshot from t)", "(select coalesce(confirmed_id, 0) from n)",
                       "(select hi_id from t)")
    " union all "
    SQL_EVENTS_BETWEEN("f", "(select pg_current_snapshot())", "0", "9223372036854775807")
    ")"
    " select count(*), coalesce(sum(stored), 0), coalesce(" SQL_AGE("min(created_at)") ", 0), (select count(*) from c)"
    " from (select * from unconfirmed limit (select events from most)) u";

/* The number of events comes from the planner's density, or, of a slot that was never analyzed, from its ids. A writer's
 * lock keeps a slot that is ready from being emptied. */
static const char sql_slots[] =
    "with class as (select c.*, substr(c.relname, 7)::int as slot from pg_class c"
    "   where c.relnamespace = (select oid from pg_namespace where nspname = 'outbox')"
    "   and c.relname ~ '^event_[0-9]+$'),"
    " written as materialized (select distinct l.relation from pg_locks l"
    "   where l.granted and l.mode = 'RowExclusiveLock'"
    "   and l.database = (select oid from pg_database where datname = current_database()))"
    " select c.relname,"
    " case when s.state = 'ready' and c.oid in (select relation from written) then 'busy' else s.state end,"
    " case when n.id is null then 0 when c.reltuples > 0 and c.relpages > 0"
    "   then (c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int))::bigint"
    "   else n.id - o.id + 1 end,"
    " pg_total_relation_size(c.oid), coalesce(" SQL_AGE("n.created_at") ", -1)"
    " from class c cross join lateral (select outbox.slot_state(c.slot) as state) s"
    " left join lateral (select e.id, e.created_at from outbox.event e where e.slot = c.slot::smallint"
    "   order by e.id desc limit 1) n on true"
    " left join lateral (select e.id from outbox.event e where e.slot = c.slot::smallint"
    "   order by e.id limit 1) o on true"
    " where c.relkind = 'r' and c.slot < (select v.slots from outbox.schema_version v) order by c.slot";

/* A transaction is found in pg_locks by the lock on its own xid; that it has written events, by its lock on a partition.
 * When it began is hidden from whoever is neither its user nor in pg_read_all_stats; pid, user and xid are not. */
static const char sql_oldest[] =
    "with held as materialized (select * from pg_locks where granted),"
    " wrote as materialized (select distinct x.transactionid as xid"
    "   from held x join held r on r.virtualtransaction = x.virtualtransaction and r.mode = 'RowExclusiveLock'"
    "   where x.locktype = 'transactionid' and x.mode = 'ExclusiveLock'"
    "   and r.relation in (select c.oid from pg_class c"
    "     where c.relnamespace = (select oid from pg_namespace where nspname = 'outbox')"
    "     and c.relname ~ '^event_[0-9]+$')"
    "   and r.database = (select oid from pg_database where datname = current_database())),"
    " open(pid, gid, owner, application, since, xid) as ("
    "   select a.pid, null, a.usename, a.application_name, a.xact_start, a.backend_xid from pg_stat_activity a"
    "    where a.datname = current_database() and a.backend_xid is not null and a.pid <> pg_backend_pid()"
    "   union all"
    "   select 0, p.gid, p.owner, '', p.prepared, p.transaction from pg_prepared_xacts p"
    "    where p.database = current_database())"
    " select o.pid, o.gid, coalesce(o.owner, ''), coalesce(o.application, ''),"
    " coalesce(" SQL_AGE("o.since") ", -1), age(o.xid), w.xid is not null"
    " from open o left join wrote w on w.xid = o.xid"
    " order by w.xid is not null desc, age(o.xid) desc limit 1";

/* clang-format on */

#endif
