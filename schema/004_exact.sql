-- 004_exact.sql: what exactly-once delivery remembers in the journal. Run by `outboxd migrate` as the owner, inside one transaction.
-- Binaries made for the versions before go on (readable_since stays 1), but know nothing of it: their rows say "at least once".
-- So all processes of a relay are to be of this version before it delivers exactly once.

-- The newest row of a relay says whether the truth about what was published is here (NULL) or in the relay's position topic in Kafka.
-- Then exact_seq and exact_id are a position that was committed there, as confirmed_seq and confirmed_id are one, and exact_nonce is
-- the nonce of the newest tick of which it has events: Kafka can only be further, and what it says must be of this history.
alter table outbox.journal
    add column exact_seq   bigint,
    add column exact_id    bigint,
    add column exact_nonce bigint,
    add constraint journal_exact_whole check ((exact_seq is null) = (exact_id is null) and (exact_seq is null) = (exact_nonce is null));
comment on column outbox.journal.exact_seq is 'outboxd: not NULL: delivered exactly once, the position topic in Kafka is the truth';

-- The operator's decision when Postgres and Kafka disagree: the journal of this relay is the truth. Whoever leads next writes its
-- position to Kafka anew, whatever the position topic says: exact_seq = -1. The row is one that a leader releases; its epoch ends one that is
-- at work. False when there is no such relay.
create function outbox.rebase_position(relay text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    written bigint;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.rebase_position needs read committed: a leader goes on appending'
            using errcode = 'invalid_transaction_state';
    end if;
    while written is null loop
        if not exists (select from outbox.relay r join outbox.journal j on j.relay = r.name
                        where r.name = rebase_position.relay and r.retired_at is null) then
            return false;
        end if;
        insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, confirmed_id, released,
                                    sysid, timeline, dbid, nonce, exact_seq, exact_id, exact_nonce)
        select n.relay, n.seq + 1, n.epoch + 1, 'rebase', n.snapshot, n.w, n.lo_id, n.hi_id, n.confirmed_seq, n.confirmed_id, true,
               n.sysid, n.timeline, n.dbid,
               ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint, -1, 0, 0
          from (select * from outbox.journal j where j.relay = rebase_position.relay order by j.seq desc limit 1) n
        on conflict do nothing    -- the leader was faster: once more, above its row
        returning seq into written;
    end loop;
    return true;
end
$$;
comment on function outbox.rebase_position(text) is 'outboxd: the journal of this relay is the truth, its position goes to Kafka anew';
revoke all on function outbox.rebase_position(text) from public;
