-- 009_upkeep.sql: dead letters, paused topics and requests may wait for long, and be many: what is kept for them, and looked at for them, is
-- what they need. Run by `outboxd migrate` as the owner, inside one transaction; who may do what is granted by grant.sql. Binaries made for
-- the versions before go on (readable_since stays 1).

-- ---- the journal -------------------------------------------------------------------------------------------------
-- Rows that journal_trim has left behind for a paused topic. Looked for in the journal itself, they would be among the index entries of all
-- that was deleted around them, which stay as long as anybody has an old snapshot.
create table outbox.journal_kept (
    relay text   not null,
    seq   bigint not null,                                        -- outbox.journal.seq
    primary key (relay, seq)
);
comment on table outbox.journal_kept is 'outboxd: rows of the journal that are left for a paused topic';

create index request_done on outbox.request (relay, done_at) where done_at is not null;
create index cancelled_asked on outbox.cancelled (relay, asked_at);

-- As in version 1, but the rows that paused topics name (from_seq, to_seq) stay, and go when they are named no more. And of the requests of the
-- relay those go, a thousand a call, that were done or cancelled thirty days ago, and longer ago than its retention. (Nobody who has locked such
-- a row is waited for.)
create or replace function outbox.journal_trim(relay text, low bigint default 0) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    confirmed record;
    named bigint[];
    keep_from bigint;
    old bigint[];
    done_before timestamptz := clock_timestamp()
        - greatest(interval '30 days', (select r.retention from outbox.relay r where r.name = journal_trim.relay));
begin
    old := array(select r.number from outbox.request r where r.relay = journal_trim.relay and r.done_at < done_before
                  order by r.done_at limit 1000 for update skip locked)
        || array(select r.number from outbox.cancelled c join outbox.request r on r.relay = c.relay and r.number = c.number
                  where c.relay = journal_trim.relay and c.asked_at < done_before
                  order by c.asked_at limit 1000 for update skip locked);
    delete from outbox.cancelled c where c.relay = journal_trim.relay and c.number = any (old);
    delete from outbox.request r where r.relay = journal_trim.relay and r.number = any (old);
    select c.seq, c.written_at into confirmed
      from (select j.confirmed_seq from outbox.journal j
             where j.relay = journal_trim.relay order by j.seq desc limit 1) n
      join outbox.journal c on c.relay = journal_trim.relay and c.seq = n.confirmed_seq;
    if not found then
        return low;
    end if;
    -- after that look: a topic that comes to wait meanwhile names no row below it
    named := array(select unnest(array[t.from_seq, t.to_seq]) from outbox.paused_topic t where t.relay = journal_trim.relay);
    select coalesce(min(o.seq) filter (where o.seq >= confirmed.seq
                                          or o.written_at >= confirmed.written_at - interval '1 hour'),
                    max(o.seq) + 1)
      into keep_from
      from (select j.seq, j.written_at from outbox.journal j
             where j.relay = journal_trim.relay and j.seq >= low and j.seq <= confirmed.seq
             order by j.seq limit 10000) o;
    insert into outbox.journal_kept (relay, seq)
    select j.relay, j.seq from outbox.journal j
     where j.relay = journal_trim.relay and j.seq = any (named) and j.seq < keep_from
    on conflict do nothing;
    delete from outbox.journal j
     where j.relay = journal_trim.relay and j.seq >= low and j.seq < keep_from and j.seq <> all (named);
    keep_from := coalesce(keep_from, low);
    with gone as (
        delete from outbox.journal_kept k
         where k.relay = journal_trim.relay and k.seq < least(keep_from, confirmed.seq) and k.seq <> all (named)
        returning k.seq)
    delete from outbox.journal j using gone where j.relay = journal_trim.relay and j.seq = gone.seq;
    return keep_from;
end
$$;

-- ---- dead letters ------------------------------------------------------------------------------------------------
create index dead_letter_tick on outbox.dead_letter (relay, tick, event_id);    -- in the order of the stream

-- What the leader says of an event in these functions settles it. If there is nothing to keep of it, that must not be in silence.
create function outbox.event_is_missing(relay text, id bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'event % is to be put aside for relay "%", and is not there any more: somebody has deleted it from outbox.event or'
        ' outbox.held_event', id, relay
        using errcode = 'no_data_found', hint = 'started again, the relay goes on without it; see docs/operations.md';
end
$$;

-- As in version 5, but an event that is not there is an error, unless it is put aside already.
create or replace function outbox.put_aside(relay text, aside jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    missing bigint;
    written bigint;
begin
    insert into outbox.dead_letter as l (relay, event_id, tick, hold, topic, key, payload, headers, created_at, error, message)
    select put_aside.relay, e.id, d.tick, d.hold, e.topic, e.key, e.payload, e.headers, e.created_at, d.error, d.message
      from jsonb_to_recordset(aside -> 'dead') d(id bigint, tick bigint, hold bigint, error text, message text)
      join outbox.event e on e.id = d.id
    on conflict on constraint dead_letter_pkey do update
       set tick = excluded.tick, hold = coalesce(excluded.hold, l.hold), attempts = l.attempts + 1, last_at = clock_timestamp(), error = excluded.error, message = excluded.message;
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

-- ---- paused topics -----------------------------------------------------------------------------------------------
create index dead_letter_topic on outbox.dead_letter (relay, topic) where hold is not null;

-- As in version 5, but it looks for held events by the holds of the topic, whatever the planner thinks of that (`offset 0`): a relay may have
-- a hundred thousand of them behind other topics, and this runs for each page of one that catches up. And a binary of that version may name a
-- row that journal_trim has deleted after a long quiet: then the confirmed one stands for it.
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
    published := array(
        select h.event_id from outbox.dead_letter l
         cross join lateral (select h.event_id from outbox.held_event h
                              where h.relay = l.relay and h.hold = l.hold and h.tick > waiting.from_seq and h.tick < waiting.to_seq
                                and h.event_id <= progress offset 0) h
         where l.relay = topic_settle.relay and l.topic = waiting.topic and l.hold is not null);
    delete from outbox.held_event h where h.relay = topic_settle.relay and h.event_id = any (published);
    if progress = 9223372036854775807 then
        delete from outbox.paused_topic t where t.relay = topic_settle.relay and t.number = topic_settle.number
        returning t.number into now_number;
    elsif progress = 9223372036854775806 then
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

-- ---- requests ---------------------------------------------------------------------------------------------------
-- Up to which held event, in the order of the stream, a retry or a discard has freed them. What is behind it is looked for from there on:
-- before it are index entries of all that was deleted, as long as anybody has an old snapshot.
alter table outbox.request add column freed_tick bigint, add column freed_id bigint,
    add constraint request_freed check ((freed_tick is null) = (freed_id is null));

-- As in version 5, but an event that is refused and is not there is an error.
create or replace function outbox.request_settle(relay text, number bigint, progress bigint, events bigint, outcome text, refused jsonb)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    request outbox.request;
    letter outbox.dead_letter;
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
        delete from outbox.held_event h where h.relay = letter.relay and h.hold = letter.hold;
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

revoke all on all functions in schema outbox from public;
