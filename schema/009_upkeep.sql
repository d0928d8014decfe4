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

-- As in version 1, but the rows that paused topics name (from_seq, to_seq) stay, and go when they are named no more.
create or replace function outbox.journal_trim(relay text, low bigint default 0) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    confirmed record;
    named bigint[];
    keep_from bigint;
begin
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

-- As in version 5. A binary of that version may name a row that journal_trim has deleted, after a long quiet: then the confirmed one stands
-- for it.
create or replace function outbox.topic_settle(relay text, number bigint, progress bigint, new_to bigint, error text, message text) returns bigint
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

revoke all on all functions in schema outbox from public;
