-- 003_inbox.sql: the inbox: which events a consumer has accepted, for consumers that keep their own rows in this database. Run by
-- `outboxd migrate` as the owner, inside one transaction; who may do what is granted by grant.sql. The relay has no part in
-- it, and binaries made for versions 1 and 2 go on (readable_since stays 1).

-- ---- accepted events -------------------------------------------------------------------------------------------
-- One row an event and consumer, written in the transaction of the consumer's own work: so the work and the memory of it are
-- committed together or not at all.
create table outbox.inbox (
    consumer    text        not null,                             -- who accepted it: each consumer works on every event once
    source      text        not null,                             -- the headers `source` and `id` of the record
    id          bigint      not null,
    accepted_at timestamptz not null default clock_timestamp(),   -- its age, for outbox.inbox_prune

    -- ids grow, so that neighbours stand together and an old end is emptied page by page
    primary key (consumer, source, id),
    constraint inbox_consumer_given check (octet_length(consumer) between 1 and 100),
    constraint inbox_source_given check (octet_length(source) between 1 and 100)
);
comment on table outbox.inbox is 'outboxd: events that consumers of this database have accepted';
create index inbox_age on outbox.inbox (consumer, accepted_at);

-- ---- functions for consumers -----------------------------------------------------------------------------------
-- Remembers in the caller's transaction that the event was accepted. False when it had been before: then there is nothing to do.
-- Waits for another transaction that is accepting the same one. (A default is the caller's: current_user is not the owner.)
create function outbox.inbox_accept(source text, id bigint, consumer text default current_user) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into outbox.inbox (consumer, source, id)
    values (inbox_accept.consumer, inbox_accept.source, inbox_accept.id)
    on conflict on constraint inbox_pkey do nothing;
    return found;
end
$$;
comment on function outbox.inbox_accept(text, bigint, text) is 'outboxd: true when the consumer sees this event for the first time';

-- Forgets what the consumer accepted longer ago than `age`, the oldest first, at most `most` rows; returns how many. An event that
-- is sent again after that is accepted again. Two callers at once do not wait for each other.
create function outbox.inbox_prune(age interval, most integer default 10000, consumer text default current_user)
returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    pruned integer;
begin
    if age is null or age < interval '0' or most is null or most < 0 then
        raise exception 'outbox.inbox_prune wants an age and a number of rows that are not negative'
            using errcode = 'invalid_parameter_value';
    end if;
    delete from outbox.inbox i using (
        select o.consumer, o.source, o.id from outbox.inbox o
         where o.consumer = inbox_prune.consumer and o.accepted_at < clock_timestamp() - inbox_prune.age
         order by o.accepted_at limit most for update skip locked) old
     where (i.consumer, i.source, i.id) = (old.consumer, old.source, old.id);
    get diagnostics pruned = row_count;
    return pruned;
end
$$;
comment on function outbox.inbox_prune(interval, integer, text) is 'outboxd: forgets old entries of the inbox of a consumer';

revoke all on table outbox.inbox from public;
revoke all on function outbox.inbox_accept(text, bigint, text), outbox.inbox_prune(interval, integer, text) from public;
