-- The business tables of the project example: an owner, the owner's projects, and the workflows of each project.
-- Apply as the owner of the application's tables; README.md has the grants for the application's login.
-- Every rule has a name: creation_error.c turns these names into the domain's words.
-- The outbox is not here: `outboxd migrate` brings it.

create table owner (
  id            bigint  generated always as identity primary key,
  name          text    not null,
  projects_left integer not null default 100                      -- how many more the owner may create
                constraint owner_projects_left check (projects_left >= 0)
);

create table project (
  id                  bigint      generated always as identity primary key,
  owner_id            bigint      not null constraint project_owner_fkey references owner (id),
  name                text        not null constraint project_name_given check (name ~ '\S'),
  initial_workflow_id bigint,                                     -- set as soon as the workflows are there
  created_at          timestamptz not null default now(),
  constraint project_name_key unique (owner_id, name)
);

create table workflow (
  id         bigint generated always as identity primary key,
  project_id bigint not null constraint workflow_project_fkey references project (id),
  name       text   not null constraint workflow_name_given check (name ~ '\S'),
  constraint workflow_name_key unique (project_id, name),
  constraint workflow_of_project_key unique (project_id, id)
);

-- A project begins with one of its own workflows, not with somebody else's.
alter table project add constraint project_initial_workflow_fkey
  foreign key (id, initial_workflow_id) references workflow (project_id, id);

-- No project without a workflow. The project is inserted before its workflows, so that this can be asked at COMMIT only.
create function project_look_for_workflow() returns trigger language plpgsql as $$
begin
  if exists (select from project where id = new.id and initial_workflow_id is null) then
    raise exception 'project % has no workflow', new.id
      using errcode = 'check_violation', constraint = 'project_has_workflow', table = 'project';
  end if;
  return null;
end $$;

create constraint trigger project_has_workflow after insert or update on project
  deferrable initially deferred for each row execute function project_look_for_workflow();
