/* commands_dead_asked.c: `outboxd dead retry` and `discard` ask the leader, wait for it, and end with 0 only when all is done as
 * asked. The leader's part is a stand-in's; what is shown is commands_dead.c. */
#include "commands_leader.h"

#include "command/command.h"
#include "postgres/dead.h"
#include "postgres/oneshot.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_dead_asked, .timeout = 60);

static struct outbox outbox;
static char *config;
static struct driver *driver;

static void
open_all(void)
{
    outbox = outbox_open();
    config = command_config(&outbox, POSTGRES_RELAY, "lease: 1h\n");
    driver = lead_outbox(&outbox);
    leader_puts_aside(&outbox, 3);
}

static void
close_all(void)
{
    driver_close(driver);
    free(config);
    outbox_close(&outbox);
}

#define EXPECT(exit_code, out, err, ...)                                                                     \
    expect_ran(run_with(command_dead, "dead", config, (const char *[]){__VA_ARGS__, NULL}), exit_code, out,  \
               err)

static int64_t
count(const char *from)
{
    return postgres_int(outbox.relay, "select count(*) from outbox.%s", from);
}

/* More dead letters, of topic mail, with nothing behind them: ids 5 to 4 + `more`. */
static void
put_more_by(PGconn *relay, int more)
{
    emit_events(outbox.writer, "mail", more);
    postgres_exec(relay,
                  "select outbox.put_aside('main', jsonb_build_object('dead', (select "
                  "jsonb_agg(jsonb_build_object('id', i,"
                  " 'tick', 6, 'hold', null, 'error', 'E', 'message', 'm')) from generate_series(5, %d) i)))",
                  4 + more);
}

static void
put_more(int more)
{
    put_more_by(outbox.relay, more);
}

Test(commands_dead_asked, a_retry_waits_until_all_behind_it_is_published, .init = open_all, .fini = close_all)
{
    /* one event a turn, as a slow leader */
    struct leader *leader = leader_begin(
        &outbox, LEADER_SETTLES("case when r.events = 3 then " LEADER_ALL " else r.events + 1 end", "1",
                                "case when r.events = 3 then 'done' end", "null"));
    EXPECT(0, "1  published, and 3 events that were held behind it\n", "", "retry", "1");
    leader_end(leader);
    cr_expect_eq(count("dead_letter") + count("held_event"), 0);
    EXPECT(64, "1  no such dead letter\n", "1 of 1 are no dead letters of relay \"main\"", "retry", "1");
}

Test(commands_dead_asked, a_retry_that_is_refused_again_exits_69_and_says_why, .init = open_all,
     .fini = close_all)
{
    struct leader *leader = leader_begin(
        &outbox, LEADER_SETTLES("0", "0", "'event 1 was refused: INVALID_RECORD'",
                                "'{\"id\": 1, \"error\": \"INVALID_RECORD\", \"message\": \"again\"}'"));
    EXPECT(69, "1  was refused: INVALID_RECORD; it stays a dead letter: again\n",
           "not all is done: 1 of 1; `outboxd dead list`", "retry", "1");
    leader_end(leader);
    cr_expect_eq(count("dead_letter"), 1);
}

Test(commands_dead_asked, a_held_event_that_is_refused_is_said, .init = open_all, .fini = close_all)
{
    struct leader *leader =
        leader_begin(&outbox, LEADER_SETTLES("1", "1", "'event 2 was refused: E'",
                                             "'{\"id\": 2, \"error\": \"E\", \"message\": \"m\"}'"));
    EXPECT(69, "1  published; behind it, event 2 was refused: E\n", "not all is done", "retry", "1");
    leader_end(leader);
    cr_expect_eq(count("dead_letter where event_id = 2"), 1);
    leader = leader_begin(&outbox, LEADER_SETTLES("0", "0", "'event 3 was refused: E'",
                                                  "'{\"id\": 3, \"error\": \"E\", \"message\": \"m\"}'"));
    EXPECT(69, "2  discarded; behind it, event 3 was refused: E\n", "not all is done", "discard", "2",
           "--reason", "x", "--yes");
    leader_end(leader);
}

Test(commands_dead_asked, what_ended_for_another_reason_is_not_called_published, .init = open_all,
     .fini = close_all)
{
    struct leader *leader =
        leader_begin(&outbox, "select outbox.relay_retire('main') where exists (select from outbox.request)");
    EXPECT(69, "1  the relay was retired; it stays a dead letter: larger than the topic takes\n",
           "not all is done", "retry", "1");
    leader_end(leader);
}

Test(commands_dead_asked, all_of_a_topic_are_retried_and_no_other, .init = open_all, .fini = close_all)
{
    put_more(1200); /* more than are asked for, and looked at, at once */
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "1", "'done'", "null"));
    EXPECT(0, "1204  published\n", "", "retry", "--all", "--topic", "ma*");
    cr_expect_eq(count("dead_letter"), 1);
    EXPECT(0, "no dead letters\n", "", "retry", "--all", "--topic", "ma*");
    EXPECT(0, "1  published", "", "retry", "--all");
    EXPECT(0, "no dead letters\n", "", "retry", "--all");
    leader_end(leader);
    cr_expect_eq(count("request"), 1201);
}

Test(commands_dead_asked, ids_that_are_absent_keep_none_of_the_others_back, .init = open_all,
     .fini = close_all)
{
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "4", "'done'", "null"));
    EXPECT(64, "1  published", "2 of 3 are no dead letters", "retry", "1", "1", "2", "9223372036854775807");
    leader_end(leader);
    cr_expect_eq(count("request"), 1);
}

/* The leader is faster than the command can look: what is asked for is done in the same moment. */
Test(commands_dead_asked, an_id_that_is_given_twice_is_asked_for_once_and_never_called_absent,
     .init = open_all, .fini = close_all)
{
    postgres_exec(
        outbox.admin,
        "create function public.settle() returns trigger language plpgsql as $$ begin"
        " delete from outbox.dead_letter where event_id = new.event_id;"
        " new.done_at := clock_timestamp(); new.outcome := 'done'; new.events := 1; return new; end $$;"
        "create trigger settle before insert on outbox.request for each row execute function"
        " public.settle()");
    EXPECT(0, "1  published\n", "", "retry", "1", "1");
    cr_expect_eq(count("request"), 1);
}

/* What the server counts, of a session when that has ended. */
static int64_t
counted(const char *what)
{
    return postgres_int(outbox.admin,
                        "select %s from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)"
                        " where i.indexrelname = 'dead_letter_pkey'",
                        what);
}

#define READ "t.seq_tup_read + t.idx_tup_fetch + i.idx_tup_read"
#define EXPECT_FEW_READ(...)                                                                                 \
    do {                                                                                                     \
        int64_t before = counted(READ);                                                                      \
        EXPECT(0, "asked for: ", "", __VA_ARGS__, "--no-wait");                                              \
        wait_for(counted(READ) > before, 20000);                                                             \
        cr_expect_lt(counted(READ) - before, 100);                                                           \
    } while (0)

/* However many there are: whoever has millions of them retries one. */
Test(commands_dead_asked, a_retry_by_ids_reads_no_other_dead_letter__P5, .init = open_all, .fini = close_all)
{
    enum { OTHERS = 3000 };
    PGconn *relay = postgres_open(outbox.server, outbox.database, POSTGRES_RELAY);
    put_more_by(relay, OTHERS);
    PQfinish(relay);
    wait_for(counted("t.n_tup_ins") >= OTHERS, 20000);
    EXPECT_FEW_READ("retry", "1", "5", "7");
    EXPECT_FEW_READ("discard", "9", "--reason", "x", "--yes");
}

Test(commands_dead_asked,
     of_ids_those_that_are_dead_letters_are_found_with_what_is_held_behind_any_of_them__P5, .init = open_all,
     .fini = close_all)
{
    struct error error;
    struct session *session;
    struct dead_meant meant;
    struct settings settings = {
        .postgres_conninfo = must_strdup(postgres_conninfo(outbox.server, outbox.database, POSTGRES_RELAY))};
    put_more(4);
    postgres_exec(outbox.admin, "update outbox.dead_letter set hold = 7 where event_id = 5"); /* of one key */
    cr_assert(oneshot_open(&session, &settings, &error) && dead_prepare(session, &error), "%s",
              error.message);
    cr_assert(dead_find_ids(session, "main", (int64_t[]){6, 1, 5, 2, 1, 4711}, 6, &meant, &error));
    cr_expect_eq(meant.count, 3);
    cr_expect_arr_eq(meant.ids, ((int64_t[]){1, 5, 6}), 3 * sizeof *meant.ids);
    cr_expect_eq(meant.held, 3, "events that two of them hold are counted once");
    dead_meant_free(&meant);
    cr_assert(dead_find_ids(session, "main", (int64_t[]){2, 6}, 2, &meant, &error));
    cr_expect(meant.count == 1 && meant.ids[0] == 6 && meant.held == 0);
    dead_meant_free(&meant);
    cr_assert(dead_find_all(session, "main", "mail", &meant, &error));
    cr_expect(meant.count == 4 && meant.ids[0] == 5 && meant.held == 3);
    dead_meant_free(&meant);
    cr_assert(dead_find_all(session, "main", NULL, &meant, &error));
    cr_expect(meant.count == 5 && meant.ids[0] == 1 && meant.held == 3);
    dead_meant_free(&meant);
    cr_assert(dead_find_all(session, "main", "none", &meant, &error));
    cr_expect(meant.count == 0 && meant.held == 0);
    dead_meant_free(&meant);
    session_free(session);
    free(settings.postgres_conninfo);
}

Test(commands_dead_asked, who_names_what_is_held_or_discarded_is_told_so, .init = open_all, .fini = close_all)
{
    EXPECT(64, "2  no dead letter: it is held behind dead letter 1\n", "1 of 1 are no dead letters", "retry",
           "2");
    EXPECT(64, "4  no dead letter: it is held behind dead letter 1\n", "1 of 1 are no dead letters",
           "discard", "4", "--reason", "x", "--yes");
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "3", "'done'", "null"));
    EXPECT(0, NULL, "", "discard", "1", "--reason", "x", "--yes");
    leader_end(leader);
    EXPECT(64, "1  no dead letter any more: it was discarded, 20", "", "retry", "1");
    EXPECT(64, "Z, by relay\n2  no such dead letter\n", "2 of 2 are no", "discard", "1", "2", "--reason", "x",
           "--yes");
}

/* A SIGINT that is pending comes with the first look. */
static void
interrupt_next_wait(void)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    cr_assert_eq(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    cr_assert_eq(raise(SIGINT), 0);
}

Test(commands_dead_asked, what_is_under_way_is_waited_for_and_not_asked_for_twice, .init = open_all,
     .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.dead_retry('main', 1)");
    EXPECT(69, "1  a retry is under way, request 1\n", "not all is done: 1 of 1", "discard", "1", "--reason",
           "x", "--yes");
    EXPECT(0, "asked for: 1 retry\n", "", "retry", "1", "--no-wait");
    interrupt_next_wait();
    EXPECT(69, "", "no longer waiting", "retry", "1");
    cr_expect_eq(count("request"), 1);
}

Test(commands_dead_asked, a_discard_keeps_the_reason_and_frees_what_waited, .init = open_all,
     .fini = close_all)
{
    struct leader *leader = leader_begin(&outbox, LEADER_SETTLES(LEADER_ALL, "3", "'done'", "null"));
    EXPECT(0,
           "1 event will never be published; 3 that are held behind it will be\n1  discarded, and 3 events "
           "that were",
           "", "discard", "1", "--reason", "it's \"wrong\"; drop", "--yes");
    leader_end(leader);
    cr_expect_eq(count("discarded where reason = 'it''s \"wrong\"; drop'"), 1);
    cr_expect_eq(count("held_event"), 0);
}

/* ---- nobody leads ---- */

Test(commands_dead_asked, without_a_leader_it_says_so_and_what_was_asked_for_stays, .init = open_all,
     .fini = close_all)
{
    char *impatient = config;
    config = command_config(&outbox, POSTGRES_RELAY, "lease: 1s\n");
    confirm_tick(driver, 0, 0, true);
    EXPECT(0, "asked for: 1 retry\n", "relay main was stopped ", "retry", "1", "--no-wait");
    EXPECT(69, "", "nothing happens until `outboxd run` leads it", "retry", "1");
    EXPECT(69, "", "what was asked for stays, and is done when `outboxd run` leads it again", "retry", "1");
    cr_expect_eq(count("request where done_at is null"), 1);
    free(config);
    config = impatient;
}

Test(commands_dead_asked, a_paused_relay_is_named_as_the_reason, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.pause('main', null)");
    EXPECT(0, "asked for: 1 retry\n", "relay main is paused; `outboxd resume` lets it go on", "retry", "1",
           "--no-wait");
}

#define PAUSED "PAUSED: somebody has paused it: outboxd resume"

#define WAITS "outboxd dead: waiting for topic orders, at event 1: PAUSED .."

/* The leader begins it when that was said, as if the topic had been resumed. */
Test(commands_dead_asked, one_whose_topic_is_paused_says_what_it_waits_for__P5, .init = open_all,
     .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.pause('main', 'orders')");
    struct leader *leader =
        leader_begin_when_said(&outbox, NULL, WAITS, LEADER_SETTLES(LEADER_ALL, "4", "'done'", "null"));
    EXPECT(0, "1  published, and 3 events", WAITS, "retry", "1");
    leader_end(leader);
}

Test(commands_dead_asked, status_and_the_list_say_which_pause_a_retry_or_a_discard_waits_for__P5,
     .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.relay, "select outbox.pause('main', 'mail')");
    EXPECT(0, "asked for: 1 retry\n", "", "retry", "1", "--no-wait");
    EXPECT(0, "  3  retry 1 is under way\n", "", "list");
    EXPECT(0, "\"waits\": null", "", "list", "--json");
    postgres_exec(outbox.relay, "select outbox.pause('main', 'orders')");
    EXPECT(0, "  3  retry 1 waits: " PAUSED "\n", "", "list");
    EXPECT(0, "\"error\": \"PAUSED\"", "", "list", "--json");
    EXPECT(0, "ago: waits, 0 events published: " PAUSED "\n", "", "show", "1");
    expect_ran(run_status(config, false), 0, "waits, at event 1 of topic orders: PAUSED: somebody has", "");
    json_t *object = status_object(&outbox);
    const json_t *requests = json_object_get(status_relay_of(object), "requests");
    const json_t *wait = json_object_get(json_array_get(requests, 0), "waits");
    cr_expect_eq(status_integer(wait, "event_id"), 1);
    cr_expect_str_eq(status_text(wait, "topic"), "orders");
    json_decref(object);
    postgres_exec(outbox.relay,
                  "select outbox.resume('main', 'orders'), outbox.request_settle('main', 1, 0, 0, "
                  "'it ended', null)");
    EXPECT(0, "asked for: 1 discard\n", "", "discard", "1", "--reason", "x", "--yes", "--no-wait");
    postgres_exec(
        outbox.relay,
        "select outbox.put_aside('main', '{\"topics\": [{\"topic\": \"orders\", \"from\": 0, \"to\": 0,"
        " \"after\": 0, \"error\": \"UNKNOWN_TOPIC\", \"message\": \"create it\"}]}')");
    EXPECT(0, "  3  discard 2 waits: UNKNOWN_TOPIC: create it\n", "", "list");
    EXPECT(0, "ago: it ended, 0 events published\n", "", "show", "1");
    postgres_exec(outbox.relay, LEADER_SETTLES(LEADER_ALL, "3", "'done'", "null"));
    EXPECT(0, "no dead letters\n", "", "list");
}

Test(commands_dead_asked, who_interrupts_the_wait_leaves_the_request, .init = open_all, .fini = close_all)
{
    interrupt_next_wait();
    EXPECT(69, "", "no longer waiting: what was asked for goes on\n", "retry", "1");
    cr_expect_eq(count("request where done_at is null"), 1);
}

Test(commands_dead_asked, a_privilege_that_is_missing_exits_69, .init = open_all, .fini = close_all)
{
    postgres_exec(outbox.admin,
                  "revoke execute on function outbox.dead_retry(text, bigint) from outbox_relay");
    EXPECT(69, "", "permission denied", "retry", "1");
    postgres_exec(outbox.admin, "update outbox.schema_version set version = 4");
    EXPECT(69, "", "the schema is at version 4, this outboxd needs", "list");
}
