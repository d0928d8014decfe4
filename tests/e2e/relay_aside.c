/* relay_aside.c: P1, P2 and P3 while events are refused and retried, topics are paused and catch up, and the relay is killed all the time: what
 * is put aside and what is done beside the stream is neither lost nor, exactly once, done twice. */
#include "relay_setup.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_aside, .timeout = 280);

enum { KILLS = 25 };

struct scene {
    struct setup setup;
    const char *small, *paused, *plain;
    unsigned draws;
};

static int
draw(struct scene *scene, int below)
{
    return rand_r(&scene->draws) % below;
}

static void
begin(struct scene *scene, bool exact)
{
    *scene = (struct scene){.setup = setup_begin(), .draws = (unsigned)clock_wall_us()};
    struct setup *setup = &scene->setup;
    fprintf(stderr, "relay_aside: seed=%u\n", scene->draws);
    scene->small = setup_topic(setup, "small", 2, (const char *[]){"max.message.bytes", "20000", NULL});
    scene->paused = setup_topic(setup, "paused", 3, NULL);
    scene->plain = setup_topic(setup, "plain", 2, NULL);
    setup_run(setup, setup_and(exact ? setup_exact(setup, true) : NULL, "lease=1s"));
    setup_make_bytes(setup);
}

/* A few transactions: most events are small, some are larger than their topic takes. */
static void
write_some(struct scene *scene)
{
    static const int sizes[] = {100, 400, 100, 30000};
    const char *topics[] = {scene->small, scene->paused, scene->plain};
    for (int i = 0; i < 6; i++) {
        const char *topic = topics[draw(scene, 3)];
        int size = topic == scene->small ? sizes[draw(scene, 4)] : sizes[draw(scene, 3)];
        postgres_exec(
            scene->setup.admin,
            "insert into outbox.event (topic, key, payload) select '%s', convert_to('k' || i %% 5, 'UTF8'),"
            " test_bytes(case when i = %d then %d else 100 end, i) from generate_series(1, %d) i",
            topic, draw(scene, 20), size, 1 + draw(scene, 40));
    }
}

static void
disturb(struct scene *scene)
{
    struct setup *setup = &scene->setup;
    switch (draw(scene, 6)) {
    case 0:
        (void)postgres_int(setup->admin, "select outbox.pause('main', '%s')::int", scene->paused);
        break;
    case 1:
    case 2:
        (void)postgres_int(setup->admin, "select outbox.resume('main', '%s')::int", scene->paused);
        break;
    case 3:
        broker_configure_topic(setup->broker, scene->small, "max.message.bytes",
                               draw(scene, 2) ? "20000" : "100000");
        break;
    default:
        (void)postgres_int(setup->admin,
                           "select count(outbox.dead_retry('main', event_id)) from outbox.dead_letter");
    }
}

static bool
all_is_published(struct setup *setup)
{
    return expected_nothing_waits(setup->admin) && setup_confirmed(setup);
}

static void
survive(bool exact)
{
    struct scene scene;
    begin(&scene, exact);
    struct setup *setup = &scene.setup;
    for (int i = 0; i < KILLS; i++) {
        int64_t until_us = clock_monotonic_us() + (100 + draw(&scene, 1500)) * INT64_C(1000);
        while (clock_monotonic_us() < until_us) {
            write_some(&scene);
            disturb(&scene);
        }
        if (draw(&scene, 4) == 0)
            cr_assert_eq(daemon_terminate(setup->relay), 0);
        else
            daemon_kill(setup->relay);
        daemon_again(setup->relay);
    }
    broker_configure_topic(setup->broker, scene.small, "max.message.bytes", "100000");
    (void)postgres_int(setup->admin, "select outbox.resume('main', '%s')::int", scene.paused);
    wait_for(all_is_published(setup), 120000);
    struct verdict verdict = setup_judge(setup);
    fprintf(stderr, "relay_aside: %zu events, %zu duplicates\n", verdict.expected, verdict.duplicates);
    if (exact)
        cr_expect_eq(verdict.duplicates, 0, "%zu events appear more than once", verdict.duplicates);
    setup_end(setup);
}

Test(relay_aside,
     killed_while_events_are_refused_retried_and_catch_up_nothing_is_lost_or_inverted__P1_P2__row_44)
{
    survive(false);
}

Test(relay_aside, killed_while_events_are_refused_retried_and_catch_up_exactly_once_holds__P1_P2_P3__row_44)
{
    survive(true);
}
