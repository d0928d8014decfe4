-- The tables that the shop had before it had an outbox: accounts, their users, vouchers and who redeemed them.
-- Apply as the owner of the application's tables; README.md has the grants for the application's login.
-- app/errors.py knows the constraints by the names that are given here.

create table account (
  id     bigint  generated always as identity primary key,
  name   text    not null,
  credit integer not null default 0,
  constraint account_credit_within_limit check (credit between 0 and 100)
);

create table app_user (
  id         bigint generated always as identity primary key,
  account_id bigint not null references account (id),
  email      text   not null
);

create index app_user_account_id_idx on app_user (account_id);

-- One user for each address, however it is spelled.
create unique index app_user_email_key on app_user (lower(email));

create table voucher (
  code   text    primary key,
  amount integer not null check (amount > 0)
);

-- A voucher is good for one account.
create table redemption (
  code       text   not null,
  account_id bigint not null references account (id),
  constraint redemption_once primary key (code),
  constraint redemption_of_known_voucher foreign key (code) references voucher (code)
);
