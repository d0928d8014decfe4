-- 010_anew.sql: a relay that begins without its journal, which was lost or retired, and what it had put aside before. Run by `outboxd migrate` as
-- the owner, inside one transaction; who may do what is granted by grant.sql. Functions only; binaries made for the versions before go on
-- (readable_since stays 1).

-- What a relay has put aside stands in ticks of its last life. In the next one everything that comes is behind it: a key stays held, and no
-- retry waits for the stream to come so far again.
create function outbox.tick_above(relay text) returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select 1 + greatest(-1, (select max(l.tick) from outbox.dead_letter l where l.relay = tick_above.relay),
                        (select max(h.tick) from outbox.held_event h where h.relay = tick_above.relay))
$$;

-- As in version 2, but for the number of the first row.
create or replace function outbox.relay_add(name text, source text, topics text[], retention interval, from_now boolean) returns text
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
    select relay_add.name, greatest(last.seq + 1, outbox.tick_above(relay_add.name)), coalesce(last.epoch + 1, 0), 'boot',
           case when from_now then pg_current_snapshot() else '3:3:' end,
           case when from_now then pg_current_xact_id() else '3' end,
           case when from_now then lo else 0 end,
           case when from_now then coalesce(pg_sequence_last_value('outbox.event_id_seq'), 0) else 0 end,
           greatest(last.seq + 1, outbox.tick_above(relay_add.name)), true, here.sysid, here.timeline, here.dbid,
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

-- As in version 7, but dead letters are not unconfirmed: they are kept elsewhere, for whoever retries them.
create or replace function outbox.rebase_unconfirmed() returns text language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select '(select coalesce(sum(l.mask), 0)::bigint from look l
              where (not outbox.rebase_covers(l.confirmed, l.same, e.xid, e.id, e.created_at)
                     and not (coalesce(e.id <= (l.last).confirmed_id, false)
                              and outbox.rebase_covers(l.partly, l.same, e.xid, e.id, e.created_at))
                     or outbox.rebase_waits(l.relay, l.same, e.topic, e.xid, e.id, e.created_at))
                and (select p.id from outbox.published p where p.id = e.id and p.relay = l.relay) is null
                and (select d.event_id from outbox.dead_letter d where d.event_id = e.id and d.relay = l.relay) is null)'
$$;

-- As in version 7, but for the number of the first row of a relay that has no journal.
create or replace function outbox.rebase(same_xids boolean, known bigint default 0, reused bigint default null,
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
    select l.relay, greatest((l.last).seq + 1, outbox.tick_above(l.relay)),
           coalesce((l.last).epoch + 1, extract(epoch from now())::bigint),    -- no journal: above whatever it was
           'rebase', (coalesce(unseen.xids[1], pg_snapshot_xmin(here_and_now)) || ':' || pg_snapshot_xmax(here_and_now) || ':'
                      || array_to_string(unseen.xids, ','))::pg_snapshot,
           pg_snapshot_xmax(here_and_now), lo, lo, greatest((l.last).seq + 1, outbox.tick_above(l.relay)), true,
           here.sysid, here.timeline, here.dbid,
           ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint,
           (l.last).exact_seq, (l.last).exact_id, (l.last).exact_nonce
      from outbox.rebase_look(same_xids) l cross join outbox.place() here cross join pg_current_snapshot() here_and_now
     cross join lateral (select array(select labels[i] from generate_subscripts(masks, 1) i where masks[i] & l.mask <> 0
                                      union all select pg_snapshot_xip(here_and_now) order by 1) as xids) unseen;
end
$$;

revoke all on all functions in schema outbox from public;
