-- 014_audit.sql: every discard leaves a row, what `rebase --position` would do is counted before anybody is asked, and what was published before a
-- failover is looked for from before the oldest transaction that was open then. Run by `outboxd migrate` as the owner, inside one transaction;
-- who may do what is granted by grant.sql. Binaries made for the versions before go on (readable_since stays 1).

-- An event that was discarded may be refused again, and discarded again: after a rebase without a journal, or by a replay.
alter table outbox.discarded add request bigint not null default 0;    -- outbox.request.number; 0: not known, by a version before this one
update outbox.discarded d set request = f.number
  from (select d.relay, d.event_id, max(r.number) as number
          from outbox.discarded d join outbox.request r on r.relay = d.relay and r.event_id = d.event_id
         where r.kind = 'discard' and (r.reason, r.asked_by) = (d.reason, d.discarded_by) and r.done_at <= d.discarded_at
         group by d.relay, d.event_id) f
 where (d.relay, d.event_id) = (f.relay, f.event_id);
alter table outbox.discarded drop constraint discarded_pkey, add primary key (relay, event_id, request);

-- As in version 12, but each discard has a row of its own.
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
           refused = r.refused + case when r.kind = 'replay' and refused_id is not null then coalesce((request_settle.refused ->> 'count')::bigint, 1) else 0 end,
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
        if (refused -> 'copy')::boolean then    -- the one before was refused too
            insert into outbox.request (relay, kind, event_id)
            select letter.relay, 'copy', letter.event_id
             where not exists (select from outbox.request r where r.relay = letter.relay and r.kind = 'copy' and r.event_id = letter.event_id
                                  and (r.done_at is null or r.outcome = 'done'));
        end if;
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
            insert into outbox.discarded (relay, event_id, request, topic, key, payload, headers, created_at, error, message, attempts,
                                          refused_at, reason, discarded_by)
            values (letter.relay, letter.event_id, request.number, letter.topic, letter.key, letter.payload, letter.headers,
                    letter.created_at, letter.error, letter.message, letter.attempts, letter.first_at, request.reason, request.asked_by)
            on conflict do nothing;
        end if;
        delete from outbox.dead_letter l where l.relay = letter.relay and l.event_id = letter.event_id;
    end if;
end
$$;

-- As in version 7, but a transaction that was open when the last row of an older timeline was written may have written events long before, and have
-- committed behind it: since the newest row that is older than all of them, or the oldest that is kept. (Copies of a row have its w.)
create or replace function outbox.rebase_since(relay text, fork boolean) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
    set jit = off
as $$
declare
    since timestamptz;
    n outbox.journal;
begin
    if fork then
        select j.* into n from outbox.journal j cross join outbox.place() here
         where j.relay = rebase_since.relay and j.timeline < here.timeline order by j.seq desc limit 1;
        return (select min(j.written_at) from outbox.journal j
                 where j.relay = n.relay and j.seq <= n.seq
                   and j.w >= coalesce((select o.w from outbox.journal o
                                         where o.relay = n.relay and o.seq < n.seq and o.sysid = n.sysid
                                           and o.w <= pg_snapshot_xmin(n.snapshot) order by o.w desc limit 1), '0'));
    end if;
    execute format('with look as materialized (select * from outbox.rebase_look(false) l where l.relay = $1)
                    select least((select (l.confirmed).written_at from look l),
                                 (select min(e.created_at) from outbox.event e where e.xid >= $2 and %s <> 0))',
                   outbox.rebase_unconfirmed()) into since using relay, outbox.rebase_oldest(false, relay);
    return since;
end
$$;

-- What rebase_position would do, without its locks. (Doing it and rolling that back would use up ids: no sequence gives back what was drawn.)
-- unconfirmed: events that the relay's journal does not confirm, nor common, what both know; passed_over of them are in Kafka.
create function outbox.rebase_position_plan(relay text, common_seq bigint, common_id bigint, known bigint, out unconfirmed bigint,
                                            out passed_over bigint, out renumbered bigint, out retried bigint)
language plpgsql set search_path = pg_catalog, pg_temp
    set jit = off
as $$
declare
    reused bigint := (select min(e.id) from pg_temp.outboxd_phantom p join outbox.event e on e.id = p.id);
begin
    retried := 0;
    if exists (select from outbox.dead_letter l join pg_temp.outboxd_published k on k.id = l.event_id where l.relay = rebase_position_plan.relay)
       or exists (select from outbox.held_event h join pg_temp.outboxd_published k on k.id = h.event_id where h.relay = rebase_position_plan.relay)
    then
        retried := outbox.rebase_retried(relay);    -- undone below
    end if;
    -- rebase_look, as it is behind the row that rebase_position would write
    execute format('with looked as materialized (
                        select l.*, l.relay = $1 and ($2, $3) > ((l.last).confirmed_seq, coalesce((l.last).confirmed_id, 0)) as beyond
                          from outbox.rebase_look(false) l),
                    look as materialized (
                        select l.relay, l.mask, l.same, l.seen, case when l.beyond then c else l.confirmed end as confirmed,
                               case when l.beyond then p else l.partly end as partly,
                               case when l.beyond then jsonb_populate_record(l.last, jsonb_build_object(''confirmed_id'', nullif($3, 0)))
                                    else l.last end as last
                          from looked l left join outbox.journal c on c.relay = l.relay and c.seq = $2
                          left join outbox.journal p on p.relay = l.relay and p.seq = $2 + 1 and $3 <> 0),
                    counted as (select e.id, %s as mask, %s as new, k.id is not null as there
                                  from outbox.event e left join pg_temp.outboxd_published k on k.id = e.id where e.xid >= $4)
                    select count(*) filter (where u.mask & l.mask <> 0), count(*) filter (where u.mask & l.mask <> 0 and u.there),
                           count(*) filter (where u.mask <> 0 and u.new and ($5 or u.id >= $6) and not (u.mask & l.mask <> 0 and u.there))
                      from look l left join counted u on true where l.relay = $1', outbox.rebase_unconfirmed(), outbox.rebase_new())
       into unconfirmed, passed_over, renumbered
      using relay, common_seq, common_id, outbox.rebase_oldest(false, null),
            (select r.set_back from outbox.rebase_plan(false, known, reused) r), reused;
    if retried > 0 then
        raise exception 'undone' using errcode = 'UNDO1';
    end if;
exception when sqlstate 'UNDO1' then
    return;
end
$$;
comment on function outbox.rebase_position_plan(text, bigint, bigint, bigint) is 'outboxd: what rebase_position would do';

revoke all on all functions in schema outbox from public;
