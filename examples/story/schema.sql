-- The business tables of the story example: members, and the stories that they have written.
-- Apply as the owner of the application's tables; README.md has the grants for the application's login.
-- The outbox is not here: `outboxd migrate` brings it.

create table member (
  id                    bigint  generated always as identity primary key,
  name                  text    not null,
  -- the number of the member's rows in `story`, kept beside them by domain/write_story.c: at every moment, for everybody
  stories_written_count integer not null default 0 check (stories_written_count >= 0)
);

create table story (
  id         bigint      generated always as identity primary key,
  member_id  bigint      not null references member (id),
  title      text        not null constraint story_title_short check (octet_length(title) <= 200),
  created_at timestamptz not null default now()
);

create index story_member_id_idx on story (member_id);
