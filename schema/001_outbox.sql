-- 001_outbox.sql: the outbox: events, the relays that publish them, and the journal of what was published.
-- Run by `outboxd migrate` as the owner role, inside one transaction; who may do what is granted by grant.sql.
-- Plain SQL for Postgres 13 and later. It must never put a trigger, a lock or a NOTIFY into a business transaction.

do $$
begin
    if to_regnamespace('outbox') is null then
        create schema outbox;
    end if;
end
$$;

-- ---- what this schema is: one row ------------------------------------------------------------------------------
create table outbox.schema_version (
    singleton      boolean     not null default true primary key check (singleton),  -- keeps it at one row
    version        integer     not null,                     -- number of the newest migration that was applied
    readable_since integer     not null,                     -- binaries made for this version or a later one still work
    slots          integer     not null,                     -- partitions of outbox.event: event_0 .. event_<slots - 1>
    slot_width     interval    not null,                     -- how long new events go into one slot
    migrated_at    timestamptz not null default now()        -- when `version` was reached
);
comment on table outbox.schema_version is 'outboxd: version of this schema, one row';
insert into outbox.schema_version (version, readable_since, slots, slot_width) values (1, 1, 12, interval '3 hours');

-- ---- events ----------------------------------------------------------------------------------------------------
-- A ring of 12 slots of 3 hours. A slot comes round again after 36 hours; by then the relay has emptied it, if its
-- events are confirmed and older than the retention. If not, new events join the old ones and nothing is lost.
create table outbox.event (
    -- The transaction that inserted the event. It must stay the FIRST column: Postgres evaluates defaults in column
    -- order, so the xid is assigned before the id is drawn, on which the relay's reading rests.
    xid        xid8        not null default pg_current_xact_id(),
    -- Unique within this outbox, growing, with gaps. ALWAYS, because "by default" draws the ids of a multi-row VALUES
    -- before the xid; cache 1, because a cached range would be handed out after later ids were seen.
    id         bigint      not null generated always as identity (sequence name outbox.event_id_seq cache 1 no cycle),
    -- Which partition: 10800 s is the slot width, 12 the number of slots, as outbox.schema_version says.
    slot       smallint    not null default (extract(epoch from now())::bigint / 10800 % 12)::smallint,
    created_at timestamptz not null default clock_timestamp(),    -- becomes the Kafka timestamp
    topic      text        not null,                              -- the Kafka topic
    key        bytea,                                             -- the Kafka key; events of one key keep their order
    payload    bytea,                                             -- the Kafka value; NULL is a tombstone
    headers    jsonb,                                             -- {"name": "value" | ["value", ...] | null, ...} or NULL

    -- A legal Kafka topic name, and none of Kafka's or our own internals.
    constraint event_topic_legal check (
        octet_length(topic) <= 249
        and topic collate "C" ~ '^[a-zA-Z0-9._-]+$'
        and topic not in ('.', '..')
        and not starts_with(topic, '__')),

    constraint event_payload_at_most_16_mib check (octet_length(payload) <= 16777216),

    -- A flat object of legal, unreserved names, with strings, arrays of strings or null; at most 32 KiB as UTF-8 text and
    -- 64 headers, each element of an array being one: "lax" makes one item of a scalar and n of an array of n. The longest
    -- name is the last one, because jsonb keeps shorter names first; a {1,128} in the pattern would cost 70 us an event.
    -- NULL and {} cost nothing.
    constraint event_headers_legal check (
        headers is null
        or headers = '{}'
        or (jsonb_typeof(headers) = 'object'
            and octet_length(convert_to(headers::text, 'UTF8')) <= 32768
            and jsonb_array_length(jsonb_path_query_array(headers, 'lax $.*[*]')) <= 64
            and not headers ?| '{id,source,replay}'
            and not jsonb_path_exists(headers, 'strict $.keyvalue().key ? (
                    @ starts with "outbox-" || !(@ like_regex "^[A-Za-z0-9._-]+$"))')
            and octet_length(jsonb_path_query_array(headers, 'strict $.keyvalue().key') ->> -1) <= 128
            and not jsonb_path_exists(headers, 'strict $.* ? (
                    @.type() != "string" && @.type() != "array" && @.type() != "null")')
            and not jsonb_path_exists(headers, 'strict $.* ? (@.type() == "array")[*] ? (@.type() != "string")')))
) partition by list (slot);
comment on table outbox.event is 'outboxd: insert (topic, key, payload, headers) in your own transaction; published when it commits';

-- Rows are never updated or deleted, only truncated: nothing for vacuum to do but what aborted transactions leave.
do $$
begin
    for i in 0 .. 11 loop
        execute format('create table outbox.event_%s partition of outbox.event for values in (%s)'
                       ' with (autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_insert_threshold = -1)',
                       i, i);
    end loop;
end
$$;

create index event_id on outbox.event (id);            -- pages in id order
create index event_xid on outbox.event (xid, id);      -- pages of one late transaction, and whether it has any event

-- ---- relays ----------------------------------------------------------------------------------------------------
create table outbox.relay (
    name       text        not null primary key,                  -- processes of this name form one leader and its standbys
    source     text        not null,                              -- the `source` header that it sends
    topics     text[]      not null,                              -- shell patterns: the topics that it publishes
    retention  interval    not null,                              -- how long confirmed events stay; the largest counts
    paused     boolean     not null default false,                -- of a later version; nothing reads it yet
    created_at timestamptz not null default now(),
    retired_at timestamptz,                                       -- set: holds nothing back any more
    trouble    jsonb,                                             -- what its leader is stuck at; NULL: nothing
    trouble_at timestamptz,                                       -- when `trouble` last changed

    -- Both become part of Kafka names: 'outboxd-position-<source>-<name>' has to fit into 249 characters.
    constraint relay_name_legal check (octet_length(name) <= 100 and name collate "C" ~ '^[a-zA-Z0-9._-]+$'),
    constraint relay_source_legal check (octet_length(source) <= 100 and source collate "C" ~ '^[a-zA-Z0-9._-]+$'),
    constraint relay_topics_given check (cardinality(topics) > 0 and array_position(topics, null) is null),
    constraint relay_retention_positive check (retention > interval '0')
);
comment on table outbox.relay is 'outboxd: the registry of relays; living ones hold back events until they confirm them';

-- ---- the journal -----------------------------------------------------------------------------------------------
-- Append-only; the newest row of a relay is its whole state. Its events of tick seq are those visible in the snapshot of
-- row seq and not in that of row seq - 1: a set that is fixed for ever, so that it can be read again after any crash.
create table outbox.journal (
    relay         text        not null,                           -- outbox.relay.name
    seq           bigint      not null,                           -- number of the tick, without gaps
    epoch         bigint      not null,                           -- fencing token: only the owner of the newest appends
    holder        text,                                           -- 128 random bits of the process that wrote the row
    snapshot      pg_snapshot not null,                           -- the tick
    w             xid8        not null default pg_current_xact_id(),  -- this row's own xid: unassigned when the snapshot was taken
    lo_id         bigint      not null,                           -- sequence value returned by an EARLIER statement of the connection
    hi_id         bigint      not null,                           -- sequence value read in this statement, after its snapshot
    confirmed_seq bigint      not null,                           -- every event of this tick and of those before is confirmed
    confirmed_id  bigint,                                         -- and of the next tick those up to this id
    released      boolean     not null default false,             -- the holder has stopped: take over at once
    sysid         bigint      not null,                           -- the database in which these xids mean something:
    timeline      integer     not null,                           --   cluster, its timeline,
    dbid          oid         not null,                           --   and the database's oid
    nonce         bigint      not null,                           -- tells this row from another of the same number in a lost history
    written_at    timestamptz not null default clock_timestamp(), -- the heartbeat
    primary key (relay, seq)                                      -- the compare-and-swap: two leaders cannot both append seq + 1
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_insert_threshold = -1);
comment on table outbox.journal is 'outboxd: ticks and confirmations, append-only; trimmed by outbox.journal_trim';

-- ---- functions for applications --------------------------------------------------------------------------------
-- Each inserts one event in the caller's transaction and returns its id. plpgsql, because an SQL function is planned at
-- every call. Text becomes UTF-8 whatever the server encoding is; a NULL stays NULL.
create function outbox.emit(topic text, key text, payload jsonb, headers jsonb default '{}') returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    event_id bigint;
begin
    insert into outbox.event (topic, key, payload, headers)
    values (emit.topic, convert_to(emit.key, 'UTF8'), convert_to(emit.payload::text, 'UTF8'), emit.headers)
    returning event.id into event_id;
    return event_id;
end
$$;
comment on function outbox.emit(text, text, jsonb, jsonb) is 'outboxd: inserts one event with a JSON payload, returns its id';

create function outbox.emit_bytes(topic text, key bytea, payload bytea, headers jsonb default '{}') returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    event_id bigint;
begin
    insert into outbox.event (topic, key, payload, headers)
    values (emit_bytes.topic, emit_bytes.key, emit_bytes.payload, emit_bytes.headers)
    returning event.id into event_id;
    return event_id;
end
$$;
comment on function outbox.emit_bytes(text, bytea, bytea, jsonb) is 'outboxd: inserts one event with any bytes, returns its id';

-- ---- functions for the relay -----------------------------------------------------------------------------------
-- It may not update, delete or truncate anything; these do it in its stead, after looking.

-- Registers the first relay of an empty registry, with the journal row from which it starts: nothing seen yet. Of a
-- known living relay it updates what differs. False when only other names (or a retired one of this name) are there.
create function outbox.relay_register(name text, source text, topics text[], retention interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    ring record;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.relay_register needs read committed: it must see what others registered meanwhile'
            using errcode = 'invalid_transaction_state';
    end if;
    select v.slots, v.slot_width into ring from outbox.schema_version v;
    if relay_register.retention > (ring.slots - 2) * ring.slot_width then
        raise exception 'a retention of % would never empty a slot of this outbox: % slots of % allow at most %',
            relay_register.retention, ring.slots, ring.slot_width, (ring.slots - 2) * ring.slot_width
            using errcode = 'invalid_parameter_value';
    end if;

    if not exists (select from outbox.relay r where r.name = relay_register.name and r.retired_at is null) then
        -- One first relay: a second one waits here, and then sees it. (Never after the update below: two sessions that
        -- hold its weaker lock and want this one would wait for each other.)
        lock table outbox.relay in share row exclusive mode;
        if not exists (select from outbox.relay r where r.name = relay_register.name and r.retired_at is null) then
            if exists (select from outbox.relay) then
                return false;
            end if;
            insert into outbox.relay (name, source, topics, retention)
            values (relay_register.name, relay_register.source, relay_register.topics, relay_register.retention);
            insert into outbox.journal (relay, seq, epoch, holder, snapshot, w, lo_id, hi_id, confirmed_seq, released,
                                        sysid, timeline, dbid, nonce)
            select relay_register.name, 0, 0, 'boot', '3:3:', '3', 0, 0, 0, true, c.system_identifier,
                   -- the file name, because pg_control_checkpoint() shows the old timeline after a promotion
                   ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer, d.oid,
                   ('x' || left(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint
              from pg_control_system() c, pg_database d
             where d.datname = current_database();
            return true;
        end if;
    end if;
    update outbox.relay r
       set source = relay_register.source, topics = relay_register.topics, retention = relay_register.retention
     where r.name = relay_register.name
       and (r.source, r.topics, r.retention)
           is distinct from (relay_register.source, relay_register.topics, relay_register.retention);
    return true;
end
$$;
comment on function outbox.relay_register(text, text, text[], interval) is
    'outboxd: registers the first relay, updates a known one; false: the registry has other names only';

-- Writes down what the leader is stuck at (NULL: nothing any more), only on a change. False when there is no such relay.
create function outbox.relay_trouble(name text, trouble jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update outbox.relay r set trouble = relay_trouble.trouble, trouble_at = clock_timestamp()
     where r.name = relay_trouble.name and r.trouble is distinct from relay_trouble.trouble;
    return exists (select from outbox.relay r where r.name = relay_trouble.name);
end
$$;
comment on function outbox.relay_trouble(text, jsonb) is 'outboxd: what the leader of a relay is stuck at, for status';

-- Why a slot can or cannot be emptied, without any lock: 'ready' | 'empty' | 'young' | 'unconfirmed'. Young: its newest
-- event is within the largest retention of the living relays. Unconfirmed: for some living relay an event may not be
-- visible in the snapshot that it has confirmed, or that relay's journal speaks of another database, or none is living.
create function outbox.slot_state(slot integer) returns text
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
        '   left join outbox.journal c on c.relay = n.relay and c.seq = n.confirmed_seq'
        '  where r.retired_at is null and ('
        '        c.seq is null'
        '     or c.sysid <> (select system_identifier from pg_control_system())'
        '     or c.dbid <> (select oid from pg_database where datname = current_database())'
        '     or exists (select from outbox.%1$I e where e.xid >= pg_snapshot_xmax(c.snapshot))'
        '     or exists (select from pg_snapshot_xip(c.snapshot) x(xid) join outbox.%1$I e on e.xid = x.xid)))',
        partition_name) into unconfirmed;
    return case when unconfirmed then 'unconfirmed' else 'ready' end;
end
$$;
comment on function outbox.slot_state(integer) is 'outboxd: ready | empty | young | unconfirmed, looked at without a lock';

-- Empties a slot that is ready: 'emptied', or why not: what slot_state says, or 'busy' when a transaction has used it.
-- A statement of its own, never inside a transaction: the lock ends with the transaction.
create function outbox.slot_empty(slot integer) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    state text;
begin
    -- The second look must see what was committed before the lock was given: it needs a snapshot of its own.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'outbox.slot_empty needs read committed: it must see the events committed before its lock'
            using errcode = 'invalid_transaction_state';
    end if;
    state := outbox.slot_state(slot);
    if state <> 'ready' then
        return state;
    end if;
    begin
        -- NOWAIT: a waiting request would block writers behind it. Whoever has uncommitted events here refuses it.
        execute format('lock table outbox.%I in access exclusive mode nowait', 'event_' || slot);
    exception when lock_not_available then
        return 'busy';
    end;
    state := outbox.slot_state(slot);
    if state = 'ready' then
        execute format('truncate table outbox.%I', 'event_' || slot);
        state := 'emptied';
    end if;
    return state;
end
$$;
comment on function outbox.slot_empty(integer) is 'outboxd: truncates one slot whose events are old and confirmed by all';

-- Deletes journal rows from the old end, at most 10,000 a call: the row at confirmed_seq and an hour before it stay.
-- Returns the low-water mark: no row below it is left. Pass it to the next call, which then does not walk over the
-- index entries of rows deleted before.
create function outbox.journal_trim(relay text, low bigint default 0) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
    set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    confirmed record;
    keep_from bigint;
begin
    select c.seq, c.written_at into confirmed
      from (select j.confirmed_seq from outbox.journal j
             where j.relay = journal_trim.relay order by j.seq desc limit 1) n
      join outbox.journal c on c.relay = journal_trim.relay and c.seq = n.confirmed_seq;
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
comment on function outbox.journal_trim(text, bigint) is 'outboxd: deletes journal rows that nobody needs any more';

-- Functions are open to everybody unless said otherwise; grant.sql opens them to writers and relays.
revoke all on all functions in schema outbox from public;
