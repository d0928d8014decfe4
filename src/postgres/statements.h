/* statements.h: the text of every statement that reads ticks and the journal, in one place, so that they can be read side
 * by side with docs/design.md. Private to src/postgres. All run as single autocommit statements: a step must not have an
 * xid before its own. */
#ifndef OUTBOXD_POSTGRES_STATEMENTS_H
#define OUTBOXD_POSTGRES_STATEMENTS_H

#include "event/event.h"
#include "postgres/waiting.h"

/* SQL is laid out by its own clauses. */
/* clang-format off */

/* The id sequence's value, read under the lock of its page. A plain select of last_value takes none, and while nextval() writes
 * its log it may see a value up to 32 ahead of any id that was given out: as lower bound, that would lose events. */
#define SQL_SEQUENCE "coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0)"

/* Changes with TRUNCATE .. RESTART IDENTITY and ALTER SEQUENCE .. RESTART, which a value that has caught up would hide. */
#define SQL_SEQUENCE_FILE "coalesce(pg_relation_filenode('outbox.event_id_seq'), 0)"

/* Events that contradict row `l` of the journal: every event with xid >= w has an id above lo_id, unless the sequence was set
 * back while nobody looked. Three look-ups of one row each: the lowest id, and the first and last transaction from w on. And a
 * row that contradicts itself: the step that found the sequence set back has appended it, behind events that are in no tick. A
 * look-up steps over the rows of open and of rolled back transactions, 100 ms a million: this is for a new connection and for
 * a takeover, not for every look. */
#define SQL_MISPLACED(order)                                                                                           \
    "exists (select from (select e.id, e.xid from outbox.event e where e.xid >= l.w order by " order " limit 1) f"     \
    "  where f.id <= l.lo_id)"
#define SQL_SET_BACK                                                                                                   \
    "(l.lo_id > l.hi_id"                                                                                               \
    " or exists (select from (select e.id, e.xid from outbox.event e order by e.id limit 1) f"                            \
    "  where f.id <= l.lo_id and f.xid >= l.w)"                                                                        \
    " or " SQL_MISPLACED("e.xid, e.id") " or " SQL_MISPLACED("e.xid desc, e.id desc") ")"

/* Events with ids above those that row `l` has read, and so inserted later, whose transactions its snapshot shows: the numbers of
 * transactions were set back, and went on again. The first and the last of them are looked at. */
#define SQL_SHOWN(order)                                                                                               \
    "exists (select from (select e.xid from outbox.event e where e.id > l.hi_id order by " order " limit 100) f"       \
    "  where pg_visible_in_snapshot(f.xid, l.snapshot))"
#define SQL_NUMBERS_BACK "(" SQL_SHOWN("e.id") " or " SQL_SHOWN("e.id desc") ")"

/* The number of the next transaction: unassigned when the snapshot of this statement was taken. */
#define SQL_UNASSIGNED                                                                                                 \
    "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"                                                            \
    " + age(pg_snapshot_xmax(pg_current_snapshot())::xid)"

/* This database: where an xid means something. */
#define SQL_HERE                                                                                                       \
    "(select c.system_identifier from pg_control_system() c),"                                                         \
    " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,"                                     \
    " (select d.oid from pg_database d where d.datname = current_database())"

#define SQL_LAST "select * from outbox.journal where relay = $1 order by seq desc limit 1"

/* Transactions below `w` that became visible between the snapshots `prev` and `cur`: those that were running at `prev`
 * (its xip list), and those assigned a number before `w` that no list names, because xmax is "latest completed + 1". And the
 * lowest id of their events, where reading begins. */
#define SQL_LATE(prev, w, cur)                                                                                         \
    "select coalesce(array_agg(x), '{}') as late, coalesce(min(id), 0) as late_lo from ("                              \
    "  select x, l.id from pg_snapshot_xip(" prev ") x"                                                                \
    "    cross join lateral (select e.id from outbox.event e where e.xid = x order by e.id limit 1) l"                 \
    "    where pg_visible_in_snapshot(x, " cur ")"                                                                     \
    "  union all"                                                                                                      \
    "  select e.xid, min(e.id) from outbox.event e where e.xid >= pg_snapshot_xmax(" prev ")"                          \
    "    and e.xid < least(" w ", pg_snapshot_xmax(" cur "))"                                                          \
    "    and pg_visible_in_snapshot(e.xid, " cur ") group by e.xid) t"

#define SQL_PREPARE_NEWEST                                                                                             \
    "prepare outboxd_newest(text) as"                                                                                  \
    " select l.seq, l.epoch, l.holder, l.snapshot::text, l.w::text, l.lo_id, l.hi_id, l.confirmed_seq,"                \
    "  coalesce(l.confirmed_id, 0), l.released,"                                                                       \
    "  (extract(epoch from clock_timestamp() - l.written_at) * 1000000)::bigint,"                                      \
    "  l.sysid, l.timeline, l.dbid, " SQL_HERE ", " SQL_SEQUENCE ", " SQL_SEQUENCE_FILE ","                              \
    "  l.holder = 'retired', l.exact_seq, l.exact_id, l.exact_nonce"                                                   \
    " from (" SQL_LAST ") l;"

#define SQL_PREPARE_SET_BACK "prepare outboxd_set_back(text) as select " SQL_SET_BACK ", " SQL_NUMBERS_BACK " from (" SQL_LAST ") l;"

/* $1 relay, $2 seq and $3 epoch of the row that was seen, $4 holder, $5 lease in microseconds, $6 nonce */
#define SQL_PREPARE_TAKE                                                                                               \
    "prepare outboxd_take(text, bigint, bigint, text, double precision, bigint) as"                                    \
    " insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id,"  \
    "   sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)"                                               \
    " select l.relay, l.seq + 1, l.epoch + 1, $4, l.snapshot, l.w, l.lo_id, l.hi_id, l.confirmed_seq,"                 \
    "   l.confirmed_id, h.sysid, h.timeline, h.dbid, $6, l.exact_seq, l.exact_id, l.exact_nonce"                       \
    " from (" SQL_LAST ") l, (select " SQL_HERE ") h(sysid, timeline, dbid)"                                           \
    " where l.seq = $2 and l.epoch = $3 and l.sysid = h.sysid and l.dbid = h.dbid"                                     \
    "   and (l.released or l.holder = $4 or l.written_at < clock_timestamp() - interval '1 microsecond' * $5)"         \
    " on conflict do nothing returning seq, epoch, nonce;"

#define SQL_PREPARE_ROWS                                                                                               \
    "prepare outboxd_rows(text, bigint, int) as"                                                                       \
    " select l.epoch, j.seq, j.snapshot::text, j.w::text, j.lo_id, j.hi_id, j.nonce from (" SQL_LAST ") l"             \
    " left join lateral (select * from outbox.journal n where n.relay = l.relay and n.seq >= $2 order by n.seq limit $3) j"\
    " on true order by j.seq;"

/* $1 relay, $2 rows, $3 numbers of side work */
#define SQL_PREPARE_NAMES                                                                                              \
    "prepare outboxd_names(text, bigint[], bigint[]) as"                                                               \
    " select l.epoch, n.seq, n.nonce, (select c.holder = 'rebase' from outbox.journal c where c.relay = l.relay"           \
    "  and c.seq = l.confirmed_seq),"                                                                                      \
    "  not exists (select from unnest($3) s(number)"                                                                   \
    "   where not exists (select from outbox.request r where r.relay = l.relay and r.number = s.number)"               \
    "    and not exists (select from outbox.paused_topic t where t.relay = l.relay and t.number = s.number))"          \
    " from (" SQL_LAST ") l left join outbox.journal n on n.relay = l.relay and n.seq = any ($2)"                          \
    " order by n.seq desc;"

/* $1 snapshot and $2 w of the tick before, $3 snapshot of the tick */
#define SQL_PREPARE_LATE "prepare outboxd_late(pg_snapshot, xid8, pg_snapshot) as " SQL_LATE("$1", "$2", "$3") ";"

/* $1 relay, $2 snapshot, $3 w and $4 lo_id of the last tick, $5 next_lo, $6 holder, $7 confirmed_seq, $8 confirmed_id,
 * $9 seq, $10 epoch, $11 dirty, $12 heartbeat in microseconds, $13 nonce, $14 .. $16 exact. `is true` keeps the look at xid a filter, so
 * that the planner walks the id index. The last three columns are those of a virtual tick. */
#define SQL_PREPARE_STEP                                                                                               \
    "prepare outboxd_step(text, pg_snapshot, xid8, bigint, bigint, text, bigint, bigint, bigint, bigint, boolean,"     \
    "  double precision, bigint, bigint, bigint, bigint) as"                                                           \
    " with last as materialized (" SQL_LAST "),"                                                                       \
    " late as materialized (" SQL_LATE("$2", "$3", "(select pg_current_snapshot())") "),"                              \
    " want as materialized (select late, late_lo, late <> '{}' or (select id from outbox.event e where e.id > $4"               \
    "   and (e.xid >= $3) is true order by e.id limit 1) is not null as found from late),"                             \
    " ins as (insert into outbox.journal (relay, seq, epoch, holder, snapshot, lo_id, hi_id, confirmed_seq,"           \
    "     confirmed_id, sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)"                               \
    "   select $1, l.seq + 1, l.epoch, $6, pg_current_snapshot(), $5, " SQL_SEQUENCE ", $7, $8,"                       \
    "     l.sysid, l.timeline, l.dbid, $13, $14, $15, $16"                                                             \
    "   from last l, want where l.seq = $9 and l.epoch = $10"                                                          \
    "     and (want.found or $11 or l.written_at < clock_timestamp() - interval '1 microsecond' * $12)"                \
    "   on conflict do nothing returning seq, snapshot, w, lo_id, hi_id, nonce)"                                       \
    " select l.seq, l.epoch, l.hi_id, pg_backend_pid(), want.found, want.late, ins.seq, ins.snapshot::text,"           \
    "   ins.w::text, ins.lo_id, ins.hi_id, pg_current_snapshot()::text,"                                               \
    "   " SQL_UNASSIGNED ", " SQL_SEQUENCE ", " SQL_SEQUENCE_FILE ", want.late_lo,"                                    \
    "   ins.nonce"                                                                                                     \
    " from last l cross join want left join ins on true;"

/* Appends a copy of the newest row: $1 relay, $2 holder, $3 confirmed_seq, $4 confirmed_id, $5 seq, $6 epoch, $7 nonce, $8 .. $10 exact,
 * and more: `released`, and a column that is computed only when the row was appended. */
#define SQL_PREPARE_APPEND(name, types, released, does)                                                                \
    "prepare " name "(text, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, " types ") as"       \
    " with last as materialized (" SQL_LAST "),"                                                                       \
    " ins as (insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq,"        \
    "     confirmed_id, released, sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)"                     \
    "   select $1, l.seq + 1, l.epoch, $2, l.snapshot, l.w, l.lo_id, l.hi_id, $3, $4, " released ","                   \
    "     l.sysid, l.timeline, l.dbid, $7, $8, $9, $10"                                                                \
    "   from last l where l.seq = $5 and l.epoch = $6 on conflict do nothing returning seq, nonce)"                    \
    " select l.seq, l.epoch, l.hi_id, pg_backend_pid(), ins.seq, " SQL_SEQUENCE ","                                    \
    "   case when ins.seq is not null then " does " end, ins.nonce from last l left join ins on true;"

#define SQL_PREPARE_CONFIRM SQL_PREPARE_APPEND("outboxd_confirm", "boolean", "$11", "''")

/* What was passed over: outbox.put_aside. How far side work is: outbox.request_settle, outbox.topic_settle. */
#define SQL_PREPARE_ASIDE                                                                                              \
    SQL_PREPARE_APPEND("outboxd_put_aside", "jsonb", "false", "outbox.put_aside($1, $11)::text")                       \
    SQL_PREPARE_APPEND("outboxd_settle", "bigint, bigint, bigint, text, jsonb", "false",                               \
                       "outbox.request_settle($1, $11, $12, $13, $14, $15)::text")                                     \
    SQL_PREPARE_APPEND("outboxd_settle_topic", "bigint, bigint, bigint, text, text", "false",                          \
                       "outbox.topic_settle($1, $11, $12, $13, $14, $15)::text")                                       \
    SQL_PREPARE_APPEND("outboxd_apply", "bigint, bigint", "false", "outbox.side_apply($1, $11, $12)::text")            \
    SQL_PREPARE_HOLDS SQL_PREPARE_AHEAD SQL_PREPARE_WAITING SQL_PREPARE_HELD SQL_PREPARE_COPY SQL_PREPARE_FIRST SQL_PREPARE_REPLAY \
    SQL_PREPARE_ROUND

/* What a new leader has to know of dead letters, which may be millions, is read in pieces of n rows at most; none means the end. */

/* $1 relay, $2 after this hold, $3 n, $4 bytes of keys, of which one at least is read: of each hold the first dead letter, and the last tick of which
 * an event waits behind it. */
#define SQL_PREPARE_HOLDS                                                                                              \
    "prepare outboxd_holds(text, bigint, bigint, bigint) as"                                                           \
    " select p.hold, p.tick, p.event_id, p.topic, sha256(p.key), coalesce((select h.tick from outbox.held_event h"     \
    "   where h.relay = $1 and h.hold = p.hold order by h.tick desc, h.event_id desc limit 1), 0)"                     \
    " from (select l.*, sum(octet_length(l.key)) over (order by l.hold, l.tick, l.event_id"                            \
    "    rows between unbounded preceding and 1 preceding) as before"                                                  \
    "   from (select hold, tick, event_id, topic, key from outbox.dead_letter where relay = $1 and hold > $2 and key is not null" \
    "     order by hold, tick, event_id limit $3) l) p"                                                                \
    " where p.before is null or p.before < $4 order by p.hold, p.tick, p.event_id;"

/* $1 relay, $2 and $3 after this tick and id, by dead_letter_tick: dead letters in the order of the stream. */
#define SQL_PREPARE_AHEAD                                                                                              \
    "prepare outboxd_ahead(text, bigint, bigint, bigint) as"                                                           \
    " select l.tick, l.event_id from outbox.dead_letter l where l.relay = $1 and (l.tick, l.event_id) > ($2, $3)"      \
    " order by l.tick, l.event_id limit $4;"

/* Something of the first other dead letter of the hold of dead letter `l`, of those behind it (">") or before it ("<"); looked up, whatever the
 * planner thinks of that. */
#define SQL_OF_HOLD(something, side)                                                                                   \
    "(select " something " from outbox.dead_letter b where b.relay = l.relay and b.hold = l.hold"                      \
    "  and (b.tick, b.event_id) " side " (l.tick, l.event_id) order by b.tick, b.event_id limit 1)"

/* Requests of some kinds that are not done: the oldest `most` of those that pass `also`, among a bounded number of them, so that nothing that is
 * asked for often hides the rest. $1 relay */
#define SQL_REQUESTS(kinds, also, most)                                                                                \
    "(select q.number, q.kind, q.event_id, q.first_id, q.last_id, q.topic, q.rate, q.progress, encode(q.key, 'hex') as key_hex,"   \
    "  (extract(epoch from q.since) * 1000000)::bigint as since_us, (extract(epoch from q.until) * 1000000)::bigint as until_us,"  \
    "  l.hold, l.tick as letter_tick, l.topic as letter_topic, q.event_id is not null and l.event_id is null as gone,"                        \
    "  " SQL_OF_HOLD("array[b.tick, b.event_id]", ">") " as next"                                                      \
    "  from (select * from outbox.request o where o.relay = $1 and o.done_at is null and o.kind in (" kinds ")"       \
    "    order by o.number limit 10000) q"                                                                             \
    "  left join outbox.dead_letter l on l.relay = q.relay and l.event_id = q.event_id" also " order by q.number limit " most ")"

/* How many rows of a table the relay has; a million of them take 0.3 s, and no more are counted: the lease goes on meanwhile. */
#define SQL_COUNT(table) "(select count(*) from (select from " table " c where c.relay = $1 limit 1000000) c)"

/* $1 relay, $2 whether what was put aside is to be counted, $3 whether all paused topics are listed, and not only those that are to be tried
 * now, $4 topics that a retry waits for already: everything that waits, as one JSON object. Nothing is retried in a topic that is paused, nor a dead
 * letter of whose hold there is an earlier one. */
#define SQL_PREPARE_WAITING                                                                                            \
    "prepare outboxd_waiting(text, boolean, boolean, text[]) as select jsonb_build_object("                                             \
    "'counts', case when $2 then jsonb_build_object('dead', " SQL_COUNT("outbox.dead_letter") ","                      \
    "    'held', " SQL_COUNT("outbox.held_event") ") end,"                                                             \
    "'paused', exists (select from outbox.pause p where p.relay = $1 and p.topic = ''),"                               \
    "'pauses', (select coalesce(jsonb_agg(p.topic), '[]') from outbox.pause p where p.relay = $1 and p.topic <> ''),"  \
    "'topics', (select coalesce(jsonb_agg(to_jsonb(t) order by t.number), '[]') from outbox.paused_topic t where t.relay = $1 and ($3 or t.error = '" WAITING_RESUMED "')),"  \
    "'requests', (select coalesce(jsonb_agg(to_jsonb(r) order by r.number), '[]') from ("                              \
        SQL_REQUESTS("'retry', 'discard'", " where not exists (select from outbox.pause p where p.relay = $1 and p.topic = l.topic)"  \
        " and not exists (select from outbox.paused_topic t where t.relay = $1 and t.topic = l.topic)"                  \
        " and (l.topic = any($4)) is not true and " SQL_OF_HOLD("b.event_id", "<") " is null", "64")                       \
        " union all " SQL_REQUESTS("'replay'", " where not exists (select from outbox.cancelled c where c.relay = $1 and c.number = q.number)", "16") " union all " SQL_REQUESTS("'copy'", "", "64") ") r));"

/* A macro's number in SQL. */
#define SQL_NUMBER(macro) SQL_NUMBER_(macro)
#define SQL_NUMBER_(number) #number

/* What an event costs in memory, as event_cost() counts it: sizes of key and payload come from their TOAST pointers, so a
 * large value that is cut off is never fetched. */
#define SQL_COST                                                                                                       \
    "coalesce(octet_length(e.payload), 0) + coalesce(octet_length(e.key), 0)"                                          \
    " + coalesce(octet_length(e.headers::text), 0) * " SQL_NUMBER(EVENT_HEADER_COST) " + " SQL_NUMBER(EVENT_OVERHEAD)

/* A page: events of one tick with after < id <= upto, in id order, at most n of them. The main stream walks the id index;
 * the late transactions come through (xid, id). Both are merged by id: late ones first would break the order of a key.
 * Arguments are SQL expressions. */
#define SQL_PAGE_MAIN(after, upto, lo, hi, w, cur, filter, n)                                                                  \
    "(select e.id, e.created_at, e.topic, e.key, e.payload, e.headers from outbox.event e"                             \
    "  where e.id > greatest(" after ", " lo ") and e.id <= least(" upto ", " hi ") and (e.xid >= " w ") is true"      \
    "  and pg_visible_in_snapshot(e.xid, " cur ")" filter " order by e.id limit " n ")"
#define SQL_PAGE_LATE(late, after, upto, filter, n)                                                                            \
    "(select e.id, e.created_at, e.topic, e.key, e.payload, e.headers from unnest(" late ") x"                         \
    "  cross join lateral (select * from outbox.event f where f.xid = x and f.id > " after " and f.id <= " upto filter \
    "  order by f.id limit " n ") e)"
#define SQL_PAGE_MERGED(streams, n) "(select * from (" streams ") s order by id limit " n ")"

/* Cut by bytes: the page ends after the event that reaches `bytes`, so one event is always admitted. The window costs as
 * much as the rest of the page, so it is for pages that may need it. */
#define SQL_PAGE_CUT(streams, n, bytes)                                                                                \
    "select id, created_at, topic, key, payload, headers, null::boolean from ("                                        \
    "select e.*, sum(" SQL_COST ") over (order by e.id rows between unbounded preceding and 1 preceding) as before"    \
    " from " SQL_PAGE_MERGED(streams, n) " e) p where before is null or before < " bytes " order by id"

/* Not cut, for pages of events that have been small so far: an event above `large` bytes comes without its bytes and with
 * true in the last column; the reader ends the page before it and goes on with a cut one. Every expression here is paid for
 * each event: sizes are looked at without regard to NULL, which is never larger, and without late transactions there is
 * nothing to merge. */
#define SQL_PAGE_PLAIN(stream, large)                                                                                  \
    "select id, created_at, topic, key, case when " SQL_LARGE(large) " then null else payload end, headers,"           \
    " case when " SQL_LARGE(large) " then true end from " stream " e"
#define SQL_LARGE(large) "octet_length(e.payload) > " large " or octet_length(e.key) > " large

/* The page of a small tick, planned once: $1 late, $2 after, $3 upto, $4 n, $5 lo, $6 hi, $7 w, $8 cur, $9 bytes.
 * Large ones are read by COPY, which knows no parameters (reader.c). */
#define SQL_PREPARE_PAGE                                                                                               \
    "prepare outboxd_page(xid8[], bigint, bigint, bigint, bigint, bigint, xid8, pg_snapshot, bigint) as " SQL_PAGE_CUT(\
        SQL_PAGE_LATE("$1", "$2", "$3", "", "$4") " union all "                                                            \
        SQL_PAGE_MAIN("$2", "$3", "$5", "$6", "$7", "$8", "", "$4"), "$4", "$9") ";"

/* COPY takes its snapshot before it has its locks. Had it to wait for ALTER TABLE, which writes every row anew as if it had been
 * inserted just now, it would see an empty table and the events would be lost: so the locks come first, in the same request. A
 * prepared statement takes its snapshot behind its locks. */
#define SQL_COPY(tables, query)                                                                                        \
    "lock table " tables " in access share mode; copy (" query ") to stdout (format binary)"

/* ---- pages of side work: as binary results in the format of a page ---- */

/* So much of `rows`, in the given order, as fits into `bytes`. */
#define SQL_SIDE_CUT(rows, order, bytes)                                                                               \
    "select id, created_at, topic, key, payload, headers, null::boolean from (select e.*, sum(" SQL_COST ") over (order by " order     \
    " rows between unbounded preceding and 1 preceding) as before from (" rows ") e) p where before is null or before < " bytes        \
    " order by " order

#define SQL_HELD(behind)                                                                                               \
    "(select h.tick, e.id, e.created_at, e.topic, e.key, e.payload, e.headers from outbox.held_event h"                \
    " join outbox.event e on e.id = h.event_id where h.relay = $1 and h.hold = $3" behind                              \
    " and (h.tick, h.event_id) < ((select tick from next), (select event_id from next)) order by h.tick, h.event_id limit $5)"

/* $1 relay, $2 the dead letter's event, $3 its hold, $4 whether it comes first, $5 n, $6 bytes, $7 the request: the letter and what waits
 * behind it, up to the next one of its hold. First behind what the request has freed, by the index entries of which nobody wants to walk; that
 * nothing is left is known only when nothing is found from the beginning. */
#define SQL_PREPARE_HELD                                                                                               \
    "prepare outboxd_held(text, bigint, bigint, boolean, bigint, bigint, bigint) as"                                   \
    " with freed as materialized (select freed_tick, freed_id from outbox.request where relay = $1 and number = $7),"  \
    " own as materialized (select tick, event_id from outbox.dead_letter where relay = $1 and event_id = $2),"         \
    " next as materialized (select tick, event_id from ((select tick, event_id from outbox.dead_letter"                \
    "   where relay = $1 and hold = $3 and (tick, event_id) > ((select tick from own), (select event_id from own)) order by tick, event_id limit 1)" \
    "  union all select 9223372036854775807, 9223372036854775807) n order by tick limit 1),"                           \
    " behind as materialized " SQL_HELD(" and (h.tick, h.event_id) > ((select freed_tick from freed), (select freed_id from freed))") " "  \
    SQL_SIDE_CUT(                                                                                                      \
        "(select l.tick, l.event_id as id, l.created_at, l.topic, l.key, l.payload, l.headers from outbox.dead_letter l"               \
        " where l.relay = $1 and l.event_id = $2 and $4) union all (select * from behind)"                             \
        " union all (select * from " SQL_HELD("") " h where not exists (select from behind))", "tick, id", "$6") ";"

/* $1 relay, $2 the dead letter's event, $3 the topic that gets a copy */
#define SQL_PREPARE_COPY                                                                                               \
    "prepare outboxd_copy(text, bigint, text) as"                                                                      \
    " select l.event_id, l.created_at, $3, l.key, l.payload, coalesce(l.headers, '{}') || jsonb_build_object("         \
    "  'outbox-dead-topic', l.topic, 'outbox-dead-error', l.error, 'outbox-dead-message', l.message), null::boolean"   \
    " from outbox.dead_letter l where l.relay = $1 and l.event_id = $2;"

/* Where a replay goes on: the first event of $1 < id <= $2, but for slots whose newest event is older than $3 since, in microseconds. Two
 * look-ups a slot: no time is in an index. A clock may be set back by a minute (walk.c). */
#define SQL_PREPARE_FIRST                                                                                              \
    "prepare outboxd_first(bigint, bigint, double precision) as select coalesce(min(f.id), 0)"                         \
    " from outbox.schema_version v cross join generate_series(0, v.slots - 1) s"                                       \
    " cross join lateral (select e.id from outbox.event e where e.slot = s::smallint and e.id > $1 and e.id <= $2"     \
    "  order by e.id limit 1) f"                                                                                       \
    " cross join lateral (select e.created_at from outbox.event e where e.slot = s::smallint order by e.id desc limit 1) n" \
    " where $3 is null or n.created_at >= to_timestamp($3 / 1000000) - interval '1 minute';"

/* What was published and is still there: $1 relay, $2 < id <= $3, $4 its number for the header, $5 n, $6 bytes, and perhaps $7 since and
 * $8 until, in microseconds, $9 key in hex, $10 topic as LIKE has it. What waits was not published, what was discarded never is; of those, which
 * may be millions, the planner is told the same bounds. */
#define SQL_PREPARE_REPLAY                                                                                             \
    "prepare outboxd_replay(text, bigint, bigint, bigint, bigint, bigint, double precision, double precision, text, text) as " SQL_SIDE_CUT( \
        "select e.id, e.created_at, e.topic, e.key, e.payload, coalesce(e.headers, '{}') || jsonb_build_object('replay', $4::text) as headers"  \
        " from (select c.snapshot, n.confirmed_id from (" SQL_LAST ") n join outbox.journal c on c.relay = n.relay and c.seq = n.confirmed_seq) c," \
        " outbox.event e where e.id > $2 and e.id <= $3 and pg_visible_in_snapshot(e.xid, c.snapshot)"                 \
        " and ($7 is null or e.created_at >= to_timestamp($7 / 1000000)) and ($8 is null or e.created_at < to_timestamp($8 / 1000000))"   \
        " and ($9 is null or e.key = decode($9, 'hex')) and ($10 is null or e.topic collate \"C\" like $10)"           \
        " and not exists (select from outbox.held_event h where h.relay = $1 and h.event_id = e.id)"                   \
        " and not exists (select from outbox.dead_letter l where l.relay = $1 and l.event_id = e.id)"                  \
        " and not exists (select from outbox.discarded d where d.relay = $1 and d.event_id = e.id and d.event_id > $2 and d.event_id <= $3)"  \
        " order by e.id limit $5", "id", "$6") ";"

/* $1 relay, $2 and $3 rows of the journal: the tick between them */
#define SQL_PREPARE_ROUND                                                                                              \
    "prepare outboxd_round(text, bigint, bigint) as"                                                                   \
    " select epoch, seq, snapshot::text, w::text, lo_id, hi_id, nonce from outbox.journal where relay = $1 and seq in ($2, $3)" \
    " order by seq;"

/* When the oldest event was created that is not confirmed, in microseconds; 0: there is none. $1 relay, $2 and $3 the confirmed position. Each part
 * is one look-up, by (xid, id): what came after the confirmed tick, its late transactions, and those between xmax and w. Within a tick the first event
 * behind the position is its neighbour by id instead. Ranges keep the planner at the index that has their order, whatever it believes of xids. */
#define SQL_PREPARE_BACKLOG                                                                                            \
    "prepare outboxd_backlog(text, bigint, bigint) as"                                                                 \
    " select coalesce((extract(epoch from min(b.created_at)) * 1000000)::bigint, 0)"                                   \
    " from (select j.snapshot, j.w, j.lo_id from outbox.journal j where j.relay = $1 and j.seq = $2) c"                \
    " cross join lateral ("                                                                                            \
    "  (select e.created_at from outbox.event e where $3 = 0 and e.xid >= c.w order by e.xid, e.id limit 1)"           \
    "  union all"                                                                                                      \
    "  (select e.created_at from outbox.event e where $3 > 0 and e.id > greatest(c.lo_id, $3)"                         \
    "    and (e.xid >= c.w) is true order by e.id limit 1)"                                                            \
    "  union all"                                                                                                      \
    "  select l.created_at from pg_snapshot_xip(c.snapshot) x cross join lateral"                                      \
    "    (select e.created_at from outbox.event e where e.xid >= x and e.xid <= x and e.id > $3"                       \
    "      order by e.xid, e.id limit 1) l"                                                                            \
    "  union all"                                                                                                      \
    "  (select e.created_at from outbox.event e where e.xid >= pg_snapshot_xmax(c.snapshot) and e.xid < c.w and e.id > $3" \
    "    order by e.xid, e.id limit 1)) b;"

/* clang-format on */

#endif
