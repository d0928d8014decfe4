-- 005_aside.sql: what the stream passes over, so that one refused event or one broken topic stops nobody else: dead letters, the events
-- held behind them, paused topics; and the work that is done beside the stream: retries, replays. Run by `outboxd migrate` as the owner,
-- inside one transaction. Relays look at these tables and change them through the functions below, in the statement that appends
-- their next row to the journal: whoever does not lead any more changes nothing.

-- Binaries made for the versions before go on (readable_since stays 1): nothing that waits here is lost on them, but they publish newer
-- events beside it. So all processes of a relay are to be of this version before one of them leads for long.

-- ---- what was passed over --------------------------------------------------------------------------------------
-- An event that Kafka refused for its own sake, whole: its slot of the ring is emptied as if it had been published.
create table outbox.dead_letter (
    relay      text        not null,
    event_id   bigint      not null,                              -- outbox.event.id
    tick       bigint      not null,                              -- where it stood in the stream: ordered by (tick, event_id)
    hold       bigint,                                            -- later events of its topic and key wait, in outbox.held_event; NULL: they do not
    topic      text        not null,
    key        bytea,
    payload    bytea,
    headers    jsonb,
    created_at timestamptz not null,
    error      text        not null,                              -- Kafka's or our name for it, MSG_SIZE_TOO_LARGE
    message    text        not null,                              -- for people
    attempts   integer     not null default 1,
    first_at   timestamptz not null default clock_timestamp(),    -- when it was refused first and last
    last_at    timestamptz not null default clock_timestamp(),
    primary key (relay, event_id)
);
comment on table outbox.dead_letter is 'outboxd: events that Kafka refused for their own sake; see outboxd dead';
create index dead_letter_hold on outbox.dead_letter (relay, hold) where hold is not null;

-- An event that waits behind a dead letter of its topic and key: a reference, its slot of the ring is not emptied.
create table outbox.held_event (
    relay    text     not null,
    event_id bigint   not null,                                   -- outbox.event.id
    tick     bigint   not null,                                   -- order of the stream: (tick, event_id)
    hold     bigint   not null,                                   -- outbox.dead_letter.hold
    slot     smallint not null,                                   -- outbox.event.slot
    primary key (relay, event_id)
);
comment on table outbox.held_event is 'outboxd: events that wait behind a dead letter of their topic and key';
create index held_event_hold on outbox.held_event (relay, hold, tick, event_id);
create index held_event_slot on outbox.held_event (slot);

-- Dead letters that somebody gave up, whole, and why.
create table outbox.discarded (
    relay        text        not null,
    event_id     bigint      not null,
    topic        text        not null,
    key          bytea,
    payload      bytea,
    headers      jsonb,
    created_at   timestamptz not null,
    error        text        not null,
    message      text        not null,
    attempts     integer     not null,
    refused_at   timestamptz not null,                            -- when it was refused first
    reason       text        not null,
    discarded_by text        not null,
    discarded_at timestamptz not null default clock_timestamp(),
    primary key (relay, event_id)
);
comment on table outbox.discarded is 'outboxd: dead letters that were discarded, by whom and why';

-- Work beside the stream, asked for by people; the leader does it, several at a time. One that is done stays.
create sequence outbox.side_number;
create table outbox.request (
    relay      text        not null,
    number     bigint      not null default nextval('outbox.side_number'),
    kind       text        not null check (kind in ('retry', 'discard', 'copy', 'replay')),
    event_id   bigint,                                            -- of the dead letter; NULL for a replay
    first_id   bigint,                                            -- replay: which events; NULL: any
    last_id    bigint,
    since      timestamptz,
    until      timestamptz,
    topic      text,                                              -- a shell pattern
    key        bytea,
    rate       integer,                                           -- events a second at most; NULL: as fast as it goes
    reason     text,                                              -- of a discard
    asked_by   text        not null default session_user,
    asked_at   timestamptz not null default clock_timestamp(),
    progress   bigint      not null default 0,                    -- id of the last event that was published for it
    events     bigint      not null default 0,                    -- so many were
    refused    bigint      not null default 0,                    -- replay: so many were not taken
    done_at    timestamptz,
    outcome    text,                                              -- 'done', or why it ended
    primary key (relay, number),
    constraint request_dead_letter check ((kind = 'replay') = (event_id is null)),
    constraint request_reason check (kind <> 'discard' or coalesce(length(reason), 0) > 0),
    constraint request_bounds check ((since is null or since between '0001-01-01' and '9999-12-31')
                                     and (until is null or until between '0001-01-01' and '9999-12-31')
                                     and coalesce(octet_length(topic), 0) <= 249 and coalesce(octet_length(key), 0) <= 65536)
);
comment on table outbox.request is 'outboxd: retries, discards and replays that were asked for, and what came of them';
create index request_open on outbox.request (relay, number) where done_at is null;
-- Nobody asks twice for the same.
create unique index request_letter on outbox.request (relay, event_id) where done_at is null and kind in ('retry', 'discard');
create index request_event on outbox.request (relay, event_id) where event_id is not null;

-- A topic that takes nothing: the stream passes its events over, and they wait. What follows the row from_seq of the journal is not
-- published yet; up to the row to_seq it is, as far as its ids are not above after_id. Row from_seq and the slots behind it stay.
create table outbox.paused_topic (
    relay    text        not null,
    topic    text        not null,
    number   bigint      not null default nextval('outbox.side_number'),    -- of the present attempt at from_seq .. to_seq
    from_seq bigint      not null,
    to_seq   bigint      not null,
    after_id bigint      not null,
    error    text        not null,                                -- PAUSED: somebody asked for it, see outbox.pause
    message  text        not null,
    attempts integer     not null default 1,
    since    timestamptz not null default clock_timestamp(),
    last_at  timestamptz not null default clock_timestamp(),
    primary key (relay, topic),
    constraint paused_topic_legal check (octet_length(topic) <= 249 and topic collate "C" ~ '^[a-zA-Z0-9._-]+$')
);
comment on table outbox.paused_topic is 'outboxd: topics whose events wait until they can be published again';

-- Topics that somebody has paused, until he resumes them. (A whole relay: outbox.relay.paused.)
create table outbox.pause (
    relay    text        not null,
    topic    text        not null,                                -- '': all of the relay, as outbox.relay.paused says too
    asked_by text        not null default session_user,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (relay, topic),
    constraint pause_topic_legal check (topic = '' or octet_length(topic) <= 249 and topic collate "C" ~ '^[a-zA-Z0-9._-]+$')
);
comment on table outbox.pause is 'outboxd: topics paused by hand; see outboxd pause';

-- ---- what a leader writes --------------------------------------------------------------------------------------
-- {"dead": [{"id", "tick", "hold" or null, "error", "message"}..], "held": [[id, tick, hold]..], "copy": whether copies are asked for,
--  "topics": [{"topic", "from", "to", "after", "error", "message"}..]}. May be said again: what is there stays.
create function outbox.put_aside(relay text, aside jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into outbox.dead_letter as l (relay, event_id, tick, hold, topic, key, payload, headers, created_at, error, message)
    select put_aside.relay, e.id, d.tick, d.hold, e.topic, e.key, e.payload, e.headers, e.created_at, d.error, d.message
      from jsonb_to_recordset(aside -> 'dead') d(id bigint, tick bigint, hold bigint, error text, message text)
      join outbox.event e on e.id = d.id
    on conflict on constraint dead_letter_pkey do update
       set tick = excluded.tick, hold = coalesce(excluded.hold, l.hold), attempts = l.attempts + 1, last_at = clock_timestamp(), error = excluded.error, message = excluded.message;
    if (aside -> 'copy')::boolean then
        insert into outbox.request (relay, kind, event_id)
        select put_aside.relay, 'copy', (d ->> 'id')::bigint from jsonb_array_elements(aside -> 'dead') d
         where not exists (select from outbox.request r where r.relay = put_aside.relay and r.kind = 'copy'
                              and r.event_id = (d ->> 'id')::bigint and r.done_at is null);
    end if;
    insert into outbox.held_event (relay, event_id, tick, hold, slot)
    select put_aside.relay, e.id, (h ->> 1)::bigint, (h ->> 2)::bigint, e.slot
      from jsonb_array_elements(aside -> 'held') h join outbox.event e on e.id = (h ->> 0)::bigint
     where not exists (select from outbox.dead_letter l where l.relay = put_aside.relay and l.event_id = e.id)
    -- a topic that catches up comes to what was held before again, among events of other ticks
    on conflict on constraint held_event_pkey do update set tick = excluded.tick where held_event.tick <> excluded.tick;
    insert into outbox.paused_topic (relay, topic, from_seq, to_seq, after_id, error, message)
    select put_aside.relay, t.topic, t."from", t."to", t.after, t.error, t.message
      from jsonb_to_recordset(aside -> 'topics') t(topic text, "from" bigint, "to" bigint, after bigint, error text, message text)
    -- its last pause has ended, and the database has not heard of that yet
    on conflict on constraint paused_topic_pkey do update
       set number = nextval('outbox.side_number'), from_seq = excluded.from_seq, to_seq = excluded.to_seq, after_id = excluded.after_id,
           error = excluded.error, message = excluded.message, attempts = 1, since = excluded.since, last_at = excluded.last_at
     where excluded.from_seq >= paused_topic.from_seq;
end
$$;
comment on function outbox.put_aside(text, jsonb) is 'outboxd: writes down what the stream passes over';

-- How far a request is: its events up to `progress` are published, so many more. Ended: `outcome` says how, and the largest progress
-- means all of them. `refused`: {"id", "error", "message"} of the event that Kafka did not take, which ends a retry.
create function outbox.request_settle(relay text, number bigint, progress bigint, events bigint, outcome text, refused jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    request outbox.request;
    letter outbox.dead_letter;
    upto bigint;
    refused_id bigint := (refused ->> 'id')::bigint;
    whole boolean := progress = 9223372036854775807;
begin
    update outbox.request r
       set progress = case when whole then r.progress else greatest(r.progress, request_settle.progress) end,
           events = r.events + request_settle.events,
           refused = r.refused + case when r.kind = 'replay' and refused_id is not null then 1 else 0 end,
           done_at = case when request_settle.outcome is not null then clock_timestamp() end, outcome = request_settle.outcome
     where r.relay = request_settle.relay and r.number = request_settle.number and r.done_at is null
    returning * into request;
    if request.kind is null or request.kind not in ('retry', 'discard') then
        return;
    end if;
    select * into letter from outbox.dead_letter l
     where l.relay = request_settle.relay and l.event_id = request.event_id for update;
    if not found then
        return;
    end if;

    -- What was published waits no more.
    select h.tick into upto from outbox.held_event h
     where h.relay = request_settle.relay and h.event_id = request_settle.progress and h.hold = letter.hold;
    delete from outbox.held_event h
     where h.relay = request_settle.relay and h.hold = letter.hold
       and (whole or (h.tick, h.event_id) <= (upto, request_settle.progress));

    if refused_id = letter.event_id then
        update outbox.dead_letter l
           set attempts = l.attempts + 1, last_at = clock_timestamp(), error = refused ->> 'error', message = refused ->> 'message'
         where l.relay = letter.relay and l.event_id = letter.event_id;
        return;
    end if;
    if refused_id is not null then    -- the next one of its key is dead, and holds the others
        insert into outbox.dead_letter (relay, event_id, tick, hold, topic, key, payload, headers, created_at, error, message)
        select h.relay, e.id, h.tick, h.hold, e.topic, e.key, e.payload, e.headers, e.created_at, refused ->> 'error', refused ->> 'message'
          from outbox.held_event h join outbox.event e on e.id = h.event_id
         where h.relay = letter.relay and h.event_id = refused_id
        on conflict do nothing;
        delete from outbox.held_event h where h.relay = letter.relay and h.event_id = refused_id;
    end if;
    if whole or refused_id is not null then
        if request.kind = 'discard' then
            insert into outbox.discarded (relay, event_id, topic, key, payload, headers, created_at, error, message, attempts,
                                          refused_at, reason, discarded_by)
            values (letter.relay, letter.event_id, letter.topic, letter.key, letter.payload, letter.headers, letter.created_at,
                    letter.error, letter.message, letter.attempts, letter.first_at, request.reason, request.asked_by)
            on conflict do nothing;
        end if;
        delete from outbox.dead_letter l where l.relay = letter.relay and l.event_id = letter.event_id;
    end if;
end
$$;
comment on function outbox.request_settle(text, bigint, bigint, bigint, text, jsonb) is 'outboxd: how far a request is';

-- The same for a paused topic; returns its number from now on, NULL: there is none of this number. The two largest numbers as progress: all up to to_seq is published, and the next attempt goes up to
-- `new_to`; and the largest: all of it, and its events take part in the stream again.
create function outbox.topic_settle(relay text, number bigint, progress bigint, new_to bigint, error text, message text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    now_number bigint;
begin
    -- What the stream had held before the topic was paused, and this attempt has published: what it has held itself is at to_seq.
    delete from outbox.held_event h
     using outbox.paused_topic t join outbox.dead_letter l on l.relay = t.relay and l.topic = t.topic
     where t.relay = topic_settle.relay and t.number = topic_settle.number and h.relay = l.relay and h.hold = l.hold
       and h.tick > t.from_seq and h.tick < t.to_seq and h.event_id <= progress;
    if progress = 9223372036854775807 then
        delete from outbox.paused_topic t where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
    elsif progress = 9223372036854775806 then
        update outbox.paused_topic t
           set from_seq = t.to_seq, to_seq = coalesce(topic_settle.new_to, t.to_seq), after_id = 0,
               number = nextval('outbox.side_number'), last_at = clock_timestamp()
         where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
    else
        update outbox.paused_topic t
           set after_id = greatest(t.after_id, progress), last_at = clock_timestamp(),
               attempts = t.attempts + case when topic_settle.error is null then 0 else 1 end,
               error = coalesce(topic_settle.error, t.error), message = coalesce(topic_settle.message, t.message)
         where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
    end if;
    return now_number;
end
$$;
comment on function outbox.topic_settle(text, bigint, bigint, bigint, text, text) is 'outboxd: how far a paused topic is';

-- What Kafka says of either: in exactly once it knows first.
create function outbox.side_apply(relay text, number bigint, progress bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from outbox.paused_topic t where t.relay = side_apply.relay and t.number = side_apply.number) then
        perform outbox.topic_settle(side_apply.relay, side_apply.number, side_apply.progress, null, null, null);
    else
        perform outbox.request_settle(side_apply.relay, side_apply.number, side_apply.progress, 0,
                                      case when progress = 9223372036854775807 then 'done' end, null);
    end if;
end
$$;
comment on function outbox.side_apply(text, bigint, bigint) is 'outboxd: how far side work is, by the position in Kafka';

revoke all on all functions in schema outbox from public;
