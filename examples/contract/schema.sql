-- The tables of the contract example: contracts as another company's API tells them, and the jobs that fetch them.
-- Apply as the owner of the application's tables; README.md has the grants for the application's login.
-- The outbox is not here: `outboxd migrate` brings it.

create table contract (
  id         text        primary key check (id ~ '^[A-Za-z0-9_-]{1,64}$'),
  version    bigint      not null check (version > 0), -- the API's own, growing: the newer one wins, whoever comes last
  etag       text,                                     -- of the header, for If-None-Match; null: the API gave none
  customer   text        not null,
  currency   text        not null check (currency ~ '^[A-Z]{3}$'),
  total      numeric     not null check (total >= 0),  -- money is never a float
  item_count integer     not null check (item_count >= 0),
  stored_at  timestamptz not null default now()
);

create table contract_item (
  contract_id text    not null references contract (id),
  line        integer not null check (line > 0),
  product     text    not null,
  quantity    integer not null check (quantity > 0),
  unit_price  numeric not null check (unit_price >= 0),
  primary key (contract_id, line)
);

-- One row for each contract that somebody wants; to want it (again):
--   insert into contract_job (contract_id) values (..) on conflict (contract_id) do update set due_at = now(), failures = 0
create table contract_job (
  contract_id   text        primary key check (contract_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  due_at        timestamptz not null default now(), -- infinity: nothing to do until somebody wants it again
  claim         bigint      not null default 0,     -- number of the newest claim: a worker with an older one has lost it
  claimed_until timestamptz,                        -- a worker is at it until then; null: nobody
  failures      integer     not null default 0,     -- its own, since it was wanted or stored; not limits, not dead workers
  outcome       text check (outcome in ('stored', 'unchanged', 'not_found', 'timeout', 'bad_data', 'refused', 'rate_limited',
                                        'unauthorized')),
  last_error    text,                               -- what was wrong, and where; null: nothing
  finished_at   timestamptz                         -- when `outcome` was written
);

-- At most one row: until then no worker claims a job, for the API refuses the client itself, for a limit or its credentials. To go on
-- at once: delete from contract_pause
create table contract_pause (
  one   boolean     primary key default true check (one),
  until timestamptz not null
);

-- What is due: free jobs at their time, and those whose worker has died when their claim ends.
create index contract_job_due_idx on contract_job (coalesce(claimed_until, due_at));
