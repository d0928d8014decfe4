-- 008_sides.sql: work beside the stream, when much of it is asked for. Each sort of request is found without looking at the others, and
-- whoever cancels a replay locks no row that the leader writes: his transaction may stay open. Run by `outboxd migrate` as the owner, inside
-- one transaction; who may do what is granted by grant.sql. Binaries made for the versions before go on (readable_since stays 1); to
-- them a replay that is cancelled from now on goes on.

create index request_letters on outbox.request (relay, number) where done_at is null and kind in ('retry', 'discard');
create index request_replays on outbox.request (relay, number) where done_at is null and kind = 'replay';
create index request_copies on outbox.request (relay, number) where done_at is null and kind = 'copy';

-- Replays that somebody has ended: from then on they are not done, and nobody does them. The leader sees it within a second.
create table outbox.cancelled (
    relay    text        not null,
    number   bigint      not null,                                -- outbox.request.number
    asked_by text        not null default session_user,
    asked_at timestamptz not null default clock_timestamp(),
    primary key (relay, number)
);
comment on table outbox.cancelled is 'outboxd: replays that were ended before they were done';

-- Ends a request before it is done. False: there is none that is not done.
create or replace function outbox.request_cancel(relay text, number bigint) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into outbox.cancelled (relay, number)
    select r.relay, r.number from outbox.request r
     where r.relay = request_cancel.relay and r.number = request_cancel.number and r.done_at is null and r.kind = 'replay'
    on conflict do nothing;
    return found;
end
$$;

revoke all on all functions in schema outbox from public;
