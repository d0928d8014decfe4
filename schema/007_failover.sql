-- 007_failover.sql: what was published before this database lost it: a promoted standby, a restored backup or dump. The id sequence is
-- moved past ids that consumers know, and `outboxd rebase --position` passes over what Kafka has. Run by `outboxd migrate` as the
-- owner, inside one transaction; who may do what is granted by grant.sql. Binaries made for the versions before go on
-- (readable_since stays 1); only their `rebase --position` does not.

-- Moves the id sequence to `id` at least, never back, without a lock: it draws the numbers in between, as writers do at the same time.
-- Returns its value. For a relay that finds a promoted standby behind what it has published itself.
create function outbox.sequence_pass(id bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    value bigint := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
begin
    if sequence_pass.id - value > 10000000 then    -- some ten seconds
        raise exception 'the id sequence is at %, too far below %', value, sequence_pass.id
            using errcode = 'object_not_in_prerequisite_state',
                  hint = format('select setval(''outbox.event_id_seq'', %s), before writers are let in', sequence_pass.id);
    end if;
    while value < sequence_pass.id loop
        value := nextval('outbox.event_id_seq');
    end loop;
    return value;
end
$$;
comment on function outbox.sequence_pass(bigint) is 'outboxd: moves the id sequence past a published id, never back';

-- ---- rebase: the owner's alone -----------------------------------------------------------------------------------
-- Events that are in Kafka although the journal of their relay does not say so. Empty but within the transaction of rebase_position.
create table outbox.published (
    relay text   not null,
    id    bigint not null,                                        -- outbox.event.id
    primary key (id, relay)
);
comment on table outbox.published is 'outboxd: what a rebase has found in Kafka, while it works';

-- Events have ids above those that this row has read, and transaction numbers that its snapshot shows, so that they would be passed over:
-- the numbers were set back (pg_resetwal), and went on again. The first and the last of them are looked at.
create function outbox.rebase_numbers_back(j outbox.journal) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select exists (select from (select e.xid from outbox.event e where e.id > (j).hi_id order by e.id limit 100) f
                    where pg_visible_in_snapshot(f.xid, (j).snapshot))
        or exists (select from (select e.xid from outbox.event e where e.id > (j).hi_id order by e.id desc limit 100) f
                    where pg_visible_in_snapshot(f.xid, (j).snapshot))
$$;

-- As in version 2, and wrong can be 'numbers': they were set back, and mean as much as another cluster's.
create or replace function outbox.rebase_look(same_xids boolean)
returns table (relay text, mask bigint, wrong text, same boolean, last outbox.journal, confirmed outbox.journal,
               partly outbox.journal, seen outbox.journal)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select r.name, 1::bigint << (row_number() over (order by r.name) - 1)::integer,
           case when c.seq is null then 'no journal'
                when ((n.last).sysid, (n.last).dbid) <> (here.sysid, here.dbid) then 'elsewhere'
                when (n.last).seq - (n.last).confirmed_seq + 1 <> (select count(*) from outbox.journal j
                        where j.relay = r.name and j.seq >= (n.last).confirmed_seq) then 'gaps'
                when b.back then 'numbers' end,
           same_xids or coalesce((n.last).sysid = here.sysid and not b.back, true), n.last, c, p, s.seen
      from outbox.relay r cross join outbox.place() here
      left join lateral (select j as last from outbox.journal j where j.relay = r.name order by j.seq desc limit 1) n on true
      left join outbox.journal c on c.relay = r.name and c.seq = (n.last).confirmed_seq
      left join outbox.journal p on p.relay = r.name and p.seq = (n.last).confirmed_seq + 1
                                and (n.last).confirmed_id is not null
      left join lateral (select j as seen from outbox.journal j where j.relay = r.name and j.lo_id <= j.hi_id
                          order by j.seq desc limit 1) s on true
     cross join lateral (select coalesce((n.last).sysid = here.sysid and outbox.rebase_numbers_back(n.last), false) as back) b
     where r.retired_at is null
$$;

-- An event that the stream has passed over because its topic is paused, and that is not published yet. (A missing row covers nothing.)
create function outbox.rebase_waits(relay text, same boolean, topic text, xid xid8, id bigint, created_at timestamptz) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from outbox.paused_topic t
          left join outbox.journal f on f.relay = t.relay and f.seq = t.from_seq
          left join outbox.journal u on u.relay = t.relay and u.seq = t.to_seq
         where t.relay = rebase_waits.relay and t.topic = rebase_waits.topic
           and not outbox.rebase_covers(f, same, xid, id, created_at)
           and not (rebase_waits.id <= t.after_id and outbox.rebase_covers(u, same, xid, id, created_at)))
       and not exists (select from outbox.held_event h where h.relay = rebase_waits.relay and h.event_id = rebase_waits.id)
       and not exists (select from outbox.dead_letter d where d.relay = rebase_waits.relay and d.event_id = rebase_waits.id)
$$;

-- As in version 2, but what is published is not unconfirmed, and not new; and what waits for its topic is. (Not an anti-join, which would read the table for each event.)
create or replace function outbox.rebase_unconfirmed() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(sum(l.mask), 0)::bigint from look l
              where (not outbox.rebase_covers(l.confirmed, l.same, e.xid, e.id, e.created_at)
                     and not (coalesce(e.id <= (l.last).confirmed_id, false)
                              and outbox.rebase_covers(l.partly, l.same, e.xid, e.id, e.created_at))
                     or outbox.rebase_waits(l.relay, l.same, e.topic, e.xid, e.id, e.created_at))
                and (select p.id from outbox.published p where p.id = e.id and p.relay = l.relay) is null)'
$$;
create or replace function outbox.rebase_new() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(bool_and(not outbox.rebase_covers(l.seen, l.same, e.xid, e.id, e.created_at)), false)
                    and (select count(*) from outbox.published p where p.id = e.id) = 0
               from look l where (l.seen).seq is not null)'
$$;

-- No event with a lower number is unconfirmed, by this relay or (NULL) by any.
create function outbox.rebase_oldest(same_xids boolean, relay text) returns xid8
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with look as materialized (
        select l.same, l.confirmed, (select min(t.from_seq) from outbox.paused_topic t where t.relay = l.relay) as from_seq, l.relay
          from outbox.rebase_look(same_xids) l where l.relay = rebase_oldest.relay or rebase_oldest.relay is null),
    edge as materialized (
        select l.same, case when l.from_seq is null then (l.confirmed).snapshot else f.snapshot end as snapshot
          from look l left join outbox.journal f on f.relay = l.relay and f.seq = l.from_seq)
    select case when (select bool_and(e.same and e.snapshot is not null) from edge e)
                then (select pg_snapshot_xmin(e.snapshot) from edge e order by 1 limit 1)
                else '0' end
$$;

-- As in version 2. `reused`: the first id that consumers know as that of another event. collided: a new event has it or a larger one; so
-- all that are new get others from there on, above `known`, in the order of those they have.
drop function outbox.rebase_plan(boolean);
create function outbox.rebase_plan(same_xids boolean, known bigint default 0, reused bigint default null,
                                   out needed boolean, out moved boolean, out set_back boolean, out collided boolean,
                                   out highest bigint, out oldest xid8, out masks bigint[], out events bigint[], out renumbered bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp
    set jit = off
as $$
declare
    -- events of another cluster, which in this one have not happened yet
    ahead boolean := exists (select from outbox.event e where e.xid >= pg_snapshot_xmax(pg_current_snapshot()));
begin
    if (select count(*) > 60 from outbox.relay r where r.retired_at is null) then
        raise exception 'more than 60 relays' using errcode = 'program_limit_exceeded';
    end if;
    if same_xids and (ahead or exists (select from outbox.rebase_look(true) l
                                        where (l.last).w >= pg_snapshot_xmax(pg_current_snapshot()))) then
        raise exception 'the outbox has transaction numbers that this cluster has not reached: they are another cluster''s'
            using errcode = 'object_not_in_prerequisite_state', hint = 'leave out --same-xids';
    end if;
    select coalesce(max(greatest((l.last).hi_id, (l.last).lo_id, (l.last).confirmed_id, (l.seen).hi_id)), 0) into highest
      from outbox.rebase_look(same_xids) l;
    highest := greatest(highest, (select e.id from outbox.event e order by e.id desc limit 1));
    set_back := highest > coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0)
        or exists (select from outbox.rebase_look(same_xids) l
                     join outbox.event e on e.xid >= (l.seen).w and e.id <= (l.seen).lo_id where l.same)
        or exists (select from outbox.rebase_look(same_xids) l
                     join outbox.event e on e.created_at > (l.seen).written_at and e.id <= (l.seen).lo_id where not l.same);
    highest := greatest(highest, known);
    oldest := outbox.rebase_oldest(same_xids, null);
    execute format('with look as materialized (select * from outbox.rebase_look($1))
                    select exists (select from outbox.event e where e.xid >= $2 and e.id >= $3 and %s)', outbox.rebase_new())
       into collided using same_xids, oldest, reused;
    select set_back or collided or ahead or found.there or coalesce(bool_or(l.wrong is not null), false),
           not set_back and not collided and not ahead and not found.there
               and coalesce(bool_and(l.wrong is null or l.wrong = 'elsewhere' and l.same), true)
      into needed, moved
      from (select exists (select from outbox.published) as there) found left join outbox.rebase_look(same_xids) l on true
     group by found.there;
    execute format('with look as materialized (select * from outbox.rebase_look($1)),
                         counted as (select %s as mask, %s and ($3 or e.id >= $4) as new from outbox.event e where e.xid >= $2),
                         summed as (select mask, count(*) as events, count(*) filter (where new) as new
                                      from counted where mask <> 0 group by mask)
                    select coalesce(array_agg(mask order by mask), ''{}''), coalesce(array_agg(events order by mask), ''{}''),
                           coalesce(sum(new), 0) from summed',
                   outbox.rebase_unconfirmed(), outbox.rebase_new())
       into masks, events, renumbered using same_xids, oldest, set_back, reused;
end
$$;
comment on function outbox.rebase_plan(boolean, bigint, bigint) is 'outboxd: what a rebase would do';

-- As in version 2, with `known` and `reused` as above. And a relay that delivers exactly once goes on to do so: what its journal has seen in Kafka
-- stays, by which it knows its position there, and whether that has been further.
drop function outbox.rebase(boolean);
create function outbox.rebase(same_xids boolean, known bigint default 0, reused bigint default null,
                              out needed boolean, out moved boolean, out set_back boolean, out collided boolean,
                              out highest bigint, out oldest xid8, out masks bigint[], out events bigint[], out renumbered bigint)
language plpgsql set search_path = pg_catalog, pg_temp
    set jit = off
as $$
declare
    labels xid8[];
    place record;
    lo bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.rebase needs read committed: it must see what was committed before its locks'
            using errcode = 'invalid_transaction_state';
    end if;
    -- writers wait from the last one on
    lock table outbox.relay, outbox.journal, outbox.event in share row exclusive mode;
    select * into needed, moved, set_back, collided, highest, oldest, masks, events, renumbered
      from outbox.rebase_plan(same_xids, known, reused);
    if known > coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0) then
        perform setval('outbox.event_id_seq', known);
    end if;
    if moved then
        insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id, released,
                                    sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)
        select l.relay, (l.last).seq + 1, (l.last).epoch + 1, 'rebase', (l.last).snapshot, (l.last).w, (l.last).lo_id,
               (l.last).hi_id, (l.last).confirmed_seq, (l.last).confirmed_id, true, here.sysid, here.timeline, here.dbid,
               ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
               (l.last).exact_seq, (l.last).exact_id, (l.last).exact_nonce
          from outbox.rebase_look(same_xids) l cross join outbox.place() here where l.wrong is not null;
    end if;
    if moved or not needed then
        return;
    end if;

    -- One number for each set of relays that have not confirmed an event: numbers of transactions that made this cluster,
    -- older than any that runs, and in use by no event. In the rows below they are listed as unseen.
    labels := array(select x.label from (select i::text::xid8 as label from generate_series(4, 400) i) x
                     where x.label < pg_snapshot_xmin(pg_current_snapshot())
                       and not exists (select from outbox.event e where e.xid = x.label)
                     order by x.label limit cardinality(masks));
    if cardinality(labels) < cardinality(masks) then
        raise exception 'too many sets of relays have unconfirmed events' using errcode = 'program_limit_exceeded';
    end if;
    -- New ids in the order in which the events were inserted, which ids do not tell after a sequence was set back.
    if set_back or collided then
        perform setval('outbox.event_id_seq', greatest(highest, pg_sequence_last_value('outbox.event_id_seq')));
        for place in execute format('with look as materialized (select * from outbox.rebase_look($1))
                                     select e.slot, e.ctid as row_id from outbox.event e
                                      where e.xid >= $2 and %s and ($3 or e.id >= $4)
                                      order by case when $3 then e.created_at end, e.id', outbox.rebase_new())
                       using same_xids, oldest, set_back, reused
        loop
            update outbox.event e set id = default where e.slot = place.slot and e.ctid = place.row_id;
        end loop;
    end if;
    -- 3: seen by everybody, for events that are confirmed and whose number says otherwise.
    execute format('with look as materialized (select * from outbox.rebase_look($1))
                    update outbox.event e set xid = coalesce($3[array_position($4, %1$s)], ''3'')
                     where e.xid >= $2 and (e.xid >= (select pg_snapshot_xmin(pg_current_snapshot())) or %1$s <> 0
                                            or exists (select from outbox.published p where p.id = e.id))',
                   outbox.rebase_unconfirmed())
      using same_xids, oldest, labels, masks;

    -- Their events are among the unconfirmed ones now; a topic that still takes nothing is paused again.
    delete from outbox.paused_topic t using outbox.rebase_look(same_xids) l where t.relay = l.relay;

    -- Nobody inserts an event before this commits: every later one has an id above lo.
    lo := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, released,
                                sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)
    select l.relay, coalesce((l.last).seq + 1, 0),
           coalesce((l.last).epoch + 1, extract(epoch from now())::bigint),    -- no journal: above whatever it was
           'rebase', (coalesce(unseen.xids[1], pg_snapshot_xmin(here_and_now)) || ':' || pg_snapshot_xmax(here_and_now) || ':'
                      || array_to_string(unseen.xids, ','))::pg_snapshot,
           pg_snapshot_xmax(here_and_now), lo, lo, coalesce((l.last).seq + 1, 0), true,
           here.sysid, here.timeline, here.dbid,
           ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
           (l.last).exact_seq, (l.last).exact_id, (l.last).exact_nonce
      from outbox.rebase_look(same_xids) l cross join outbox.place() here cross join pg_current_snapshot() here_and_now
     cross join lateral (select array(select labels[i] from generate_subscripts(masks, 1) i where masks[i] & l.mask <> 0
                                      union all select pg_snapshot_xip(here_and_now) order by 1) as xids) unseen;
end
$$;
comment on function outbox.rebase(boolean, bigint, bigint) is 'outboxd: says anew what each relay has confirmed, in this database''s numbers';

-- ---- what Kafka has ----------------------------------------------------------------------------------------------
-- `outboxd rebase` reads the records of the relay's topics into pg_temp.outboxd_record (id, topic, partition, at, created_at, appended,
-- key, payload), and calls these functions in the same session.

-- Which records are events of this database? An id alone does not tell: after a failover it is given again. The time is that of the
-- event; where the topic keeps the broker's (`appended`), the bytes are compared. Leaves pg_temp.outboxd_published (id): events that are
-- in Kafka; and pg_temp.outboxd_phantom: records without an event. reused: the database gave the id to another one. A record older than
-- the retention may be of an event that was emptied, unless its id was never given out here: `untold` are neither.
create function outbox.rebase_judge(out records bigint, out published bigint, out phantoms bigint, out reused bigint,
                                    out untold bigint, out highest bigint, out sequence bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    horizon timestamptz := clock_timestamp() - (select max(r.retention) from outbox.relay r where r.retired_at is null);
begin
    analyze pg_temp.outboxd_record;
    sequence := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
    create temporary table outboxd_published as
        select distinct k.id from pg_temp.outboxd_record k join outbox.event e on e.id = k.id and e.topic = k.topic
         where case when k.appended then e.key is not distinct from k.key and e.payload is not distinct from k.payload
                    else date_trunc('milliseconds', e.created_at) = k.created_at end;
    create temporary table outboxd_phantom as
        select k.id, k.topic, k.partition, k.at, k.created_at, k.id > sequence or k.created_at >= horizon as certain,
               exists (select from outbox.event e where e.id = k.id) as reused
          from pg_temp.outboxd_record k
          left join outbox.event e on e.id = k.id and e.topic = k.topic
               and case when k.appended then e.key is not distinct from k.key and e.payload is not distinct from k.payload
                        else date_trunc('milliseconds', e.created_at) = k.created_at end
         where e.id is null;
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
comment on function outbox.rebase_judge() is 'outboxd: compares what was read from Kafka with the events';

-- Since when Kafka may have what this database does not know: since the last row of the journal that says what is confirmed was written,
-- or the oldest event that it does not cover; or (`fork`) since the last row of an older timeline. NULL: the journal has none.
create function outbox.rebase_since(relay text, fork boolean) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
    set jit = off
as $$
declare
    since timestamptz;
begin
    if fork then
        return (select max(j.written_at) from outbox.journal j cross join outbox.place() here
                 where j.relay = rebase_since.relay and j.timeline < here.timeline);
    end if;
    execute format('with look as materialized (select * from outbox.rebase_look(false) l where l.relay = $1)
                    select least((select (l.confirmed).written_at from look l),
                                 (select min(e.created_at) from outbox.event e where e.xid >= $2 and %s <> 0))',
                   outbox.rebase_unconfirmed()) into since using relay, outbox.rebase_oldest(false, relay);
    return since;
end
$$;

-- What a row of the journal says of Kafka: another leader changes it when it publishes, and not before.
create function outbox.rebase_seen(j outbox.journal) returns text language sql immutable
as $$ select concat_ws(':', (j).confirmed_seq, coalesce((j).confirmed_id, 0), (j).exact_seq, (j).exact_id) $$;

-- The operator's decision when Postgres and Kafka disagree: the journal of this relay is the truth, and whoever leads next writes its
-- position to Kafka anew, whatever the position topic says: exact_seq = -1. But what Kafka has (common: up to this position, which both
-- know; and pg_temp.outboxd_published) is confirmed from now on, and new events get ids above `known`. `seen` is the newest row as the
-- caller saw it before it asked Kafka. done is false when there is no such relay; passed_over: events that Kafka has in ticks that the
-- journal does not know there; renumbered: as rebase says.
drop function outbox.rebase_position(text);
create function outbox.rebase_position(relay text, seen text, common_seq bigint, common_id bigint, known bigint,
                                       out done boolean, out passed_over bigint, out renumbered bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    n outbox.journal;
    beyond boolean;
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
    beyond := (common_seq, common_id) > (n.confirmed_seq, coalesce(n.confirmed_id, 0));
    -- as a leader releases it; its epoch ends one that is at work
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id, released,
                                sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)
    values (n.relay, n.seq + 1, n.epoch + 1, 'rebase', n.snapshot, n.w, n.lo_id, n.hi_id,
            case when beyond then common_seq else n.confirmed_seq end,
            case when beyond then nullif(common_id, 0) else n.confirmed_id end, true, n.sysid, n.timeline, n.dbid,
            ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint, -1, 0, 0);
    execute format('with look as materialized (select * from outbox.rebase_look(false) l where l.relay = $1)
                    insert into outbox.published
                    select $1, e.id from pg_temp.outboxd_published p join outbox.event e on e.id = p.id
                     where e.xid >= $2 and %s <> 0', outbox.rebase_unconfirmed()) using relay, outbox.rebase_oldest(false, relay);
    get diagnostics passed_over = row_count;
    analyze outbox.published;
    select r.renumbered into renumbered
      from outbox.rebase(false, known, (select min(e.id) from pg_temp.outboxd_phantom p join outbox.event e on e.id = p.id)) r;
    delete from outbox.published p where p.relay = rebase_position.relay;
end
$$;
comment on function outbox.rebase_position(text, text, bigint, bigint, bigint) is
    'outboxd: the journal of this relay is the truth, but for what Kafka has';

-- Functions are open to everybody unless said otherwise; grant.sql opens them to relays.
revoke all on all functions in schema outbox from public;
