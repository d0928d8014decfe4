-- The business tables of the sign-up example: an account, and the user who owns it.
-- Apply as the owner of the application's tables; README.md has the grants for the application's login.
-- The outbox is not here: `outboxd migrate` brings it.

create table account (
  id         bigint      generated always as identity primary key,
  name       text        not null,
  created_at timestamptz not null default now()
);

create table app_user (
  id            bigint      generated always as identity primary key,
  account_id    bigint      not null references account (id),
  email         text        not null,
  password_hash text        not null check (password_hash like '$y$%'), -- yescrypt; it never belongs in an event
  created_at    timestamptz not null default now()
);

create index app_user_account_id_idx on app_user (account_id);

-- One user for each address, however it is spelled. user_repository.c knows this index by its name.
create unique index app_user_email_key on app_user (lower(email));

-- What the people of an account see when they come back. Nice to have: a sign-up goes through without it.
create table notification (
  id         bigint      generated always as identity primary key,
  account_id bigint      not null references account (id),
  user_id    bigint      not null references app_user (id), -- who is new
  text       text        not null,
  created_at timestamptz not null default now()
);

create index notification_account_id_idx on notification (account_id);
