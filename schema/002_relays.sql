-- 002_relays.sql: relays are added and retired. Run by `outboxd migrate` as the owner, inside one transaction; who may do
-- what is granted by grant.sql. Adds functions only: what version 1 made stays as it is, and binaries made for version 1
-- go on (readable_since stays 1).

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

    lo := (select case when s.is_called then s.last_value else 0 end from outbox.event_id_seq s);
    -- A retired name goes on above its last row: nobody who led it before can append again.
    insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, released,
                                sysid, timeline, dbid, nonce)
    select relay_add.name, coalesce(last.seq + 1, 0), coalesce(last.epoch + 1, 0), 'boot',
           case when from_now then pg_current_snapshot() else '3:3:' end,
           case when from_now then pg_current_xact_id() else '3' end,
           case when from_now then lo else 0 end,
           case when from_now then (select case when s.is_called then s.last_value else 0 end from outbox.event_id_seq s)
                else 0 end,
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

-- Functions are open to everybody unless said otherwise; grant.sql opens them to relays.
revoke all on all functions in schema outbox from public;
