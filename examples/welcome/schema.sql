-- What the mailer of the welcome example keeps besides its inbox, which `outboxd migrate --consumer` brings. Apply after
-- ../signup/schema.sql, as the owner of the application's tables; README.md has the grants for the mailer's login.

-- Mails that the mail server refused, or took without saying so, for people to look at. No reference to app_user: a refusal outlives
-- the user, and checking one would lock the user's row.
create table mail_refused (
  source      text        not null, -- the headers `source` and `id` of the event
  event_id    bigint      not null,
  user_id     bigint,               -- null: the event does not say whom
  reason      text        not null, -- the latest, in the mail server's words
  tries       integer     not null default 1,
  handed_over integer     not null default 0, -- how often without an answer: there may be so many copies
  first_at    timestamptz not null default now(),
  given_up_at timestamptz,          -- null: still tried; otherwise only `welcome --resend` sends it
  primary key (source, event_id)
);
