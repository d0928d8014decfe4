-- grant.sql: what `outboxd migrate` runs after the numbered migrations, as the owner: takes every privilege on the outbox
-- from everybody else, be it PUBLIC's, a default privilege or an old grant, and gives writers and relays what they need.
-- In: the setting outboxd.grantees, {writers, relays, consumers} (prepare.sql).

do $grant$
declare
    owner oid := (select nspowner from pg_namespace where nspname = 'outbox');
    grantees jsonb := current_setting('outboxd.grantees');
    known name[] := array(select jsonb_array_elements_text(value) from jsonb_each(grantees));
    given record;
begin
    for given in
        with acl (kind, object, items) as (
            select 'schema', quote_ident(nspname), nspacl from pg_namespace where nspname = 'outbox'
            union all
            select case relkind when 'S' then 'sequence' else 'table' end, oid::regclass::text, relacl
              from pg_class where relnamespace = 'outbox'::regnamespace
            union all
            select 'table', c.oid::regclass::text, a.attacl
              from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relnamespace = 'outbox'::regnamespace
            union all
            select 'function', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
              from pg_proc where pronamespace = 'outbox'::regnamespace)
        select distinct a.kind, a.object, r.rolname as grantee
          from acl a cross join aclexplode(a.items) i left join pg_roles r on r.oid = i.grantee
         where i.grantee <> owner
    loop
        -- of a table, this takes the privileges on its columns too
        execute format('revoke all on %s %s from %s cascade', given.kind, given.object,
                       coalesce(quote_ident(given.grantee), 'public'));
        if given.grantee is null or given.grantee <> all (known) then
            raise notice 'revoked everything on % % from %', given.kind, given.object,
                coalesce(quote_ident(given.grantee), 'public');
        end if;
    end loop;
end
$grant$;

do $grant$
declare
    grantees jsonb := current_setting('outboxd.grantees');
    duty record;
    role name;
    privilege text;
begin
    for duty in select * from (values
        -- of an event not one column more: xid, id, slot and created_at are never the application's to say
        ('writers', 'may write events', array[
            'insert (topic, key, payload, headers), select (id) on outbox.event',
            'execute on function outbox.emit(text, text, jsonb, jsonb), outbox.emit_bytes(text, bytea, bytea, jsonb)']),
        ('relays', 'may publish events', array[
            'select on outbox.event, outbox.event_id_seq, outbox.relay, outbox.schema_version',
            'select on outbox.dead_letter, outbox.held_event, outbox.discarded, outbox.request, outbox.cancelled,'
            ' outbox.paused_topic, outbox.pause',
            'execute on function outbox.put_aside(text, jsonb),'
            ' outbox.request_settle(text, bigint, bigint, bigint, text, jsonb),'
            ' outbox.side_apply(text, bigint, bigint), outbox.topic_settle(text, bigint, bigint, bigint, text, text), outbox.dead_retry(text, bigint),'
            ' outbox.dead_discard(text, bigint, text), outbox.pause(text, text), outbox.resume(text, text),'
            ' outbox.replay(text, bigint, bigint, timestamptz, timestamptz, text, bytea, integer),'
            ' outbox.request_cancel(text, bigint)',
            'select, insert on outbox.journal',
            'execute on function outbox.relay_register(text, text, text[], interval),'
            ' outbox.relay_trouble(text, jsonb), outbox.slot_state(integer), outbox.slot_empty(integer),'
            ' outbox.journal_trim(text, bigint), outbox.relay_add(text, text, text[], interval, boolean),'
            ' outbox.relay_retire(text), outbox.sequence_pass(bigint)']),
        ('consumers', 'may use the inbox', array[
            'execute on function outbox.inbox_accept(text, bigint, text), outbox.inbox_prune(interval, integer, text)'])
        ) d(plural, may, privileges)
    loop
        for role in select jsonb_array_elements_text(grantees -> duty.plural) loop
            foreach privilege in array array['usage on schema outbox'] || duty.privileges loop
                execute format('grant %s to %I', privilege, role);
            end loop;
            raise notice '% %', quote_ident(role), duty.may;
        end loop;
    end loop;
    raise notice 'the schema outbox is at version %', (select version from outbox.schema_version);
end
$grant$;
