/* takeover.c: two processes of one relay name, and a writer that never pauses (takeover.h). */
#include "takeover.h"

#include "base/clock.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define TAKEOVER_MS 30000
/* One event every 2 ms, so that the first one after a takeover does not have to be waited for. */
#define PAUSE_US 2000

struct trickle {
    struct outbox *outbox;
    pthread_t thread;
    atomic_bool over;
};

static void
insert_one(PGconn *app)
{
    postgres_exec(app, "insert into outbox.event (topic, key, payload) values ('" STAGE_LATENCY_TOPIC
                       "', 'k', 'v')");
}

static void *
trickle(void *context)
{
    struct trickle *this = context;
    PGconn *app = postgres_connect(outbox_conninfo(this->outbox, POSTGRES_WRITER));
    for (; !this->over; usleep(PAUSE_US))
        insert_one(app);
    PQfinish(app);
    return NULL;
}

static double
published(const struct daemon *relay)
{
    double count = daemon_metric(relay, "outbox_published_total{topic=\"" STAGE_LATENCY_TOPIC "\"}");
    return count > 0 ? count : 0; /* a topic that it has not met yet has no sample */
}

static double
wait_for_first(const struct daemon *relay, int64_t since_us)
{
    wait_for(published(relay) > 0, TAKEOVER_MS);
    return (double)(clock_monotonic_us() - since_us) / 1e3;
}

/* From the end of `leader` until `standby` publishes; the leader comes back as the new standby. */
static double
hand_over(struct daemon *leader, struct daemon *standby, bool kill_it)
{
    wait_for(published(leader) > 0, TAKEOVER_MS);
    int64_t since_us = clock_monotonic_us();
    CHECK(kill(daemon_pid(leader), kill_it ? SIGKILL : SIGTERM) == 0);
    double took_ms = wait_for_first(standby, since_us);
    daemon_wait_exit(leader, TAKEOVER_MS);
    daemon_again(leader);
    daemon_wait_ready(leader);
    return took_ms;
}

static double
start_alone(struct outbox *outbox, struct daemon *relay)
{
    PGconn *app = postgres_connect(outbox_conninfo(outbox, POSTGRES_WRITER));
    insert_one(app);
    PQfinish(app);
    int64_t since_us = clock_monotonic_us();
    daemon_again(relay);
    return wait_for_first(relay, since_us);
}

struct takeover
takeover_measure(struct outbox *outbox, struct venue *venue, bool exact)
{
    const char *delivery[] = {exact ? "delivery=exactly-once" : NULL, NULL};
    const struct daemon_options options = {.conninfo = outbox_conninfo(outbox, POSTGRES_RELAY),
                                           .bootstrap = venue_bootstrap(venue),
                                           .overrides = delivery};
    struct trickle writer = {.outbox = outbox};
    struct takeover took;
    struct daemon *one = daemon_start(&options);
    daemon_wait_ready(one);
    struct daemon *two = daemon_start(&options);
    daemon_wait_ready(two);
    CHECK(pthread_create(&writer.thread, NULL, trickle, &writer) == 0);
    took.killed = hand_over(one, two, true);
    took.released = hand_over(two, one, false);
    writer.over = true;
    pthread_join(writer.thread, NULL);
    daemon_terminate(two);
    daemon_terminate(one);
    took.started = start_alone(outbox, one);
    daemon_terminate(one);
    daemon_free(one);
    daemon_free(two);
    return took;
}
