/* waits.h: SQL for what a request waits for: a topic that takes nothing, or that somebody has paused. Private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_WAITS_H
#define OUTBOXD_POSTGRES_WAITS_H

#include "postgres/waiting.h"

/* SQL is laid out by its own clauses. */
/* clang-format off */

/* Of the open request `r` (with relay, number, kind, event_id) an object {event_id, topic, error, message}, or NULL: it waits for no topic. What
 * the leader has told; and as it begins no retry and no discard in a topic that is paused (statements.h), the pause of the dead letter's. */
#define SQL_WAITS(r)                                                                                                   \
    "coalesce((select w from outbox.relay l, jsonb_path_query(l.trouble, '$.waits[*]') w"                              \
    "  where l.name = " r ".relay and w -> 'number' = to_jsonb(" r ".number) limit 1),"                                \
    " (select jsonb_build_object('event_id', d.event_id, 'topic', d.topic,"                                            \
    "   'error', case when p.topic is null then t.error else '" WAITING_PAUSED "' end,"                                \
    "   'message', case when p.topic is null then t.message else 'somebody has paused it: outboxd resume' end)"        \
    "  from outbox.dead_letter d left join outbox.pause p on p.relay = d.relay and p.topic = d.topic"                  \
    "  left join outbox.paused_topic t on t.relay = d.relay and t.topic = d.topic"                                     \
    "  where d.relay = " r ".relay and d.event_id = " r ".event_id and " r ".kind in ('retry', 'discard')"             \
    "   and (p.topic is not null or t.topic is not null)))"

/* clang-format on */

#endif
