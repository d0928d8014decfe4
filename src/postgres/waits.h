/* waits.h: SQL for what a request waits for: a topic that takes nothing, or that somebody has paused, or another dead letter. Private to
 * src/postgres. */
#ifndef OUTBOXD_POSTGRES_WAITS_H
#define OUTBOXD_POSTGRES_WAITS_H

#include "postgres/waiting.h"

/* SQL is laid out by its own clauses. */
/* clang-format off */

/* Of the open request `r` (with relay, number, kind, event_id) an object {event_id, topic, error, message}, or NULL: it waits for none of these. What
 * the leader has told; and as it begins no retry and no discard in a topic that is paused, nor of a dead letter behind another one of its hold
 * (statements.h), the pause of the dead letter's, or that one. */
#define SQL_WAITS(r)                                                                                                   \
    "coalesce((select w from outbox.relay l, jsonb_path_query(l.trouble, '$.waits[*]') w"                              \
    "  where l.name = " r ".relay and w -> 'number' = to_jsonb(" r ".number) limit 1),"                                \
    " (select jsonb_build_object('event_id', d.event_id, 'topic', d.topic,"                                            \
    "   'error', case when p.topic is null then t.error else '" WAITING_PAUSED "' end,"                                \
    "   'message', case when p.topic is null then t.message else 'somebody has paused it: outboxd resume' end)"        \
    "  from outbox.dead_letter d left join outbox.pause p on p.relay = d.relay and p.topic = d.topic"                  \
    "  left join outbox.paused_topic t on t.relay = d.relay and t.topic = d.topic"                                     \
    "  where d.relay = " r ".relay and d.event_id = " r ".event_id and " r ".kind in ('retry', 'discard')"             \
    "   and (p.topic is not null or t.topic is not null)),"                                                             \
    " (select jsonb_build_object('event_id', b.event_id, 'topic', b.topic, 'error', 'HELD',"                           \
    "   'message', format('dead letter %s of its key stands before it: retry or discard that one', b.event_id))"       \
    "  from outbox.dead_letter d join outbox.dead_letter b on b.relay = d.relay and b.hold = d.hold"                   \
    "  where d.relay = " r ".relay and d.event_id = " r ".event_id and " r ".kind in ('retry', 'discard')"             \
    "   and (b.tick, b.event_id) < (d.tick, d.event_id) order by b.tick, b.event_id limit 1))"

/* clang-format on */

#endif
