/* commands_status.c: `outboxd status` says what the database knows: the verdict first, exact numbers where there are any,
 * "unknown" where there are none (P5: no silence). */
#include "commands_fixture.h"

#include "command/command.h"
#include "postgres/oneshot.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define TROUBLE                                                                                              \
    "{\"event_id\": 4711, \"topic\": \"orders\", \"error\": \"MSG_SIZE_TOO_LARGE\", \"message\": \"Broker: " \
    "too large\"}"

Test(commands_status, without_a_relay_the_first_line_says_so_and_postgres_answered)
{
    struct outbox outbox = outbox_open();
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    cr_assert_eq(strstr(ran.out, "NO RELAY: main is not registered; the first `outboxd run` registers it\n"),
                 ran.out, "%s", ran.out);
    ran_free(&ran);
    free(config);
    outbox_close(&outbox);
}

static void
expect_summary(const char *config, const char *summary)
{
    struct ran ran = run_status(config, false);
    cr_expect_eq(ran.exit_code, 0, "%s", ran.err);
    cr_expect_eq(strncmp(ran.out, summary, strlen(summary)), 0, "%s", ran.out);
    ran_free(&ran);
}

/* `run` refuses both; neither is to be taken for the other. */
Test(commands_status, a_retired_relay_is_called_so_and_what_brings_it_back_is_named)
{
    struct outbox outbox = outbox_open();
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    outbox_register(&outbox);
    postgres_exec(outbox.relay, "select outbox.relay_retire('main')");
    expect_summary(config, "NO RELAY: main is retired; `outboxd relay add main --from now` (or beginning)");
    postgres_exec(outbox.admin, "update outbox.relay set name = 'other'");
    expect_summary(config, "NO RELAY: main is not registered; `outboxd relay add main --from now`");
    free(config);
    outbox_close(&outbox);
}

Test(commands_status, without_an_outbox_every_command_says_the_same_and_names_the_command_that_makes_one)
{
    struct postgres *server = postgres_shared();
    struct outbox outbox = {.server = server, .database = postgres_create_database(server)};
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_assert_eq(ran.exit_code, 69);
    cr_assert(strstr(ran.err, " has no outbox; `outboxd migrate` makes it\n") != NULL, "%s", ran.err);
    cr_assert_str_empty(ran.out);
    ran_free(&ran);
    expect_ran(run_with(command_dead, "dead", config, (const char *const[]){"list", NULL}), 69, "",
               " has no outbox; `outboxd migrate` makes it\n");
    expect_ran(run_with(command_pause, "pause", config, (const char *const[]){NULL}), 69, "",
               " has no outbox; `outboxd migrate` makes it\n");
    free(config);
    postgres_free(server);
}

Test(commands_status, a_role_without_rights_is_told_and_postgres_away_is_69)
{
    struct outbox outbox = outbox_open();
    char *config = command_config(&outbox, POSTGRES_STRANGER, NULL);
    struct ran ran = run_status(config, false);
    cr_assert_eq(ran.exit_code, 69);
    cr_assert(strstr(ran.err, "may not read the outbox") != NULL, "%s", ran.err);
    ran_free(&ran);
    free(config);

    config = command_config(&outbox, "nobody_of_this_name", NULL);
    ran = run_status(config, true);
    cr_assert_eq(ran.exit_code, 69);
    cr_assert(strstr(ran.err, "cannot connect to Postgres") != NULL, "%s", ran.err);
    cr_assert_str_empty(ran.out);
    ran_free(&ran);
    free(config);
    outbox_close(&outbox);
}

Test(commands_status, leader_epoch_ticks_and_lag_are_those_of_the_journal)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    struct ids ids;
    emit_events(outbox.writer, "orders", 30);
    cr_assert(driver_step(driver, 1000, 1 << 20, &ids));
    confirm_tick(driver, driver->self.seq, 0, false);
    emit_events(outbox.writer, "orders", 7);

    json_t *object = status_object(&outbox), *relay = status_relay_of(object);
    cr_assert_str_eq(status_text(object, "verdict"), "ok");
    cr_assert_str_eq(status_text(relay, "leadership"), "leading");
    cr_assert_str_eq(status_text(relay, "holder"), driver->self.holder);
    cr_assert_eq(status_integer(relay, "epoch"), driver->self.epoch);
    cr_assert_eq(status_integer(relay, "tick_seq"), driver->self.seq);
    cr_assert_eq(status_integer(relay, "confirmed_seq"), driver->confirmed.seq);
    cr_assert_eq(status_integer(relay, "lag_events"), 7);
    cr_assert(json_is_true(json_object_get(relay, "lag_exact")));
    cr_assert(status_integer(relay, "lag_bytes") > 7 * (int64_t)sizeof "orderskpayload");
    cr_assert(status_real(relay, "lag_seconds") > 0 && status_real(relay, "lag_seconds") < 60);
    cr_assert(status_real(relay, "confirmed_per_second") > 0, "30 events were confirmed within this minute");
    cr_assert(json_is_null(json_object_get(relay, "stuck")));
    cr_assert_eq(status_integer(status_slot_of(&outbox, object), "events"), 37);

    json_decref(object);
    driver_ids_free(&ids);
    driver_close(driver);
    outbox_close(&outbox);
}

/* ---- verdicts ---- */

static void
expect_first_line(const struct outbox *outbox, const char *begins, const char *contains)
{
    char *config = command_config(outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_assert_eq(ran.exit_code, 0, "Postgres answered, so it is 0 however bad things are: %s", ran.err);
    cr_assert_eq(strncmp(ran.out, begins, strlen(begins)), 0, "%s", ran.out);
    cr_assert(strstr(ran.out, contains) != NULL, "%s is not in: %s", contains, ran.out);
    for (const char *line = ran.out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        cr_assert(end - line <= 80, "wider than 80 columns: %.*s", (int)(end - line), line);
    ran_free(&ran);
    free(config);
}

Test(commands_status, a_stuck_relay_is_the_first_line_with_event_topic_and_error)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', '%s')", TROUBLE);
    expect_first_line(&outbox, "STUCK: relay main, for ",
                      "at event 4711 of topic orders: MSG_SIZE_TOO_LARGE\n");

    json_t *object = status_object(&outbox), *stuck = json_object_get(status_relay_of(object), "stuck");
    cr_assert_eq(status_integer(stuck, "event_id"), 4711);
    cr_assert_str_eq(status_text(stuck, "message"), "Broker: too large");
    json_decref(object);
    driver_close(driver);
    outbox_close(&outbox);
}

/* What its leader writes down when no broker answers (relay/outage.c). */
Test(commands_status, a_relay_whose_kafka_is_away_says_so_first_with_the_reason_and_since_when)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(outbox.relay,
                  "select outbox.relay_trouble('main', jsonb_build_object('error', 'KAFKA_AWAY', 'message',"
                  " 'k1:9092: Connection refused', 'since', now() - interval '5 hours'))");
    expect_first_line(&outbox, "KAFKA AWAY: relay main, for 5.0 h: k1:9092: Connection refused; ",
                      "  Kafka        has not answered for 5.0 h");

    json_t *object = status_object(&outbox), *relay = status_relay_of(object);
    json_t *away = json_object_get(relay, "kafka_away");
    cr_assert_str_eq(status_text(object, "verdict"), "kafka away");
    cr_assert_str_eq(status_text(away, "message"), "k1:9092: Connection refused");
    cr_assert_geq(status_real(away, "seconds"), 18000);
    cr_assert(json_is_null(json_object_get(relay, "stuck")));
    json_decref(object);

    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', null)");
    expect_first_line(&outbox, "ok: relay main publishes", "backlog      3 events");
    driver_close(driver);
    outbox_close(&outbox);
}

/* .. and when one answers and takes nothing. */
Test(commands_status, a_relay_whom_kafka_refuses_says_so_first_with_the_reason_the_cure_and_since_when)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(
        outbox.relay,
        "select outbox.relay_trouble('main', jsonb_build_object('error', 'KAFKA_REFUSES', 'message',"
        " 'NO_PRODUCER_ID: none; ask', 'since', now() - interval '5 hours'))");
    expect_first_line(&outbox, "KAFKA REFUSES: relay main, for 5.0 h: NO_PRODUCER_ID: none; ask; ",
                      "  Kafka        has refused everything for 5.0 h\n               NO_PRODUCER_ID: none");

    json_t *object = status_object(&outbox), *relay = status_relay_of(object);
    json_t *refuses = json_object_get(relay, "kafka_refuses");
    cr_assert_str_eq(status_text(object, "verdict"), "kafka refuses");
    cr_assert_str_eq(status_text(refuses, "message"), "NO_PRODUCER_ID: none; ask");
    cr_assert_geq(status_real(refuses, "seconds"), 18000);
    cr_assert(json_is_null(json_object_get(relay, "kafka_away")));
    cr_assert(json_is_null(json_object_get(relay, "stuck")));
    json_decref(object);
    driver_close(driver);
    outbox_close(&outbox);
}

Test(commands_status, a_silent_or_released_leader_is_no_leader_also_when_it_was_stuck)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(outbox.relay, "select outbox.relay_trouble('main', '%s')", TROUBLE);
    postgres_exec(outbox.admin, "update outbox.journal set written_at = written_at - interval '5 hours'");
    expect_first_line(&outbox, "NO LEADER for 5.0 h: relay main; backlog 3 events, ",
                      "was stuck at event 4711 of topic orders");
    expect_first_line(&outbox, "NO LEADER for 5.0 h: ", "the log of that process says why it ended;");
    confirm_tick(driver, driver->confirmed.seq, 0, true);
    expect_first_line(&outbox, "NO LEADER: relay main was stopped ", "released, epoch 1");
    driver_close(driver);
    outbox_close(&outbox);
}

Test(commands_status, events_that_wait_for_longer_than_a_takeover_are_behind)
{
    struct outbox outbox = outbox_open();
    struct driver *driver = lead_outbox(&outbox);
    emit_events(outbox.writer, "orders", 3);
    postgres_exec(outbox.admin, "update outbox.event set created_at = created_at - interval '3 hours'");
    expect_first_line(&outbox, "BEHIND: relay main publishes; backlog 3 events, ", "oldest 3.0 h");
    driver_close(driver);
    outbox_close(&outbox);
}

Test(commands_status, a_journal_of_another_database_is_not_interpreted)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.admin, "update outbox.journal set sysid = sysid + 1");
    emit_events(outbox.writer, "orders", 3);
    json_t *object = status_object(&outbox);
    cr_assert_str_eq(status_text(object, "verdict"), "no relay");
    cr_assert(strstr(status_text(object, "summary"), "another database") != NULL, "%s",
              status_text(object, "summary"));
    cr_assert(json_is_null(json_object_get(status_relay_of(object), "lag_events")));
    json_decref(object);
    outbox_close(&outbox);
}

Test(commands_status, topics_that_no_living_relay_selects_are_named)
{
    struct outbox outbox = outbox_open();
    postgres_exec(outbox.relay, "select outbox.relay_register('main', 'shop', '{ord*,audit}', '24 h')");
    emit_events(outbox.writer, "orders", 1);
    emit_events(outbox.writer, "audit", 1);
    emit_events(outbox.writer, "audit.deep", 1);
    json_t *object = status_object(&outbox), *topics = json_object_get(object, "unselected_topics");
    cr_assert_eq(json_array_size(topics), 1);
    cr_assert_str_eq(json_string_value(json_array_get(topics, 0)), "audit.deep");
    json_decref(object);
    outbox_close(&outbox);
}

/* ---- what holds things up ---- */

static json_t *
oldest_of(const json_t *object)
{
    json_t *oldest = json_object_get(object, "oldest_transaction");
    cr_assert(json_is_object(oldest));
    return oldest;
}

Test(commands_status, an_open_transaction_with_events_is_named_as_far_as_the_role_may_see)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    PGconn *idle = outbox_session(&outbox, POSTGRES_ADMIN);
    postgres_exec(idle, "begin");
    postgres_exec(idle, "select pg_current_xact_id()"); /* older, but without events */
    postgres_exec(outbox.writer, "begin");
    emit_events(outbox.writer, "orders", 1);

    json_t *object = status_object(&outbox);
    json_t *oldest = oldest_of(object);
    cr_assert_eq(status_integer(oldest, "pid"), PQbackendPID(outbox.writer));
    cr_assert_str_eq(status_text(oldest, "user"), POSTGRES_WRITER);
    cr_assert(json_is_true(json_object_get(oldest, "wrote_events")));
    cr_assert(json_is_null(json_object_get(oldest, "seconds")), "only pg_read_all_stats may see it");
    json_decref(object);

    postgres_exec(outbox.admin, "grant pg_read_all_stats to " POSTGRES_RELAY);
    object = status_object(&outbox);
    postgres_exec(outbox.admin, "revoke pg_read_all_stats from " POSTGRES_RELAY);
    cr_assert(status_real(oldest_of(object), "seconds") >= 0);
    json_decref(object);

    postgres_exec(outbox.writer, "rollback");
    object = status_object(&outbox);
    cr_assert_eq(status_integer(oldest_of(object), "pid"), PQbackendPID(idle));
    cr_assert(json_is_false(json_object_get(oldest_of(object), "wrote_events")));
    json_decref(object);
    PQfinish(idle);
    outbox_close(&outbox);
}

/* Row 85: names from outside cannot steer the terminal. */
Test(commands_status, a_forgotten_prepared_transaction_is_named_by_a_gid_that_cannot_steer_the_terminal)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    postgres_exec(outbox.writer, "begin");
    emit_events(outbox.writer, "orders", 1);
    postgres_exec(outbox.writer, "prepare transaction E'pay\\x1b[2Jment %s'", outbox.database);

    json_t *object = status_object(&outbox);
    cr_assert_eq(strncmp(status_text(oldest_of(object), "gid"), "pay\x1b[2Jment ", 12), 0);
    cr_assert(json_is_null(json_object_get(oldest_of(object), "pid")));
    cr_assert(json_is_true(json_object_get(oldest_of(object), "wrote_events")));
    cr_assert(status_real(oldest_of(object), "seconds") >= 0, "of a prepared one everybody may see it");
    json_decref(object);

    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, false);
    cr_assert(strstr(ran.out, "prepared as 'pay\\x1b[2Jment") != NULL, "%s", ran.out);
    cr_assert(strchr(ran.out, '\x1b') == NULL);
    ran_free(&ran);
    free(config);
    postgres_exec(outbox.writer, "rollback prepared E'pay\\x1b[2Jment %s'", outbox.database);
    outbox_close(&outbox);
}

Test(commands_status, a_slot_says_why_it_is_kept)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    emit_events(outbox.writer, "orders", 5);
    json_t *object = status_object(&outbox);
    cr_assert_str_eq(status_text(status_slot_of(&outbox, object), "state"), "young");
    json_decref(object);

    postgres_exec(outbox.admin, "update outbox.event set created_at = created_at - interval '2 days'");
    object = status_object(&outbox);
    cr_assert_str_eq(status_text(status_slot_of(&outbox, object), "state"), "unconfirmed");
    cr_assert(status_real(status_slot_of(&outbox, object), "newest_seconds") > 172800);
    json_decref(object);

    outbox_confirm_all(&outbox, "main");
    object = status_object(&outbox);
    cr_assert_str_eq(status_text(status_slot_of(&outbox, object), "state"), "ready");
    json_decref(object);

    postgres_exec(outbox.writer, "begin");
    emit_events(outbox.writer, "orders", 1);
    object = status_object(&outbox);
    cr_assert_str_eq(status_text(status_slot_of(&outbox, object), "state"), "busy");
    json_decref(object);
    outbox_close(&outbox);
}

/* Everything that status and check do, they do in such a session. */
Test(commands_status, the_session_of_a_command_can_change_nothing)
{
    struct outbox outbox = outbox_open();
    outbox_register(&outbox);
    struct error error;
    struct session *session;
    struct pg_result *result;
    struct settings settings = {
        .postgres_conninfo = must_strdup(postgres_conninfo(outbox.server, outbox.database, POSTGRES_RELAY))};
    cr_assert(oneshot_open(&session, &settings, &error), "%s", error.message);
    cr_assert_not(oneshot_ask(session, "select outbox.relay_register('main', 'shop', '{other}', '1 h')",
                              &result, &error));
    cr_assert_str_eq(error.sqlstate, "25006", "%s", error.message);
    cr_assert(oneshot_ask(session, "select 1", &result, &error), "the session goes on: %s", error.message);
    session_forget(result);
    session_free(session);
    free(settings.postgres_conninfo);
    outbox_close(&outbox);
}

Test(commands_status, a_server_that_hangs_ends_the_command_with_69, .timeout = 60)
{
    struct postgres *server = postgres_start(NULL);
    struct outbox outbox = outbox_open_in(server, postgres_create_database(server));
    char *config = command_config(&outbox, POSTGRES_RELAY, NULL);
    postgres_pause(server);
    struct ran ran = run_status(config, false);
    postgres_continue(server);
    cr_assert_eq(ran.exit_code, 69);
    cr_assert(strstr(ran.err, "no answer in time") != NULL, "%s", ran.err);
    cr_assert(strstr(ran.err, "outboxd status: asking Postgres .. ") != NULL, "%s", ran.err);
    cr_assert_str_empty(ran.out);
    ran_free(&ran);
    free(config);
    outbox_close(&outbox);
}
