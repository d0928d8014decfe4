-- 013_found.sql: what Kafka has of work beside the stream that this database has lost or did not count. Run by `outboxd migrate` as the owner,
-- inside one transaction; who may do what is granted by grant.sql. Binaries made for the versions before go on (readable_since stays 1);
-- only their `rebase --position` does not, and they cannot read the position of a relay that has delivered exactly once with this version.

-- Events were published for it that nobody counted: its leader died between Kafka's commit and the database's. `events` are so many at least.
alter table outbox.request add uncounted boolean not null default false;

-- As in version 5, but it says that it cannot count.
create or replace function outbox.side_apply(relay text, number bigint, progress bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from outbox.paused_topic t where t.relay = side_apply.relay and t.number = side_apply.number) then
        perform outbox.topic_settle(side_apply.relay, side_apply.number, side_apply.progress, null, null, null);
    else
        update outbox.request r set uncounted = true
         where r.relay = side_apply.relay and r.number = side_apply.number and r.done_at is null and r.kind <> 'copy'
           and side_apply.progress not in (r.progress, coalesce(r.freed_id, -1));
        perform outbox.request_settle(side_apply.relay, side_apply.number, side_apply.progress, 0,
                                      case when progress = 9223372036854775807 then 'done' end, null);
    end if;
end
$$;

-- What the other relays that deliver exactly once have said of Kafka: it changes when one of them publishes.
create function outbox.rebase_others(relay text) returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select md5(coalesce(string_agg(outbox.rebase_seen(n.last), ' ' order by r.name), ''))
      from outbox.relay r
     cross join lateral (select j as last from outbox.journal j where j.relay = r.name order by j.seq desc limit 1) n
     where r.name <> rebase_others.relay and r.retired_at is null and (n.last).exact_seq is not null
$$;

-- As in version 7, but a dead letter is an event of this database also when its slot was emptied.
create or replace function outbox.rebase_judge(out records bigint, out published bigint, out phantoms bigint, out reused bigint,
                                    out untold bigint, out highest bigint, out sequence bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    horizon timestamptz := clock_timestamp() - (select max(r.retention) from outbox.relay r where r.retired_at is null);
begin
    analyze pg_temp.outboxd_record;
    sequence := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
    create temporary table outboxd_phantom as
        select k.id, k.topic, k.partition, k.at, k.created_at, k.id > sequence or k.created_at >= horizon as certain,
               exists (select from outbox.event e where e.id = k.id) as reused
          from pg_temp.outboxd_record k
          left join outbox.event e on e.id = k.id and e.topic = k.topic
               and case when k.appended then e.key is not distinct from k.key and e.payload is not distinct from k.payload
                        else date_trunc('milliseconds', e.created_at) = k.created_at end
          left join outbox.dead_letter l on l.event_id = k.id and l.topic = k.topic
               and case when k.appended then l.key is not distinct from k.key and l.payload is not distinct from k.payload
                        else date_trunc('milliseconds', l.created_at) = k.created_at end
         where e.id is null and l.event_id is null;
    create temporary table outboxd_published as
        select distinct k.id from pg_temp.outboxd_record k
         where not exists (select from pg_temp.outboxd_phantom p
                            where p.id = k.id and p.topic = k.topic and p.partition = k.partition and p.at = k.at);
    analyze pg_temp.outboxd_published;
    select count(*), coalesce(max(k.id), 0) into records, highest from pg_temp.outboxd_record k;
    select count(*) into published from pg_temp.outboxd_published;
    select count(distinct p.id) filter (where p.certain or p.reused), count(distinct p.id) filter (where p.reused),
           count(distinct p.id) filter (where not p.certain and not p.reused) into phantoms, reused, untold
      from pg_temp.outboxd_phantom p;
    delete from pg_temp.outboxd_phantom p where not p.certain and not p.reused;
    create unique index on pg_temp.outboxd_published (id);
    create index on pg_temp.outboxd_phantom (id);
end
$$;

-- Which topics are to be read back, and since when: what a retry has published has the time of its events, which may be far before all that is not
-- confirmed. (NULL: since then.) relay: NULL: nobody decides, and what is put aside is no matter.
create function outbox.rebase_topics(relay text) returns table (topic text, since timestamptz)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with aside as materialized (
        select a.topic, min(a.created_at) as since
          from (select l.topic, l.created_at from outbox.dead_letter l where l.relay = rebase_topics.relay
                union all
                select e.topic, e.created_at from outbox.held_event h join outbox.event e on e.id = h.event_id
                 where h.relay = rebase_topics.relay) a
         group by a.topic)
    select t.topic, a.since from (select distinct e.topic from outbox.event e union select a.topic from aside a) t
      left join aside a on a.topic = t.topic order by t.topic
$$;

-- Dead letters of this relay, and events held behind them, that are in Kafka (pg_temp.outboxd_published): a retry has published them, and this
-- database has not heard of it. What is held is held no more, and what was held before it neither, which was published in front of it and is not
-- shown any more; and the retry goes on, or has ended. Returns how many events these were.
create function outbox.rebase_retried(relay text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    letter record;
    asked bigint;
    freed bigint;
    found_letters bigint := 0;
    waits boolean;
begin
    delete from outbox.held_event h using (
        select distinct on (f.hold) f.hold, f.tick, f.event_id from outbox.held_event f join pg_temp.outboxd_published p on p.id = f.event_id
         where f.relay = rebase_retried.relay order by f.hold, f.tick desc, f.event_id desc) upto
     where h.relay = rebase_retried.relay and h.hold = upto.hold and (h.tick, h.event_id) <= (upto.tick, upto.event_id);
    get diagnostics freed = row_count;
    for letter in select l.event_id, l.tick, l.hold from outbox.dead_letter l join pg_temp.outboxd_published p on p.id = l.event_id
                   where l.relay = rebase_retried.relay order by l.tick, l.event_id
    loop
        select r.number into asked from outbox.request r
         where r.relay = rebase_retried.relay and r.event_id = letter.event_id and r.done_at is null and r.kind in ('retry', 'discard');
        if not found then
            insert into outbox.request as r (relay, kind, event_id) values (rebase_retried.relay, 'retry', letter.event_id)
            returning r.number into asked;
        end if;
        update outbox.request r set uncounted = true where r.relay = rebase_retried.relay and r.number = asked;
        -- (up to the next letter of its hold)
        waits := exists (
            select from outbox.held_event h
              left join lateral (select b.tick, b.event_id from outbox.dead_letter b
                                  where b.relay = h.relay and b.hold = h.hold and (b.tick, b.event_id) > (letter.tick, letter.event_id)
                                  order by b.tick, b.event_id limit 1) n on true
             where h.relay = rebase_retried.relay and h.hold = letter.hold
               and (h.tick, h.event_id) < (coalesce(n.tick, 9223372036854775807), coalesce(n.event_id, 9223372036854775807)));
        perform outbox.request_settle(rebase_retried.relay, asked, case when waits then letter.event_id else 9223372036854775807 end, 0,
                                      case when not waits then 'done' end, null);
        found_letters := found_letters + 1;
    end loop;
    return freed + found_letters;
end
$$;

-- As in version 7, but `others` is what rebase_others() said then: all relays go on from a new row when events get new numbers, and one at work would
-- have more in Kafka than that row says. And what was retried is retried no more.
drop function outbox.rebase_position(text, text, bigint, bigint, bigint);
create function outbox.rebase_position(relay text, seen text, others text, common_seq bigint, common_id bigint, known bigint,
                                       out done boolean, out passed_over bigint, out renumbered bigint, out retried bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    n outbox.journal;
    beyond boolean;
    now_others text;
    anew record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.rebase_position needs read committed: it must see what was committed before its locks'
            using errcode = 'invalid_transaction_state';
    end if;
    lock table outbox.relay, outbox.journal, outbox.event in share row exclusive mode;    -- as in rebase
    select j.* into n from outbox.relay r join outbox.journal j on j.relay = r.name
     where r.name = rebase_position.relay and r.retired_at is null order by j.seq desc limit 1;
    done := n.seq is not null;
    if not done then
        return;
    end if;
    if outbox.rebase_seen(n) <> seen then
        raise exception 'relay "%" is at work', relay
            using errcode = 'object_in_use', hint = 'stop all its processes, then again';
    end if;
    now_others := outbox.rebase_others(relay);
    beyond := (common_seq, common_id) > (n.confirmed_seq, coalesce(n.confirmed_id, 0));
    -- as a leader releases it; its epoch ends one that is at work
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id, released,
                                sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)
    values (n.relay, n.seq + 1, n.epoch + 1, 'rebase', n.snapshot, n.w, n.lo_id, n.hi_id,
            case when beyond then common_seq else n.confirmed_seq end,
            case when beyond then nullif(common_id, 0) else n.confirmed_id end, true, n.sysid, n.timeline, n.dbid,
            ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint, -1, 0, 0);
    retried := outbox.rebase_retried(relay);
    execute format('with look as materialized (select * from outbox.rebase_look(false) l where l.relay = $1)
                    insert into outbox.published
                    select $1, e.id from pg_temp.outboxd_published p join outbox.event e on e.id = p.id
                     where e.xid >= $2 and %s <> 0', outbox.rebase_unconfirmed()) using relay, outbox.rebase_oldest(false, relay);
    get diagnostics passed_over = row_count;
    analyze outbox.published;
    select * into anew
      from outbox.rebase(false, known, (select min(e.id) from pg_temp.outboxd_phantom p join outbox.event e on e.id = p.id));
    if anew.needed and not anew.moved and now_others <> others then
        raise exception 'another relay of this database, which delivers exactly once, is at work'
            using errcode = 'object_in_use', hint = 'stop all processes of all relays, then again';
    end if;
    renumbered := anew.renumbered;
    delete from outbox.published p where p.relay = rebase_position.relay;
end
$$;
comment on function outbox.rebase_position(text, text, text, bigint, bigint, bigint) is
    'outboxd: the journal of this relay is the truth, but for what Kafka has';

revoke all on all functions in schema outbox from public;
