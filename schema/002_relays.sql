-- 002_relays.sql: relays are added and retired, and go on in another database than their journals were written in. Run by
-- `outboxd migrate` as the owner, inside one transaction; who may do what is granted by grant.sql. Functions only: the
-- tables of version 1 stay as they are, and binaries made for version 1 go on (readable_since stays 1).

-- This database: where a transaction number means something, as in the last columns of outbox.journal.
create function outbox.place(out sysid bigint, out timeline integer, out dbid oid)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select c.system_identifier,
           -- the file name, because pg_control_checkpoint() shows the old timeline after a promotion
           ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer, d.oid
      from pg_control_system() c, pg_database d
     where d.datname = current_database()
$$;
comment on function outbox.place() is 'outboxd: cluster, timeline and database';

-- Registers a relay, also a retired one anew: 'added', or 'known' when there is a living one of this name. It starts at the
-- beginning (what is still in the outbox) or now: every event committed before is left out, every other one is published,
-- also of a transaction that is open at this moment.
create function outbox.relay_add(name text, source text, topics text[], retention interval, from_now boolean) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    ring record;
    present record;
    elsewhere text;
    lo bigint;
begin
    -- The first row of the journal is a tick like any other: its snapshot must be newer than `lo_id`, which takes a
    -- snapshot for each statement, and older than the row's own number, which nothing before may have assigned.
    if current_setting('transaction_isolation') <> 'read committed' or pg_current_xact_id_if_assigned() is not null then
        raise exception 'outbox.relay_add needs a transaction of its own, in read committed'
            using errcode = 'invalid_transaction_state';
    end if;
    select v.slots, v.slot_width into ring from outbox.schema_version v;
    if relay_add.retention > (ring.slots - 2) * ring.slot_width then
        raise exception 'a retention of % would never empty a slot of this outbox: % slots of % allow at most %',
            relay_add.retention, ring.slots, ring.slot_width, (ring.slots - 2) * ring.slot_width
            using errcode = 'invalid_parameter_value';
    end if;

    -- No slot is emptied from the snapshot on until everybody can see that this relay has not confirmed it. (Neither this
    -- lock nor the next one takes a transaction number, and no writer waits for them.)
    lock table outbox.event in access share mode;
    lock table outbox.relay in share row exclusive mode;
    select r.retired_at is not null as retired into present from outbox.relay r where r.name = relay_add.name;
    if not present.retired then
        return 'known';
    end if;
    select r.name into elsewhere
      from outbox.relay r cross join outbox.place() here
      cross join lateral (select j.sysid, j.dbid from outbox.journal j where j.relay = r.name order by j.seq desc limit 1) n
     where r.retired_at is null and (n.sysid, n.dbid) <> (here.sysid, here.dbid) limit 1;
    if elsewhere is not null then
        raise exception 'the journal of relay "%" was written in another cluster or database', elsewhere
            using errcode = 'object_not_in_prerequisite_state', hint = 'run outboxd rebase first';
    end if;

    -- (pg_sequence_last_value: a plain select may see more than was given out while nextval() writes its log)
    lo := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
    -- A retired name goes on above its last row: nobody who led it before can append again.
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, released,
                                sysid, timeline, dbid, nonce)
    select relay_add.name, coalesce(last.seq + 1, 0), coalesce(last.epoch + 1, 0), 'boot',
           case when from_now then pg_current_snapshot() else '3:3:' end,
           case when from_now then pg_current_xact_id() else '3' end,
           case when from_now then lo else 0 end,
           case when from_now then coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0) else 0 end,
           coalesce(last.seq + 1, 0), true, here.sysid, here.timeline, here.dbid,
           ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
      from outbox.place() here
      left join lateral (select j.seq, j.epoch from outbox.journal j where j.relay = relay_add.name
                          order by j.seq desc limit 1) last on true;
    insert into outbox.relay as r (name, source, topics, retention)
    values (relay_add.name, relay_add.source, relay_add.topics, relay_add.retention)
    on conflict on constraint relay_pkey do update
       set source = excluded.source, topics = excluded.topics, retention = excluded.retention, paused = false,
           created_at = now(), retired_at = null, trouble = null, trouble_at = null;
    return 'added';
end
$$;
comment on function outbox.relay_add(text, text, text[], interval, boolean) is
    'outboxd: registers a relay that starts at the beginning or now; known: there is one of this name';

-- Retires a relay: 'retired', 'unknown', or 'known' when it was retired before. It holds nothing back any more. Its journal
-- shrinks to one row, which belongs to no database, so that nobody takes the lead from it, and whose epoch ends a leader
-- that is at work.
create function outbox.relay_retire(name text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    fence bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.relay_retire needs read committed: its leader goes on appending until it is stopped'
            using errcode = 'invalid_transaction_state';
    end if;
    lock table outbox.relay in share row exclusive mode;
    update outbox.relay r set retired_at = now(), trouble = null, trouble_at = null
     where r.name = relay_retire.name and r.retired_at is null;
    if not found then
        return case when exists (select from outbox.relay r where r.name = relay_retire.name) then 'known' else 'unknown' end;
    end if;
    while fence is null and exists (select from outbox.journal j where j.relay = relay_retire.name) loop
        insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id,
                                    sysid, timeline, dbid, nonce)
        select n.relay, n.seq + 1, n.epoch + 1, 'retired', n.snapshot, n.w, n.lo_id, n.hi_id, n.confirmed_seq,
               n.confirmed_id, 0, 0, 0, n.nonce
          from (select * from outbox.journal j where j.relay = relay_retire.name order by j.seq desc limit 1) n
        on conflict do nothing    -- the leader was faster: once more, above its row
        returning seq into fence;
    end loop;
    delete from outbox.journal j where j.relay = relay_retire.name and j.seq < fence;
    return 'retired';
end
$$;
comment on function outbox.relay_retire(text) is 'outboxd: retires a relay, which then holds nothing back and has no leader';

-- As in version 1, but the source of a known relay stays what it is: false, too, when it is another one. Ids are unique within
-- their source, so of two first starts with different sources one is refused, like every later one. And no lock is taken when
-- there is nothing to write.
create or replace function outbox.relay_register(name text, source text, topics text[], retention interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    ring record;
    present record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.relay_register needs read committed: it must see what others registered meanwhile'
            using errcode = 'invalid_transaction_state';
    end if;
    select v.slots, v.slot_width into ring from outbox.schema_version v;
    if relay_register.retention > (ring.slots - 2) * ring.slot_width then
        raise exception 'a retention of % would never empty a slot of this outbox: % slots of % allow at most %',
            relay_register.retention, ring.slots, ring.slot_width, (ring.slots - 2) * ring.slot_width
            using errcode = 'invalid_parameter_value';
    end if;

    if not exists (select from outbox.relay r where r.name = relay_register.name and r.retired_at is null) then
        -- One first relay: a second one waits here, and then sees it. (Never after the update below: two sessions that
        -- hold its weaker lock and want this one would wait for each other.)
        lock table outbox.relay in share row exclusive mode;
        if not exists (select from outbox.relay) then
            if exists (select from outbox.journal j where j.relay = relay_register.name) then
                raise exception 'the registry is empty, and relay "%" has published before', relay_register.name
                    using errcode = 'unique_violation',
                          hint = format('outboxd relay add %s --from now (or beginning) starts it anew', relay_register.name);
            end if;
            return outbox.relay_add(relay_register.name, relay_register.source, relay_register.topics,
                                    relay_register.retention, false) = 'added';
        end if;
    end if;
    select (r.topics, r.retention) is distinct from (relay_register.topics, relay_register.retention) as differs into present
      from outbox.relay r
     where r.name = relay_register.name and r.retired_at is null and r.source = relay_register.source;
    if present.differs then
        update outbox.relay r set topics = relay_register.topics, retention = relay_register.retention
         where r.name = relay_register.name and r.retired_at is null and r.source = relay_register.source;
        return found;
    end if;
    return present.differs is not null;
end
$$;
comment on function outbox.relay_register(text, text, text[], interval) is
    'outboxd: registers the first relay, updates a known one; false: the registry has other names only, or another source';

-- As in version 1, but it takes no lock on the registry when there is nothing to write, so that a transaction which has
-- locked the registry and waits for its person stops no relay.
create or replace function outbox.relay_trouble(name text, trouble jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    present record;
begin
    select r.trouble is distinct from relay_trouble.trouble as differs into present
      from outbox.relay r where r.name = relay_trouble.name;
    if present.differs then
        update outbox.relay r set trouble = relay_trouble.trouble, trouble_at = clock_timestamp()
         where r.name = relay_trouble.name;
    end if;
    return present.differs is not null;
end
$$;

-- ---- rebase: the owner's alone -----------------------------------------------------------------------------------
-- A journal says what is confirmed by transaction numbers and ids. In a restored dump the numbers mean nothing, and after a
-- sequence was set back the ids do not. `outboxd rebase` asks these functions, while they can still be understood, what each
-- relay has confirmed, and says it anew: events are given numbers that mean something here, which each relay's next row of
-- the journal lists as unseen or not.

-- Whether a row of the journal covers an event: its snapshot shows it. Where the event's number may be another cluster's, it
-- must also be one that the row can have seen: a new event here may have a lower number than an old one from there. NULL, no
-- row, covers nothing. Small enough to become part of the statements that call it, whose search_path is fixed.
create function outbox.rebase_covers(j outbox.journal, same boolean, xid xid8, id bigint, created_at timestamptz)
returns boolean language sql stable
as $$
    select coalesce(pg_visible_in_snapshot(xid, (j).snapshot)
                    and (same or id <= (j).hi_id and created_at <= (j).written_at), false)
$$;

-- What each living relay's journal says, and what is wrong with it: 'no journal' (what it published is not known), 'elsewhere'
-- (written in another cluster or database), 'gaps' (ticks that it has not confirmed are missing), or NULL. `same`: its numbers
-- are this cluster's. `seen` is its newest row that was written before the sequence was set back, if it was: a step that finds
-- that has appended one with lo_id > hi_id.
create function outbox.rebase_look(same_xids boolean)
returns table (relay text, mask bigint, wrong text, same boolean, last outbox.journal, confirmed outbox.journal,
               partly outbox.journal, seen outbox.journal)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select r.name, 1::bigint << (row_number() over (order by r.name) - 1)::integer,
           case when c.seq is null then 'no journal'
                when ((n.last).sysid, (n.last).dbid) <> (here.sysid, here.dbid) then 'elsewhere'
                when (n.last).seq - (n.last).confirmed_seq + 1 <> (select count(*) from outbox.journal j
                        where j.relay = r.name and j.seq >= (n.last).confirmed_seq) then 'gaps' end,
           same_xids or coalesce((n.last).sysid = here.sysid, true), n.last, c, p, s.seen
      from outbox.relay r cross join outbox.place() here
      left join lateral (select j as last from outbox.journal j where j.relay = r.name order by j.seq desc limit 1) n on true
      left join outbox.journal c on c.relay = r.name and c.seq = (n.last).confirmed_seq
      left join outbox.journal p on p.relay = r.name and p.seq = (n.last).confirmed_seq + 1
                                and (n.last).confirmed_id is not null
      left join lateral (select j as seen from outbox.journal j where j.relay = r.name and j.lo_id <= j.hi_id
                          order by j.seq desc limit 1) s on true
     where r.retired_at is null
$$;

-- SQL over an event `e` and the relays `look`: which relays have not confirmed it, as the sum of their masks; and whether it
-- is new to all, so that it was never sent.
create function outbox.rebase_unconfirmed() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(sum(l.mask), 0)::bigint from look l
              where not outbox.rebase_covers(l.confirmed, l.same, e.xid, e.id, e.created_at)
                and not (coalesce(e.id <= (l.last).confirmed_id, false)
                         and outbox.rebase_covers(l.partly, l.same, e.xid, e.id, e.created_at)))'
$$;
create function outbox.rebase_new() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(bool_and(not outbox.rebase_covers(l.seen, l.same, e.xid, e.id, e.created_at)), false)
               from look l where (l.seen).seq is not null)'
$$;

-- What a rebase would do. needed: something is wrong. moved: nothing but the place, the numbers mean the same, and one row of
-- the journal for each relay is enough. set_back: the sequence is behind `highest`, the largest id that was given out, or was
-- for a time; so events that are new get new ids. oldest: no event with a lower number is unconfirmed. masks, events: how
-- many events are unconfirmed by which relays. renumbered: how many get new ids.
create function outbox.rebase_plan(same_xids boolean, out needed boolean, out moved boolean, out set_back boolean,
                                   out highest bigint, out oldest xid8, out masks bigint[], out events bigint[],
                                   out renumbered bigint)
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
    select set_back or ahead or coalesce(bool_or(l.wrong is not null), false),
           not set_back and not ahead and coalesce(bool_and(l.wrong is null or l.wrong = 'elsewhere' and l.same), true)
      into needed, moved
      from outbox.rebase_look(same_xids) l;
    oldest := case when (select bool_and(l.same and (l.confirmed).seq is not null) from outbox.rebase_look(same_xids) l)
                   then (select pg_snapshot_xmin((l.confirmed).snapshot) from outbox.rebase_look(same_xids) l order by 1 limit 1)
                   else '0' end;
    execute format('with look as materialized (select * from outbox.rebase_look($1)),
                         counted as (select %s as mask, %s as new from outbox.event e where e.xid >= $2),
                         summed as (select mask, count(*) as events, count(*) filter (where new) as new
                                      from counted where mask <> 0 group by mask)
                    select coalesce(array_agg(mask order by mask), ''{}''), coalesce(array_agg(events order by mask), ''{}''),
                           case when $3 then coalesce(sum(new), 0) else 0 end from summed',
                   outbox.rebase_unconfirmed(), outbox.rebase_new())
       into masks, events, renumbered using same_xids, oldest, set_back;
end
$$;
comment on function outbox.rebase_plan(boolean) is 'outboxd: what a rebase would do';

-- Does it, and returns what it did. Writers wait from its locks to its commit; transactions that have written events, open or
-- prepared ones, are waited for.
create function outbox.rebase(same_xids boolean, out needed boolean, out moved boolean, out set_back boolean,
                              out highest bigint, out oldest xid8, out masks bigint[], out events bigint[],
                              out renumbered bigint)
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
    select * into needed, moved, set_back, highest, oldest, masks, events, renumbered from outbox.rebase_plan(same_xids);
    if moved then
        insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id,
                                    released, sysid, timeline, dbid, nonce)
        select l.relay, (l.last).seq + 1, (l.last).epoch + 1, 'rebase', (l.last).snapshot, (l.last).w, (l.last).lo_id,
               (l.last).hi_id, (l.last).confirmed_seq, (l.last).confirmed_id, true, here.sysid, here.timeline, here.dbid,
               ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
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
    -- New ids in the order in which the events were inserted; the ids alone do not tell it any more.
    if set_back then
        perform setval('outbox.event_id_seq', greatest(highest, pg_sequence_last_value('outbox.event_id_seq')));
        for place in execute format('with look as materialized (select * from outbox.rebase_look($1))
                                     select e.slot, e.ctid as row_id from outbox.event e
                                      where e.xid >= $2 and %s order by e.created_at, e.id', outbox.rebase_new())
                       using same_xids, oldest
        loop
            update outbox.event e set id = default where e.slot = place.slot and e.ctid = place.row_id;
        end loop;
    end if;
    -- 3: seen by everybody, for events whose number could be that of a transaction to come.
    execute format('with look as materialized (select * from outbox.rebase_look($1))
                    update outbox.event e set xid = coalesce($3[array_position($4, %1$s)], ''3'')
                     where e.xid >= $2 and (e.xid >= (select pg_snapshot_xmin(pg_current_snapshot())) or %1$s <> 0)',
                   outbox.rebase_unconfirmed())
      using same_xids, oldest, labels, masks;

    -- Nobody inserts an event before this commits: every later one has an id above lo.
    lo := coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0);
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, released,
                                sysid, timeline, dbid, nonce)
    select l.relay, coalesce((l.last).seq + 1, 0),
           coalesce((l.last).epoch + 1, extract(epoch from now())::bigint),    -- no journal: above whatever it was
           'rebase', (coalesce(unseen.xids[1], pg_snapshot_xmin(here_and_now)) || ':' || pg_snapshot_xmax(here_and_now) || ':'
                      || array_to_string(unseen.xids, ','))::pg_snapshot,
           pg_snapshot_xmax(here_and_now), lo, lo, coalesce((l.last).seq + 1, 0), true,
           here.sysid, here.timeline, here.dbid,
           ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
      from outbox.rebase_look(same_xids) l cross join outbox.place() here cross join pg_current_snapshot() here_and_now
     cross join lateral (select array(select labels[i] from generate_subscripts(masks, 1) i where masks[i] & l.mask <> 0
                                      union all select pg_snapshot_xip(here_and_now) order by 1) as xids) unseen;
end
$$;
comment on function outbox.rebase(boolean) is 'outboxd: says anew what each relay has confirmed, in this database''s numbers';

-- Functions are open to everybody unless said otherwise; grant.sql opens them to relays.
revoke all on all functions in schema outbox from public;
