-- 006_requests.sql: what people ask of a relay about dead letters, replays and pauses, and what was there before, with these in mind. Run by
-- `outboxd migrate` as the owner, inside one transaction; who may do what is granted by grant.sql.

-- ---- what people ask for ---------------------------------------------------------------------------------------
-- Each returns the number of the request, or NULL when there is no such dead letter, or it is asked for already.
create function outbox.dead_retry(relay text, event_id bigint) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.request (relay, kind, event_id)
    select l.relay, 'retry', l.event_id from outbox.dead_letter l
     where l.relay = dead_retry.relay and l.event_id = dead_retry.event_id
       and not exists (select from outbox.request r where r.relay = l.relay and r.event_id = l.event_id and r.done_at is null
                          and r.kind in ('retry', 'discard'))
    on conflict do nothing
    returning number
$$;
comment on function outbox.dead_retry(text, bigint) is 'outboxd: publish a dead letter, then what waits behind it';

create function outbox.dead_discard(relay text, event_id bigint, reason text) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.request (relay, kind, event_id, reason)
    select l.relay, 'discard', l.event_id, dead_discard.reason from outbox.dead_letter l
     where l.relay = dead_discard.relay and l.event_id = dead_discard.event_id
       and not exists (select from outbox.request r where r.relay = l.relay and r.event_id = l.event_id and r.done_at is null
                          and r.kind in ('retry', 'discard'))
    on conflict do nothing
    returning number
$$;
comment on function outbox.dead_discard(text, bigint, text) is 'outboxd: give a dead letter up, publish what waits behind it';

create function outbox.replay(relay text, first_id bigint, last_id bigint, since timestamptz, until timestamptz, topic text,
                              key bytea, rate integer) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into outbox.request (relay, kind, first_id, last_id, since, until, topic, key, rate)
    select r.name, 'replay', replay.first_id, replay.last_id, replay.since, replay.until, replay.topic, replay.key, replay.rate
      from outbox.relay r where r.name = replay.relay and r.retired_at is null
    returning number
$$;
comment on function outbox.replay(text, bigint, bigint, timestamptz, timestamptz, text, bytea, integer) is
    'outboxd: publish retained events again';

-- Ends a request before it is done. False: there is none that is not done.
create function outbox.request_cancel(relay text, number bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update outbox.request r set done_at = clock_timestamp(), outcome = 'cancelled'
     where r.relay = request_cancel.relay and r.number = request_cancel.number and r.done_at is null and r.kind = 'replay';
    return found;
end
$$;
comment on function outbox.request_cancel(text, bigint) is 'outboxd: ends a replay';

-- A topic, or with NULL all of a relay. False: it was so already, or there is no such relay.
create function outbox.pause(relay text, topic text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if pause.topic is null then
        insert into outbox.pause (relay, topic) select r.name, '' from outbox.relay r
         where r.name = pause.relay and r.retired_at is null on conflict do nothing;
        update outbox.relay r set paused = true where r.name = pause.relay and r.retired_at is null and not r.paused;
    else
        insert into outbox.pause (relay, topic)
        select r.name, pause.topic from outbox.relay r where r.name = pause.relay and r.retired_at is null
        on conflict do nothing;
    end if;
    return found;
end
$$;
comment on function outbox.pause(text, text) is 'outboxd: publish nothing of a topic, or nothing at all, until it is resumed';

create function outbox.resume(relay text, topic text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if resume.topic is null then
        delete from outbox.pause p where p.relay = resume.relay and p.topic = '';
        update outbox.relay r set paused = false where r.name = resume.relay and r.paused;
    else
        delete from outbox.pause p where p.relay = resume.relay and p.topic = resume.topic;
    end if;
    return found;
end
$$;
comment on function outbox.resume(text, text) is 'outboxd: publish what has waited since a pause';

-- ---- what was there before, with these in mind ------------------------------------------------------------------
-- As in version 1. 'held': an event of it waits behind a dead letter. Of a relay with a paused topic, what follows its row is unconfirmed.
create or replace function outbox.slot_state(slot integer) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    partition_name text := 'event_' || slot;
    keep interval;
    newest timestamptz;
    unconfirmed boolean;
begin
    if slot is null or slot not between 0 and (select v.slots - 1 from outbox.schema_version v) then
        raise exception 'there is no slot %', slot using errcode = 'invalid_parameter_value';
    end if;
    execute format('select e.created_at from outbox.%I e order by e.id desc limit 1', partition_name) into newest;
    if newest is null then
        return 'empty';
    end if;
    select max(r.retention) into keep from outbox.relay r where r.retired_at is null;
    if keep is null then
        return 'unconfirmed';
    elsif newest >= clock_timestamp() - keep then
        return 'young';
    end if;
    -- Not visible in a snapshot: begun at or after its xmax, or in its list. Said so, both look-ups use event_xid.
    execute format('select exists ('
        ' select from outbox.relay r'
        '   left join lateral (select * from outbox.journal j where j.relay = r.name order by j.seq desc limit 1) n on true'
        '   left join outbox.journal c on c.relay = n.relay and c.seq = least(n.confirmed_seq,'
        '             (select min(t.from_seq) from outbox.paused_topic t where t.relay = r.name))'
        '  where r.retired_at is null and ('
        '        c.seq is null'
        '     or c.sysid <> (select system_identifier from pg_control_system())'
        '     or c.dbid <> (select oid from pg_database where datname = current_database())'
        '     or exists (select from outbox.%1$I e where e.xid >= pg_snapshot_xmax(c.snapshot))'
        '     or exists (select from pg_snapshot_xip(c.snapshot) x(xid) join outbox.%1$I e on e.xid = x.xid)))',
        partition_name) into unconfirmed;
    if unconfirmed then
        return 'unconfirmed';
    end if;
    return case when exists (select from outbox.held_event h where h.slot = slot_state.slot) then 'held' else 'ready' end;
end
$$;
comment on function outbox.slot_state(integer) is 'outboxd: ready | empty | young | unconfirmed | held, looked at without a lock';

-- As in version 1, and the rows of paused topics stay too.
create or replace function outbox.journal_trim(relay text, low bigint default 0) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    confirmed record;
    keep_from bigint;
begin
    select c.seq, c.written_at into confirmed
      from (select least(j.confirmed_seq, (select min(t.from_seq) from outbox.paused_topic t where t.relay = j.relay)) as seq
              from outbox.journal j where j.relay = journal_trim.relay order by j.seq desc limit 1) n
      join outbox.journal c on c.relay = journal_trim.relay and c.seq = n.seq;
    if not found then
        return low;
    end if;
    select coalesce(min(o.seq) filter (where o.seq >= confirmed.seq
                                          or o.written_at >= confirmed.written_at - interval '1 hour'),
                    max(o.seq) + 1)
      into keep_from
      from (select j.seq, j.written_at from outbox.journal j
             where j.relay = journal_trim.relay and j.seq >= low and j.seq <= confirmed.seq
             order by j.seq limit 10000) o;
    delete from outbox.journal j where j.relay = journal_trim.relay and j.seq >= low and j.seq < keep_from;
    return coalesce(keep_from, low);
end
$$;

-- As in version 2. Nothing waits for a relay that is retired; its dead letters stay, and hold nothing.
create or replace function outbox.relay_retire(name text) returns text
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
    update outbox.relay r set retired_at = now(), trouble = null, trouble_at = null, paused = false
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
    delete from outbox.held_event h where h.relay = relay_retire.name;
    delete from outbox.paused_topic t where t.relay = relay_retire.name;
    delete from outbox.pause p where p.relay = relay_retire.name;
    update outbox.dead_letter l set hold = null where l.relay = relay_retire.name and l.hold is not null;
    update outbox.request r set done_at = clock_timestamp(), outcome = 'the relay was retired'
     where r.relay = relay_retire.name and r.done_at is null;
    return 'retired';
end
$$;

revoke all on all functions in schema outbox from public;
