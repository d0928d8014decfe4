/* commands_processes.c: `outboxd status` lists the processes of a relay, leader and standbys, as far as its role may see them. */
#include "commands_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A session such as a relay's process has. */
static PGconn *
process(const struct outbox *outbox, const char *user, const char *relay, const char *holder)
{
    char name[SESSION_NAME_SIZE];
    PGconn *session = outbox_session(outbox, user);
    session_name(name, relay, holder);
    postgres_exec(session, "set application_name = '%s'", name);
    return session;
}

static const json_t *
processes_of(const json_t *object)
{
    const json_t *processes = json_object_get(status_relay_of(object), "processes");
    cr_assert(json_is_array(processes));
    return processes;
}

/* The newest row of the journal is this holder's, and young. */
static void
lead_as(const struct outbox *outbox, const char *holder, const char *released)
{
    postgres_exec(
        outbox->relay,
        "insert into outbox.journal (relay, seq, epoch, holder, snapshot, lo_id, hi_id, confirmed_seq,"
        " released, sysid, timeline, dbid, nonce)"
        " select relay, seq + 1, epoch + 1, '%s', snapshot, lo_id, hi_id, confirmed_seq, %s, sysid,"
        " timeline, dbid, 7 from outbox.journal order by seq desc limit 1",
        holder, released);
}

static void
expect_process(const json_t *processes, size_t index, const char *role, const char *holder, PGconn *session)
{
    const json_t *process = json_array_get(processes, index);
    cr_assert_not_null(process);
    cr_expect_str_eq(status_text(process, "role"), role);
    cr_expect_str_eq(status_text(process, "holder"), holder);
    cr_expect_eq(status_integer(process, "pid"), PQbackendPID(session));
}

#define FIRST "0123456789abcdef0123456789abcdef"
#define SECOND "fedcba9876543210fedcba9876543210"

Test(commands_processes, a_leader_and_its_standbys_are_listed_with_where_they_are_and_since_when)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    PGconn *first = process(&outbox, POSTGRES_RELAY, "main", FIRST);
    PGconn *second = process(&outbox, POSTGRES_RELAY, "main", SECOND);
    lead_as(&outbox, SECOND, "false");

    json_t *object = status_object(&outbox);
    const json_t *processes = processes_of(object);
    cr_assert_eq(json_array_size(processes), 2);
    expect_process(processes, 0, "standby", "01234567", first);
    expect_process(processes, 1, "leader", "fedcba98", second);
    cr_expect_str_eq(status_text(json_array_get(processes, 0), "client"), "127.0.0.1");
    cr_expect(status_real(json_array_get(processes, 0), "connected_seconds") >= 0);
    json_decref(object);

    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    char *line = must_format("\n  processes    standby 01234567, backend %d, from 127.0.0.1, for ",
                             PQbackendPID(first));
    cr_expect(strstr(ran.out, line) != NULL, "%s", ran.out);
    cr_expect(strstr(ran.out, "\n               leader fedcba98, backend ") != NULL, "%s", ran.out);
    free(line);
    ran_free(&ran);
    free(config);

    lead_as(&outbox, SECOND, "true");
    object = status_object(&outbox);
    expect_process(processes_of(object), 1, "was leader", "fedcba98", second);
    json_decref(object);
    PQfinish(second);
    PQfinish(first);
    outbox_close(&outbox);
}

Test(commands_processes, a_session_that_only_calls_itself_so_or_is_of_another_relay_or_database_is_none)
{
    struct outbox outbox = outbox_open(), elsewhere = outbox_open();
    outbox_register(&outbox);
    PGconn *strangers[] = {
        process(&outbox, POSTGRES_WRITER, "main", FIRST),
        process(&outbox, POSTGRES_STRANGER, "main", FIRST),
        process(&outbox, POSTGRES_RELAY, "other", FIRST),
        process(&outbox, POSTGRES_RELAY, "main", "no holder"),
        process(&elsewhere, POSTGRES_RELAY, "main", FIRST),
    };
    json_t *object = status_object(&outbox);
    cr_expect_eq(json_array_size(processes_of(object)), 0);
    json_decref(object);
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_expect(strstr(ran.out, "\n  processes    none is connected") != NULL, "%s", ran.out);
    ran_free(&ran);
    free(config);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        PQfinish(strangers[i]);
    outbox_close(&elsewhere);
    outbox_close(&outbox);
}

/* The place and the time of another role's session are hidden; that it is there is not. */
Test(commands_processes, of_another_role_what_may_not_be_seen_is_unknown)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    PGconn *session = process(&outbox, POSTGRES_ADMIN, "main", FIRST);
    json_t *object = status_object(&outbox);
    const json_t *processes = processes_of(object);
    cr_assert_eq(json_array_size(processes), 1);
    expect_process(processes, 0, "standby", "01234567", session);
    cr_expect(json_is_null(json_object_get(json_array_get(processes, 0), "client")));
    cr_expect(json_is_null(json_object_get(json_array_get(processes, 0), "connected_seconds")));
    json_decref(object);
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_expect(strstr(ran.out, "another role's\n") != NULL, "%s", ran.out);
    ran_free(&ran);
    free(config);
    PQfinish(session);
    outbox_close(&outbox);
}

Test(commands_processes, a_relay_name_of_any_length_leaves_room_for_the_holder)
{
    char longest[101], name[SESSION_NAME_SIZE];
    memset(longest, 'r', 100);
    longest[100] = '\0';
    session_name(name, longest, FIRST);
    cr_expect_eq(strlen(name), 63);
    cr_expect_str_eq(name + 54, " 01234567");

    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, "update outbox.relay set name = '%s'", longest);
    PGconn *session = process(&outbox, POSTGRES_RELAY, longest, FIRST);
    json_t *object = status_object(&outbox);
    cr_assert_eq(json_array_size(processes_of(object)), 1);
    expect_process(processes_of(object), 0, "standby", "01234567", session);
    json_decref(object);
    PQfinish(session);
    outbox_close(&outbox);
}
