-- 011_settling.sql: how requests and paused topics end, two dead letters of one key, and what a rebase takes for waiting elsewhere. Run by
-- `outboxd migrate` as the owner, inside one transaction; who may do what is granted by grant.sql. Functions only; binaries made for the
-- versions before go on (readable_since stays 1).

-- Several dead letters may share a hold: what was published once may be refused when it is sent again, in front of a dead letter of its key. They
-- are retried and discarded in the order of the stream, each with what waits up to the next one.

-- As in version 9, but for the place of dead letters behind one that joins their hold.
create or replace function outbox.put_aside(relay text, aside jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    joined record;
    missing bigint;
    written bigint;
begin
    insert into outbox.dead_letter as l (relay, event_id, tick, hold, topic, key, payload, headers, created_at, error, message)
    select put_aside.relay, e.id, d.tick, d.hold, e.topic, e.key, e.payload, e.headers, e.created_at, d.error, d.message
      from jsonb_to_recordset(aside -> 'dead') d(id bigint, tick bigint, hold bigint, error text, message text)
      join outbox.event e on e.id = d.id
    on conflict on constraint dead_letter_pkey do update
       set tick = excluded.tick, hold = coalesce(excluded.hold, l.hold), attempts = l.attempts + 1, last_at = clock_timestamp(), error = excluded.error, message = excluded.message;
    -- One that joins a hold stands before those of it that have later ids, and a topic that catches up comes to all of them in one tick.
    for joined in select d.* from jsonb_to_recordset(aside -> 'dead') d(id bigint, tick bigint, hold bigint) where d.hold <> d.id loop
        update outbox.dead_letter l set tick = joined.tick
         where l.relay = put_aside.relay and l.hold = joined.hold and l.event_id > joined.id and l.tick < joined.tick;
    end loop;
    select d.id into missing from jsonb_to_recordset(aside -> 'dead') d(id bigint)
     where not exists (select from outbox.dead_letter l where l.relay = put_aside.relay and l.event_id = d.id) limit 1;
    if missing is not null then
        perform outbox.event_is_missing(relay, missing);
    end if;
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
    get diagnostics written = row_count;
    if written < jsonb_array_length(aside -> 'held') then    -- some were there, or are nowhere
        select (h ->> 0)::bigint into missing from jsonb_array_elements(aside -> 'held') h
         where not exists (select from outbox.held_event o where o.relay = put_aside.relay and o.event_id = (h ->> 0)::bigint)
           and not exists (select from outbox.dead_letter l where l.relay = put_aside.relay and l.event_id = (h ->> 0)::bigint) limit 1;
        if missing is not null then
            perform outbox.event_is_missing(relay, missing);
        end if;
    end if;
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

-- As in version 9, but for the copy, and for the next dead letter of the hold. `refused`: {"id", "error", "message", "copy"} of the event that
-- Kafka did not take; copy: one is asked for of what is a dead letter by that.
create or replace function outbox.request_settle(relay text, number bigint, progress bigint, events bigint, outcome text, refused jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    request outbox.request;
    letter outbox.dead_letter;
    next record;
    upto bigint;
    after_tick bigint := -9223372036854775808;
    after_id bigint := 0;
    refused_id bigint := (refused ->> 'id')::bigint;
    whole boolean := progress = 9223372036854775807;
begin
    select * into request from outbox.request r
     where r.relay = request_settle.relay and r.number = request_settle.number and r.done_at is null for update;
    if not found then
        return;
    end if;
    if request.kind in ('retry', 'discard') then
        select * into letter from outbox.dead_letter l where l.relay = request.relay and l.event_id = request.event_id for update;
        -- (without the hold: by the primary key)
        select case when h.hold = letter.hold then h.tick end into upto from outbox.held_event h
         where h.relay = request.relay and h.event_id = request_settle.progress;
    end if;
    update outbox.request r
       set progress = case when whole then r.progress else greatest(r.progress, request_settle.progress) end,
           events = r.events + request_settle.events,
           refused = r.refused + case when r.kind = 'replay' and refused_id is not null then 1 else 0 end,
           done_at = case when request_settle.outcome is not null then clock_timestamp() end, outcome = request_settle.outcome,
           freed_tick = coalesce(upto, r.freed_tick), freed_id = case when upto is null then r.freed_id else request_settle.progress end
     where r.relay = request.relay and r.number = request.number;
    if letter.event_id is null then
        return;
    end if;

    -- What was published waits no more.
    if whole then
        select l.tick, l.event_id into next from outbox.dead_letter l
         where l.relay = letter.relay and l.hold = letter.hold and (l.tick, l.event_id) > (letter.tick, letter.event_id)
         order by l.tick, l.event_id limit 1;
        delete from outbox.held_event h
         where h.relay = letter.relay and h.hold = letter.hold
           and (h.tick, h.event_id) < (coalesce(next.tick, 9223372036854775807), coalesce(next.event_id, 9223372036854775807));
    elsif upto is not null then
        if (request.freed_tick, request.freed_id) < (upto, progress) then
            after_tick := request.freed_tick;
            after_id := request.freed_id;
        end if;
        delete from outbox.held_event h
         where h.relay = letter.relay and h.hold = letter.hold
           and (h.tick, h.event_id) > (after_tick, after_id) and (h.tick, h.event_id) <= (upto, request_settle.progress);
    end if;

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
        if found and (refused -> 'copy')::boolean then
            insert into outbox.request (relay, kind, event_id) values (letter.relay, 'copy', refused_id);
        end if;
        if not exists (select from outbox.dead_letter l where l.relay = letter.relay and l.event_id = refused_id) then
            perform outbox.event_is_missing(letter.relay, refused_id);
        end if;
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

-- As in version 9, but an attempt that ends has nothing of what is held any more, and a round places dead letters too.
create or replace function outbox.topic_settle(relay text, number bigint, progress bigint, new_to bigint, error text, message text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    waiting outbox.paused_topic;
    published bigint[];
    now_number bigint;
begin
    select * into waiting from outbox.paused_topic t where t.relay = topic_settle.relay and t.number = topic_settle.number;
    if not found then
        return null;
    end if;
    -- What the stream had held before the topic was paused, and this attempt has published: what it has held itself is at to_seq.
    -- (Nothing is published by the end: the last attempt said so before.)
    published := array(
        select h.event_id from outbox.dead_letter l
         cross join lateral (select h.event_id from outbox.held_event h
                              where h.relay = l.relay and h.hold = l.hold and h.tick > waiting.from_seq and h.tick < waiting.to_seq
                                and h.event_id <= progress offset 0) h
         where progress <> 9223372036854775807 and l.relay = topic_settle.relay and l.topic = waiting.topic and l.hold is not null);
    delete from outbox.held_event h where h.relay = topic_settle.relay and h.event_id = any (published);
    if progress = 9223372036854775807 then
        delete from outbox.paused_topic t where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
    elsif progress = 9223372036854775806 then
        -- Its dead letters stand where what is held behind them stands now, in the tick of the round.
        update outbox.dead_letter l set tick = waiting.to_seq
         where l.relay = topic_settle.relay and l.topic = waiting.topic and l.hold is not null
           and l.tick > waiting.from_seq and l.tick < waiting.to_seq;
        update outbox.paused_topic t
           set from_seq = t.to_seq, to_seq = coalesce(topic_settle.new_to, t.to_seq), after_id = 0,
               number = nextval('outbox.side_number'), last_at = clock_timestamp()
         where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
        update outbox.paused_topic t
           set to_seq = greatest(t.from_seq, (select j.confirmed_seq from outbox.journal j
                                               where j.relay = topic_settle.relay order by j.seq desc limit 1))
         where t.relay = topic_settle.relay and t.number = now_number
           and not exists (select from outbox.journal j where j.relay = t.relay and j.seq = t.to_seq);
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

-- As in version 10, but what is held behind a dead letter is kept for it, like that: in a new tick it would come again behind its retry.
create or replace function outbox.rebase_unconfirmed() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(sum(l.mask), 0)::bigint from look l
              where (not outbox.rebase_covers(l.confirmed, l.same, e.xid, e.id, e.created_at)
                     and not (coalesce(e.id <= (l.last).confirmed_id, false)
                              and outbox.rebase_covers(l.partly, l.same, e.xid, e.id, e.created_at))
                     or outbox.rebase_waits(l.relay, l.same, e.topic, e.xid, e.id, e.created_at))
                and (select p.id from outbox.published p where p.id = e.id and p.relay = l.relay) is null
                and (select d.event_id from outbox.dead_letter d where d.event_id = e.id and d.relay = l.relay) is null
                and (select h.event_id from outbox.held_event h where h.event_id = e.id and h.relay = l.relay) is null)'
$$;

revoke all on all functions in schema outbox from public;
