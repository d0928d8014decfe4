/* relay_failover_aside.c: exactly once over the loss of what was put aside, retried or caught up: the position in Kafka has passed events that
 * a recovered backup believes to be published, or has published events that it believes to wait (rows 59 and 72). */
#include "e2e/relay_setup.h"

#include "support/postgres_standby.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_failover_aside, .timeout = 180);

/* One byte too much for this topic. */
static const char *const small[] = {"max.message.bytes", "2000", NULL};
#define LARGE "jsonb_build_object('x', repeat('x', 3000))"

/* A primary whose log is archived, a base backup of it, and a relay that delivers exactly once into two topics. */
struct scene {
    struct setup setup;
    struct postgres *backup;
    const char *narrow, *sound;
    const char *const *exact;
};

static struct scene
scene_begin(void)
{
    struct scene scene = {.setup = setup_begin_on(postgres_start(postgres_archiving), broker_start(NULL))};
    scene.narrow = setup_topic(&scene.setup, "narrow", 2, small);
    scene.sound = setup_topic(&scene.setup, "sound", 2, NULL);
    scene.exact = setup_exact(&scene.setup, true);
    scene.backup = postgres_back_up(scene.setup.postgres);
    setup_run(&scene.setup, scene.exact);
    return scene;
}

static void
scene_end(struct scene *scene, struct postgres *lost)
{
    postgres_free(lost);
    setup_end(&scene->setup);
}

static void
emit(const struct scene *scene, const char *topic, const char *key, const char *payload)
{
    postgres_exec(scene->setup.app, "select outbox.emit('%s', '%s', %s)", topic, key, payload);
}

static int64_t
dead_letters(const struct scene *scene)
{
    return postgres_int(scene->setup.admin, "select count(*) from outbox.dead_letter");
}

static void
mark(const struct scene *scene)
{
    postgres_exec(scene->setup.admin, "select pg_create_restore_point('before')");
}

/* The relay stops, if it runs, and the backup is what is left of its database: as it was at the restore point. */
static struct postgres *
recover(struct scene *scene)
{
    struct setup *setup = &scene->setup;
    struct postgres *lost = setup->postgres;
    if (daemon_running(setup->relay)) {
        setup_wait_confirmed(setup, 20000);
        cr_assert_eq(daemon_terminate(setup->relay), 0);
    }
    PQfinish(setup->admin);
    PQfinish(setup->app);
    postgres_archive_all(lost);
    postgres_stop_fast(lost);
    postgres_recover(scene->backup, lost, "before");
    setup->postgres = scene->backup;
    setup->admin = postgres_open(setup->postgres, setup->database, POSTGRES_ADMIN);
    setup->app = postgres_open(setup->postgres, setup->database, POSTGRES_WRITER);
    return lost;
}

/* The tick that the event is in is on the copy, and the row by which it became a dead letter is not. */
Test(relay_failover_aside, a_dead_letter_that_is_lost_is_not_passed_over__P1__P3__rows_59_72)
{
    struct scene scene = scene_begin();
    struct setup *setup = &scene.setup;
    emit(&scene, scene.narrow, "k", "'1'");
    emit(&scene, scene.sound, "k", "'2'");
    setup_wait_confirmed(setup, 20000);
    broker_pause(setup->broker);
    /* nothing is a dead letter before what precedes it is answered, and nobody answers */
    postgres_exec(setup->app,
                  "select outbox.emit('%s', 'k', '3'), outbox.emit('%s', 'k', " LARGE
                  "), outbox.emit('%s', 'k', '4')",
                  scene.sound, scene.narrow, scene.narrow);
    wait_for(postgres_int(setup->admin,
                          "select count(*) from outbox.journal where"
                          " pg_visible_in_snapshot((select max(xid) from outbox.event), snapshot)") > 0,
             20000);
    mark(&scene);
    broker_continue(setup->broker);
    wait_for(dead_letters(&scene) == 1, 40000);
    struct postgres *lost = recover(&scene);
    cr_assert_eq(dead_letters(&scene), 0, "the copy knows of it");
    setup_expect_refusal(setup, scene.exact, 70, "this database does not have that row",
                         "outboxd rebase --position main");
    setup_rebase(setup, "--position=main", "takes its position from the journal");
    setup_run(setup, scene.exact);
    wait_for(dead_letters(&scene) == 1, 20000);
    emit(&scene, scene.sound, "k", "'5'");
    setup_wait_confirmed(setup, 20000);
    broker_configure_topic(setup->broker, scene.narrow, "max.message.bytes", "100000");
    struct outboxd_result retry = outboxd_run(
        (const char *[]){"dead", "retry", "--all", "--config", daemon_config_path(setup->relay), NULL});
    cr_assert_eq(retry.exit_code, 0, "%s%s", retry.out, retry.err);
    outboxd_result_free(&retry);
    setup_expect_all_once(setup, 20000);
    scene_end(&scene, lost);
}

/* The copy has the dead letter and what waits behind it; all of it is in Kafka. */
Test(relay_failover_aside, a_retry_that_is_lost_is_not_done_again__P1__P3__rows_59_72)
{
    struct scene scene = scene_begin();
    struct setup *setup = &scene.setup;
    emit(&scene, scene.narrow, "k", LARGE);
    wait_for(dead_letters(&scene) == 1, 20000);
    emit(&scene, scene.narrow, "k", "'2'");
    emit(&scene, scene.narrow, "k", "'3'");
    setup_wait_confirmed(setup, 20000);
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.held_event") == 2, 20000);
    mark(&scene);
    broker_configure_topic(setup->broker, scene.narrow, "max.message.bytes", "100000");
    struct outboxd_result retry = outboxd_run(
        (const char *[]){"dead", "retry", "--all", "--config", daemon_config_path(setup->relay), NULL});
    cr_assert_eq(retry.exit_code, 0, "%s%s", retry.out, retry.err);
    outboxd_result_free(&retry);
    emit(&scene, scene.narrow, "k", "'4'");
    struct postgres *lost = recover(&scene);
    cr_assert_eq(dead_letters(&scene), 1);
    setup_expect_refusal(setup, scene.exact, 70, "this database", "outboxd rebase --position main");
    setup_rebase(setup, "--position=main", "\n3 dead letters and events held behind one are in Kafka");
    setup_run(setup, scene.exact);
    cr_expect_eq(dead_letters(&scene), 0);
    emit(&scene, scene.narrow, "k", "'5'");
    setup_wait_confirmed(setup, 20000);
    struct verdict verdict = setup_compare(setup, "discarded");
    cr_expect(verdict.expected == 4 && verdict.lost == 0 && verdict.duplicates == 0 &&
                  verdict.reordered == 0 && verdict.changed == 0 && verdict.phantom == 1 /* event 4 */,
              "%s", verdict.examples);
    scene_end(&scene, lost);
}

/* Nothing else was written down after it, and the relay was killed: the copy lacks the request as well. */
Test(relay_failover_aside, a_retry_that_was_asked_for_in_what_is_lost_is_not_done_again__P3__rows_59_72)
{
    struct scene scene = scene_begin();
    struct setup *setup = &scene.setup;
    postgres_exec(setup->app, "select outbox.emit('%s', null, " LARGE ")", scene.narrow);
    wait_for(dead_letters(&scene) == 1, 20000);
    setup_wait_confirmed(setup, 20000);
    mark(&scene);
    broker_configure_topic(setup->broker, scene.narrow, "max.message.bytes", "100000");
    postgres_exec(setup->admin, "select outbox.dead_retry('main', event_id) from outbox.dead_letter");
    wait_for(dead_letters(&scene) == 0, 20000);
    daemon_kill(setup->relay);
    struct postgres *lost = recover(&scene);
    cr_assert_eq(dead_letters(&scene), 1);
    setup_expect_refusal(setup, scene.exact, 70, "this database does not have that row",
                         "outboxd rebase --position main");
    setup_rebase(setup, "--position=main", "\n1 dead letters and events held behind one are in Kafka");
    setup_run(setup, scene.exact);
    cr_expect_eq(dead_letters(&scene), 0);
    setup_expect_all_once(setup, 20000);
    scene_end(&scene, lost);
}

/* Somebody has paused the topic, and 50 events of it wait. */
static void
run_with_paused_topic(struct setup *setup, const char *topic, const char *const *exact)
{
    setup_run(setup, exact);
    postgres_exec(setup->admin, "select outbox.pause('main', '%s')", topic);
    wait_for(daemon_log_contains(setup->relay, "topic paused by hand"), 20000);
    postgres_exec(setup->app, "select outbox.emit('%s', 'k', to_jsonb(i)) from generate_series(1, 50) i",
                  topic);
    wait_for(postgres_int(setup->admin, "select count(*) from outbox.paused_topic") == 1, 20000);
}

/* A clean stop leaves nothing in Kafka that the journal does not know. */
Test(relay_failover_aside,
     after_a_clean_stop_a_rebase_asks_nothing_more_of_a_topic_that_has_caught_up__P5__row_72)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "waits", 1, NULL);
    const char *const *exact = setup_exact(&setup, true);
    run_with_paused_topic(&setup, topic, exact);
    postgres_exec(setup.admin, "select outbox.resume('main', '%s')", topic);
    wait_for(postgres_int(setup.admin, "select count(*) from outbox.paused_topic") == 0, 20000);
    cr_assert_eq(daemon_terminate(setup.relay), 0);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 1)");
    setup_rebase(&setup, NULL, "relay main goes on with 0 unconfirmed events");
    setup_run(&setup, exact);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '51')", topic);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}

/* Killed between Kafka's commit of a page and the database's; then the events are numbered anew by a rebase that asks the journal alone. */
Test(relay_failover_aside, a_rebase_that_forgets_how_far_a_topic_has_caught_up_stops_it__P3__row_72)
{
    struct setup setup = setup_begin_on(postgres_start(NULL), broker_shared());
    const char *topic = setup_topic(&setup, "waits", 1, NULL);
    const char *const *exact = setup_exact(&setup, true);
    run_with_paused_topic(&setup, topic, exact);
    postgres_exec(
        setup.admin,
        "create function public.hold() returns trigger language plpgsql as $$ begin perform pg_sleep(60); "
        "return new; end $$;"
        "create trigger hold before update on outbox.paused_topic for each row"
        " when ((new.from_seq, new.after_id) <> (old.from_seq, old.after_id)) execute function "
        "public.hold()");
    postgres_exec(setup.admin, "select outbox.resume('main', '%s')", topic);
    wait_for(consumer_count(broker_bootstrap(setup.broker), topic) == 51,
             20000); /* and the mark of the commit */
    daemon_kill(setup.relay);
    wait_for(postgres_int(setup.admin, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                                       " where usename = '" POSTGRES_RELAY "'") == 0,
             20000); /* what it has asked for would be carried out */
    postgres_exec(setup.admin, "drop trigger hold on outbox.paused_topic; drop function public.hold()");
    cr_assert_eq(postgres_int(setup.admin, "select count(*) from outbox.paused_topic where after_id = 0"), 1);
    postgres_exec(setup.admin, "select setval('outbox.event_id_seq', 1)");
    setup_rebase(&setup, NULL, "relay main goes on with 50 unconfirmed events");
    setup_expect_refusal(&setup, exact, 70, "the journal was rebased while Kafka had events",
                         "outboxd rebase --position main");
    setup_rebase(&setup, "--position=main", "\n50 events are in Kafka although the journal did not know it");
    setup_run(&setup, exact);
    postgres_exec(setup.app, "select outbox.emit('%s', 'k', '51')", topic);
    setup_expect_all_once(&setup, 20000);
    setup_end(&setup);
}
