/* story.c: the story example as its readers run it. One number is kept beside the rows that it counts, and it is right at every
 * moment and for everybody: while sixteen write, while deadlocks, refusals and lost connections abort, and wherever the program
 * dies. */
#include "command.h"
#include "fixture.h"

#include "support/checker.h"
#include "support/consumer.h"
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define STORY_TOPIC "story.written"
#define MEMBERS 5
#define GRANTS                                                                                               \
    "grant select, insert on member, story to " POSTGRES_WRITER ";"                                          \
    "grant update (stories_written_count) on member to " POSTGRES_WRITER ";"                                 \
    "insert into member (name) select 'member ' || i from generate_series(1, 5) i"

struct library {
    struct postgres *postgres;
    const char *database;
    const char *conninfo; /* of the application */
    PGconn *admin;
};

static struct library
library_open(struct postgres *postgres)
{
    struct library library = {.postgres = postgres};
    library.database = example_database(postgres, "story", GRANTS);
    library.conninfo = postgres_conninfo(postgres, library.database, POSTGRES_WRITER);
    library.admin = postgres_open(postgres, library.database, POSTGRES_ADMIN);
    /* found sooner than after a second; read when a session begins */
    postgres_exec(library.admin, "alter database \"%s\" set deadlock_timeout = '50ms'", library.database);
    return library;
}

static void
library_close(struct library *library)
{
    PQfinish(library->admin);
    postgres_free(library->postgres);
}

/* One statement, one snapshot: what anybody else sees at this moment. */
static void
expect_invariant(struct library *library)
{
    cr_assert_eq(postgres_int(library->admin, "select count(*) from member m where stories_written_count <>"
                                              " (select count(*) from story s where s.member_id = m.id)"),
                 0, "a member's count is not the number of the member's stories");
    cr_assert_eq(
        postgres_int(library->admin, "select (select count(*) from story) - count(*) from outbox.event"), 0,
        "a story without an event, or the other way round");
}

static int64_t
count_stories(struct library *library)
{
    return postgres_int(library->admin, "select count(*) from story");
}

static void
expect_story(struct library *library, const char *word, int code, const char *words,
             const char *const *arguments)
{
    struct command command = command_start("story", word, library->conninfo, arguments);
    command_expect(&command, code, words);
    expect_invariant(library);
}

Test(story, each_story_raises_the_count_of_its_member)
{
    struct library library = library_open(postgres_shared());
    expect_story(&library, "join", 0, "member=6", ARGUMENTS("--name", "Astrid"));
    expect_story(&library, "write", 0, "story=1 stories_written_count=1",
                 ARGUMENTS("--member", "6", "--title", "a walk"));
    expect_story(&library, "write", 0, "story=2 stories_written_count=2",
                 ARGUMENTS("--member", "6", "--title", "a boat"));
    expect_story(&library, "write", 0, "story=3 stories_written_count=1",
                 ARGUMENTS("--member", "2", "--title", "a hill"));
    cr_expect_eq(count_stories(&library), 3);
    library_close(&library);
}

Test(story, what_cannot_be_written_changes_no_count__P1)
{
    struct library library = library_open(postgres_shared());
    char *title = must_format("a %0300d", 0);
    expect_story(&library, "write", 1, "nobody is member 99",
                 ARGUMENTS("--member", "99", "--title", "a walk"));
    expect_story(&library, "write", 1, "a story has a title", ARGUMENTS("--member", "1", "--title", ""));
    expect_story(&library, "write", 1, "\"story_title_short\"", ARGUMENTS("--member", "1", "--title", title));
    postgres_exec(library.admin, "alter table outbox.event add constraint closed check (false) not valid");
    expect_story(&library, "write", 1, "\"closed\"", ARGUMENTS("--member", "1", "--title", "a walk"));
    cr_expect_eq(count_stories(&library), 0);
    free(title);
    library_close(&library);
}

/* ---- aborts ---- */

static bool
writer_waits(struct library *library, const char *event)
{
    return postgres_int(library->admin,
                        "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                        "' and datname = current_database() and '%s' in (wait_event_type, wait_event)",
                        event) > 0;
}

/* The writer has the member's row and waits for the table, which the rival has; then the rival wants the row. The rival never
 * looks for deadlocks, so the writer is the one who has to give way. */
Test(story, the_loser_of_a_deadlock_has_written_nothing_and_is_told_to_try_again__P1)
{
    struct library library = library_open(postgres_shared());
    postgres_exec(library.admin, "alter database \"%s\" set deadlock_timeout = '%d s'", library.database,
                  (int)(5 * wait_patience()));
    PGconn *rival = postgres_open(library.postgres, library.database, POSTGRES_ADMIN);
    postgres_exec(rival, "set deadlock_timeout = '1h'; begin; lock table story in share mode");
    struct command command =
        command_start("story", "write", library.conninfo, ARGUMENTS("--member", "1", "--title", "a walk"));
    wait_for(writer_waits(&library, "Lock"), 10000);
    postgres_exec(rival, "update member set name = name where id = 1; commit");
    command_expect(&command, 1, "not written: deadlock detected; try it again");
    expect_invariant(&library);
    cr_expect_eq(count_stories(&library), 0);
    PQfinish(rival);
    library_close(&library);
}

/* A standby that does not exist is waited for by the one session that asks for it. */
Test(story, a_commit_that_is_not_answered_is_reported_as_unknown)
{
    struct library library =
        library_open(postgres_start("synchronous_standby_names = 'nobody'\nsynchronous_commit = local\n"));
    char *patient = must_format("%s options='-c synchronous_commit=on'", library.conninfo);
    struct command command =
        command_start("story", "write", patient, ARGUMENTS("--member", "1", "--title", "a walk"));
    wait_for(writer_waits(&library, "SyncRep"), 10000);
    postgres_exec(library.admin, "select pg_terminate_backend(pid) from pg_stat_activity"
                                 " where wait_event = 'SyncRep'");
    command_expect(&command, 1, "written or not: ");
    expect_invariant(&library);
    cr_expect_eq(count_stories(&library), 1, "this time it was");
    free(patient);
    library_close(&library);
}

/* Takes the two locks of a writer in the other order. True: it lost. */
static bool
deadlock(PGconn *rival, int turn)
{
    const char *sqlstate = postgres_sqlstate(rival,
                                             "begin; lock table story in share mode;"
                                             " update member set name = name where id = %d; commit",
                                             1 + turn % MEMBERS);
    if (strcmp(sqlstate, "00000") == 0)
        return false;
    cr_assert_str_eq(sqlstate, "40P01");
    postgres_exec(rival, "rollback");
    return true;
}

Test(story, the_count_is_right_at_every_moment_under_deadlocks_refusals_and_lost_connections__P1,
     .timeout = 180)
{
    struct library library = library_open(postgres_shared());
    PGconn *rival = postgres_open(library.postgres, library.database, POSTGRES_ADMIN);
    struct command command = command_start(
        "story", "load", library.conninfo,
        ARGUMENTS("--count", "3000", "--threads", "16", "--members", "5", "--spoil-every", "4"));
    int code, turn = 0, lost = 0;
    for (int64_t end_us = wait_deadline_us(120000); !process_ended(command.pid, &code); turn++) {
        expect_invariant(&library);
        lost += deadlock(rival, turn);
        if (turn % 8 == 7)
            postgres_exec(
                library.admin,
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = '" POSTGRES_WRITER
                "' and datname = current_database() order by random() limit 1");
        cr_assert(wait_turn(end_us), "3,000 stories take too long");
    }
    char *output = command_output(&command);
    long written = command_number(output, "written="), spoiled = command_number(output, "spoiled="),
         aborted = command_number(output, "aborted="), unknown = command_number(output, " unknown=");
    expect_invariant(&library);
    cr_expect_eq(written + spoiled + aborted + unknown, 3000);
    cr_expect_gt(spoiled, 0);
    cr_expect_gt(aborted + unknown, 0, "no connection was lost");
    cr_expect_gt(command_number(output, "retries=") + lost, 0, "no deadlock");
    cr_expect_geq(count_stories(&library), written);
    cr_expect_leq(count_stories(&library), written + unknown);
    free(output);
    PQfinish(rival);
    library_close(&library);
}

static struct command
load_until_postgres_stops(struct library *library, const char *count)
{
    struct command command = command_start("story", "load", library->conninfo,
                                           ARGUMENTS("--count", count, "--threads", "4", "--members", "5"));
    wait_for(count_stories(library) >= 40, 30000);
    postgres_stop_fast(library->postgres);
    return command;
}

Test(story, a_server_that_restarts_is_waited_for_and_costs_each_thread_one_story_at_most)
{
    struct library library = library_open(postgres_start(NULL));
    struct command command = load_until_postgres_stops(&library, "2000");
    command_restart_server(&command, library.postgres);
    char *output;
    command_end(&command, &output);
    long lost = command_number(output, "aborted=") + command_number(output, " unknown=");
    cr_expect_eq(command_number(output, "written=") + lost, 2000);
    cr_expect_leq(lost, 4, "a stopped server was asked again and again: %s", output);
    free(output);
    library_close(&library);
}

Test(story, a_server_that_stays_away_is_given_up)
{
    struct library library = library_open(postgres_start(NULL));
    struct command command = load_until_postgres_stops(&library, "1000000");
    char *output;
    cr_expect_eq(command_end(&command, &output), 1);
    cr_expect(strstr(output, "gives up") != NULL, "%s", output);
    cr_expect_leq(command_number(output, "aborted="), 4, "of a stopped server so much was wanted: %s",
                  output);
    free(output);
    library_close(&library);
}

#define KILLS 12
#define STORIES_A_RUN 60

Test(story, the_count_is_right_however_often_the_program_is_killed__P1, .timeout = 240)
{
    struct library library = library_open(postgres_shared());
    for (int i = 0; i < KILLS; i++) {
        int64_t stories = count_stories(&library);
        struct command command = command_start(
            "story", "load", library.conninfo,
            ARGUMENTS("--count", "1000000", "--threads", "16", "--members", "5", "--spoil-every", "3"));
        wait_for(count_stories(&library) >= stories + STORIES_A_RUN + 7 * i, 30000);
        kill(command.pid, SIGKILL);
        char *output;
        cr_expect_eq(command_end(&command, &output), 128 + SIGKILL, "%s", output);
        free(output);
        expect_invariant(&library); /* while the server still finds out */
    }
    wait_for(postgres_int(library.admin,
                          "select count(*) from pg_stat_activity where usename = '" POSTGRES_WRITER
                          "' and datname = current_database()") == 0,
             20000);
    expect_invariant(&library);
    cr_expect_geq(count_stories(&library), KILLS * STORIES_A_RUN);
    library_close(&library);
}

/* ---- in Kafka ---- */

static long
count_in(const struct record *record, const char **member)
{
    json_t *object = json_loadb(record->value.data, record->value.size, 0, NULL);
    json_int_t count = 0;
    cr_assert_eq(json_unpack(object, "{s:s, s:I}", "member_id", member, "stories_written_count", &count), 0);
    cr_assert_str_eq(*member, record->key.data);
    *member = record->key.data;
    json_decref(object);
    return (long)count;
}

/* 1, 2, 3 .. of each member, in the order of its partition: nothing is missing, twice or too early. */
static void
expect_counts_in_order(const char *bootstrap, const char *const *topics)
{
    struct records records = {0};
    long counts[MEMBERS + 1] = {0};
    consumer_read_all(&records, bootstrap, topics, true);
    for (size_t i = 0; i < records.count; i++) {
        const char *member;
        long count = count_in(&records.list[i], &member), id = strtol(member, NULL, 10);
        cr_assert(id >= 1 && id <= MEMBERS, "member %ld", id);
        cr_assert_eq(count, ++counts[id], "member %ld: %ld where %ld is due", id, count, counts[id]);
    }
    for (long id = 1; id <= MEMBERS; id++)
        cr_expect_gt(counts[id], 0, "member %ld has written nothing", id);
    records_free(&records);
}

Test(story, kafka_has_each_members_counts_one_by_one_in_order__P2, .timeout = 120)
{
    struct library library = library_open(postgres_shared());
    struct broker *broker = broker_start(NULL); /* the topic has one name: no other test may have used it */
    const char *topics[] = {STORY_TOPIC, NULL}, *bootstrap = broker_bootstrap(broker);
    broker_create_topic(broker, STORY_TOPIC, 3, NULL);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(library.postgres, library.database, POSTGRES_RELAY),
        .bootstrap = bootstrap});
    daemon_wait_ready(daemon);

    struct command command =
        command_start("story", "load", library.conninfo,
                      ARGUMENTS("--count", "800", "--threads", "16", "--members", "5", "--spoil-every", "4"));
    command_expect(&command, 0, "written=600 spoiled=200 aborted=0 member_unknown=0 unknown=0");
    expect_invariant(&library);

    wait_for(consumer_count(bootstrap, STORY_TOPIC) >= 600, 20000);
    cr_expect_eq(daemon_terminate(daemon), 0);
    struct expected_events events = {0};
    expected_read_outbox(&events, library.admin);
    struct verdict verdict = checker_compare(&events, bootstrap, topics, DAEMON_SOURCE);
    cr_expect(verdict_clean(&verdict));
    cr_expect_eq(verdict.records, 600);
    expect_counts_in_order(bootstrap, topics);

    expected_free(&events);
    daemon_free(daemon);
    broker_free(broker);
    library_close(&library);
}

Test(story, wrong_options_exit_64_and_an_absent_server_69)
{
    const struct {
        int code;
        const char *word;
        const char *const *arguments;
    } cases[] = {
        {64, "read", ARGUMENTS("--member", "1")},
        {64, "join", ARGUMENTS("--title", "a walk")},
        {64, "write", ARGUMENTS("--title", "a walk", "--member", "0")},
        {64, "write", ARGUMENTS("--member", "1")},
        {64, "write", ARGUMENTS("--title", "a walk")},
        {64, "load", ARGUMENTS("--threads", "65")},
        {64, "load", ARGUMENTS("more")},
        {69, "load", ARGUMENTS("--count", "1")},
        {0, "join", ARGUMENTS("--help")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct command command = command_start("story", cases[i].word, "host=/nowhere", cases[i].arguments);
        command_expect(&command, cases[i].code, cases[i].code == 69 ? "cannot connect" : "usage: story");
    }
}
