-- prepare.sql: what `outboxd migrate` runs before the numbered migrations, as the administrator: sees whether this database
-- can hold the outbox, makes roles and memberships, makes the schema, and becomes its owner until the transaction ends.
-- In: the setting outboxd.migrate, a JSON object {version, owner, writers, relays, consumers, create_roles} (schema_script.c).
-- Out: outboxd.version, the schema's version, 0 for none; outboxd.grantees, {writers, relays, consumers}, for grant.sql.

-- ---- the database ----------------------------------------------------------------------------------------------
do $prepare$
declare
    -- by the catalogs: looking a name up needs rights on the schema that we may not have yet
    space oid := (select oid from pg_namespace where nspname = 'outbox');
    is_ours boolean := exists (select from pg_class c join pg_attribute a on a.attrelid = c.oid
                                where c.relnamespace = space and c.relname = 'schema_version' and c.relkind = 'r'
                                  and a.attname = 'readable_since');
begin
    if current_setting('server_version_num')::integer < 130000 then
        raise exception 'Postgres % is too old: outboxd needs 13 or later', current_setting('server_version')
            using errcode = 'feature_not_supported';
    end if;
    if pg_is_in_recovery() then
        raise exception 'this server is a standby' using errcode = 'read_only_sql_transaction',
            hint = 'connect to the primary (conninfo: target_session_attrs=read-write)';
    end if;
    if getdatabaseencoding() in ('SQL_ASCII', 'MULE_INTERNAL') then
        raise exception 'database % has the encoding %, which cannot be converted to UTF-8',
            quote_ident(current_database()), getdatabaseencoding()
            using errcode = 'feature_not_supported', hint = 'create the database with encoding ''UTF8''';
    elsif getdatabaseencoding() <> 'UTF8' then
        raise notice 'the database encoding is %: texts are published as UTF-8', getdatabaseencoding();
    end if;
    if not is_ours and exists (select from pg_depend d where d.refclassid = 'pg_namespace'::regclass
                                                         and d.refobjid = space and d.deptype = 'n') then
        raise exception 'the schema "outbox" in database % is not outboxd''s', quote_ident(current_database())
            using errcode = 'object_not_in_prerequisite_state', hint = 'alter schema outbox rename to ..., or use another database';
    end if;
end
$prepare$;

-- ---- the owner and the schema ----------------------------------------------------------------------------------
-- We become the owner and call what is in its schema. A stranger who made the schema before us would have the administrator
-- run the stranger's code: so an owner of another name than the standard one has to be said each time.
do $prepare$
declare
    wish jsonb := current_setting('outboxd.migrate');
    present_owner name := (select r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner
                            where n.nspname = 'outbox');
    owner name := coalesce(wish ->> 'owner', present_owner, 'outbox_owner');
    may_become text := case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
    if present_owner <> 'outbox_owner' and present_owner <> current_user and wish ->> 'owner' is null then
        raise exception 'the schema "outbox" belongs to %, which is not the standard owner', quote_ident(present_owner)
            using errcode = 'insufficient_privilege', hint = format('if outboxd migrate made it so, say --owner %I again', present_owner);
    end if;
    if present_owner <> owner then
        raise exception 'the schema "outbox" belongs to %', quote_ident(present_owner)
            using errcode = 'object_not_in_prerequisite_state', hint = format('use --owner %I', present_owner);
    end if;
    if not exists (select from pg_roles where rolname = owner) then
        if not (wish -> 'create_roles')::boolean then
            raise exception 'role % does not exist', quote_ident(owner) using errcode = 'undefined_object',
                hint = format('create role %I nologin; or leave out --no-create-roles', owner);
        end if;
        execute format('create role %I nologin', owner);
        raise notice 'created role %', quote_ident(owner);
    end if;
    if not pg_has_role(current_user, owner, may_become) then
        execute format('grant %I to %I', owner, current_user);
        raise notice 'granted role % to %', quote_ident(owner), quote_ident(current_user);
    end if;
    if present_owner is null then
        if not has_database_privilege(current_user, current_database(), 'create') then
            raise exception '% may not create a schema in database %', quote_ident(current_user),
                quote_ident(current_database()) using errcode = 'insufficient_privilege',
                hint = format('grant create on database %I to %I', current_database(), current_user);
        end if;
        execute format('create schema outbox authorization %I', owner);
        raise notice 'created schema outbox';
    end if;
    perform set_config('outboxd.owner', owner, true);
end
$prepare$;

-- ---- writers, relays and consumers -----------------------------------------------------------------------------
-- Privileges go to the group roles outbox_writer, outbox_relay and outbox_consumer, whose members the named logins become;
-- without permission to make roles, to the named roles themselves. Whoever was granted the functions before keeps them.
do $prepare$
declare
    wish jsonb := current_setting('outboxd.migrate');
    create_roles boolean := (wish -> 'create_roles')::boolean;
    with_inherit text := case when current_setting('server_version_num')::integer >= 160000 then ' with inherit true'
                              else '' end;
    grantees jsonb := '{}';
    kind record;
    named name[];
    granted name[];
    login name;
begin
    for kind in select * from (values
        ('writers', 'outbox_writer', 'emit', true), ('relays', 'outbox_relay', 'slot_empty', true),
        ('consumers', 'outbox_consumer', 'inbox_accept', false)) k(plural, standard_role, door, needed)
    loop
        named := array(select jsonb_array_elements_text(wish -> kind.plural));
        granted := array(select r.rolname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                           cross join aclexplode(p.proacl) a join pg_roles r on r.oid = a.grantee
                          where n.nspname = 'outbox' and p.proname = kind.door and a.privilege_type = 'EXECUTE'
                            and a.grantee <> p.proowner);
        -- (a database whose inbox nobody uses is complete; one that nobody may write to or publish from is not)
        if kind.needed and named = '{}' and granted = '{}' or create_roles and named <> '{}' then
            granted := array(select unnest(granted) union select kind.standard_role::name);
            if create_roles and not exists (select from pg_roles where rolname = kind.standard_role) then
                execute format('create role %I nologin', kind.standard_role);
                raise notice 'created role %', kind.standard_role;
            end if;
        end if;
        if not create_roles then
            granted := array(select unnest(granted) union select unnest(named));
            named := '{}';
        end if;
        foreach login in array named loop
            if not exists (select from pg_roles where rolname = login) then
                execute format('create role %I login', login);
                raise notice 'created role %, a login without a password', quote_ident(login);
            end if;
            if not pg_has_role(login, kind.standard_role, 'usage') then
                execute format('grant %I to %I%s', kind.standard_role, login, with_inherit);
                raise notice 'granted role % to %', kind.standard_role, quote_ident(login);
            end if;
            if not pg_has_role(login, kind.standard_role, 'usage') then
                raise exception 'role % does not inherit from the roles that it is a member of', quote_ident(login)
                    using hint = format('alter role %I inherit', login);
            end if;
        end loop;
        foreach login in array granted loop
            if not exists (select from pg_roles where rolname = login) then
                raise exception 'role % does not exist', quote_ident(login) using errcode = 'undefined_object',
                    hint = format('create role %I login; or leave out --no-create-roles', login);
            end if;
        end loop;
        grantees := grantees || jsonb_build_object(kind.plural, granted);
    end loop;
    perform set_config('outboxd.grantees', grantees::text, true);
end
$prepare$;

-- ---- the version, read as the owner ----------------------------------------------------------------------------
do $prepare$
declare
    newest integer := (current_setting('outboxd.migrate')::jsonb -> 'version')::integer;
    present integer := 0;
begin
    perform set_config('role', current_setting('outboxd.owner'), true);
    if to_regclass('outbox.schema_version') is not null then
        lock table outbox.schema_version in share row exclusive mode;    -- one migration at a time; readers go on
        select version into present from outbox.schema_version;
    end if;
    if present > newest then
        raise exception 'the schema is at version %, and this outboxd knows versions up to %', present, newest
            using errcode = 'object_not_in_prerequisite_state', hint = 'migrate with the newer outboxd';
    end if;
    perform set_config('outboxd.version', present::text, true);
end
$prepare$;
