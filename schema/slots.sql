-- slots.sql: what `outboxd migrate` runs after the numbered migrations, as the owner: makes the slots of the ring as wide as
-- it was asked, while the outbox is new. In: the setting outboxd.migrate, {.., slot_width}, in seconds; null: as they are.

do $slots$
declare
    wish bigint := (current_setting('outboxd.migrate')::jsonb ->> 'slot_width')::bigint;
    ring record;
begin
    select v.slots, v.slot_width into ring from outbox.schema_version v;
    if wish is null or ring.slot_width = make_interval(secs => wish) then
        return;
    end if;
    -- The slot of an event follows from the width: in another ring, old events would lie where new ones belong. Looked at
    -- twice: an outbox in use is refused without a lock, and behind the lock nobody is left who could have begun to use it.
    for look in 1 .. 2 loop
        if exists (select from outbox.event) or exists (select from outbox.journal) or exists (select from outbox.relay) then
            raise exception 'the slots are % wide, and can be made % only while the outbox is new: without an event, a relay'
                ' or a journal', ring.slot_width, make_interval(secs => wish)
                using errcode = 'object_not_in_prerequisite_state', hint = 'leave out --slot-width';
        end if;
        if look = 1 then
            lock table outbox.relay, outbox.journal in share row exclusive mode;
            execute format('alter table outbox.event alter column slot set default'
                           ' (extract(epoch from now())::bigint / %s %% %s)::smallint', wish, ring.slots);
        end if;
    end loop;
    update outbox.schema_version set slot_width = make_interval(secs => wish);
    raise notice 'a slot is % wide: % of them hold a retention of at most %', make_interval(secs => wish), ring.slots,
        (ring.slots - 2) * make_interval(secs => wish);
end
$slots$;
