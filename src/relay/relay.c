/* relay.c: the state machine of the relay and its turn. Read from top to bottom: states, turn, stop.
 *
 *  START -> CONNECTING -> STANDBY -> LEADING -> DRAINING -> STOPPED
 *             ^  ^           |          |           (asked to stop: opens no more ticks, waits for what is in flight,
 *             |  +-----------+----------+            confirms, appends a release row)
 *             |              Postgres lost: what is in flight is awaited; the pages are kept if the epoch is still ours
 *             +-- CONNECTING keeps trying; STANDBY takes the lead by compare-and-swap when it is free
 *
 * Invariants (asserted where they can be; each is guarded by a test of its name)
 *  I1  The confirmed position passes an event only after Kafka acknowledged it with acks=all, or a committed transaction
 *      says that it is a dead letter, held behind one, or of a paused topic.                    pipeline_settle, aside.c
 *  I2  Events of one key go to the producer in tick order, then id order; after a refusal is known nothing later of its
 *      topic and key is sent until it is retried or discarded (policy `hold-key`), or nothing at all (`stop`).
 *                                                                                               aside_takes, verdict_allows
 *  I3  No event is sent before the tick that contains it is durable: on the primary, and on its synchronous standbys
 *      where it has any.                                                                        relay->undurable
 *  I4  Only the owner of the journal's newest epoch appends; whoever finds a newer one stops publishing, purges, and
 *      becomes a standby.                                                                       journal_read_step, link.c
 *  I5  No Postgres transaction is open while Kafka is waited for: every statement is its own.   session.c
 *  I6  Bytes in flight <= `memory`, or one event alone; every wait has a deadline.              leading_ask, sending.c
 *  I7  No setting turns a failure into a success.                                               kafka/properties.c       */
#include "relay/relay.h"

#include "base/clock.h"
#include "base/log.h"
#include "relay/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A stop waits so long for acknowledgements; service managers wait 90 s before they kill. */
#define DRAIN_TIMEOUT_US (INT64_C(20) * 1000000)

/* A server that restarts is back in a second or two; a connection that is refused costs it nothing. */
#define RECONNECT_FIRST_US (INT64_C(100) * 1000)
#define RECONNECT_LAST_US (INT64_C(1) * 1000000)

static const char *const state_names[] = {"start", "connecting", "standby", "leading", "draining", "stopped"};

/* edges[from] has a bit for each state that may follow. */
#define BIT(state) (1u << (state))
static const unsigned edges[] = {
    [RELAY_START] = BIT(RELAY_CONNECTING) | BIT(RELAY_STOPPED),
    [RELAY_CONNECTING] = BIT(RELAY_STANDBY) | BIT(RELAY_LEADING) | BIT(RELAY_STOPPED) | BIT(RELAY_DRAINING),
    [RELAY_STANDBY] = BIT(RELAY_CONNECTING) | BIT(RELAY_LEADING) | BIT(RELAY_DRAINING) | BIT(RELAY_STOPPED),
    [RELAY_LEADING] = BIT(RELAY_CONNECTING) | BIT(RELAY_STANDBY) | BIT(RELAY_DRAINING) | BIT(RELAY_STOPPED),
    [RELAY_DRAINING] = BIT(RELAY_STOPPED),
    [RELAY_STOPPED] = 0,
};

const char *
relay_state_name(enum relay_state state)
{
    return state_names[state];
}

void
relay_change(struct relay *relay, enum relay_state to, const char *why)
{
    enum relay_state from = relay->state;
    if (from == to)
        return;
    CHECK(edges[from] & BIT(to));
    log_info("state changed", LOG_STR("from", state_names[from]), LOG_STR("to", state_names[to]),
             LOG_STR("why", why), LOG_INT("epoch", relay->self.epoch), LOG_END);
    relay->state = to;
}

void
relay_fail(struct relay *relay, const struct error *error)
{
    if (relay->state == RELAY_STOPPED)
        return;
    relay->failure = *error;
    relay_change(relay, RELAY_STOPPED, error->message);
}

void
relay_asked(struct relay *relay, enum request request)
{
    CHECK(relay->request == REQUEST_NONE);
    relay->request = request;
    relay->request_sent_us = relay->now_us;
}

static void
draw_holder(char holder[JOURNAL_HOLDER_SIZE])
{
    uint64_t bits[2];
    CHECK(getrandom(bits, sizeof bits, 0) == sizeof bits);
    snprintf(holder, JOURNAL_HOLDER_SIZE, "%016" PRIx64 "%016" PRIx64, bits[0], bits[1]);
}

bool
relay_new(struct relay **made, const struct settings *settings, struct error *error)
{
    struct relay *relay = must_calloc(1, sizeof *relay);
    uint64_t seed;
    char name[SESSION_NAME_SIZE];
    relay->settings = settings;
    relay->self.relay = settings->relay;
    relay->started_at_us = clock_wall_us();
    draw_holder(relay->self.holder);
    session_name(name, relay->self.relay, relay->self.holder);
    CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    relay->connect_backoff = backoff_make(RECONNECT_FIRST_US, RECONNECT_LAST_US, seed);
    verdict_init(&relay->verdict, settings->dead_letter_policy == DEAD_LETTER_STOP, seed / 2);
    attempts_init(relay, seed / 3);
    relay->pace.bytes = PACE_FIRST;
    relay->pipeline.exact = settings->delivery == DELIVERY_EXACTLY_ONCE;
    relay->topics = topic_table_new(settings->topics, settings->topics_count);
    if (!session_new(&relay->session, settings, name, error) || !sending_new(relay, error)) {
        relay_free(relay);
        return false;
    }
    relay->reader = reader_new(relay->session, relay->topics);
    *made = relay;
    return true;
}

void
relay_free(struct relay *relay)
{
    if (relay == NULL)
        return;
    producer_free(relay->producer); /* reports what is out: the pages must still be there */
    if (relay->pipeline.events_out == 0)
        pipeline_clear(
            &relay->pipeline); /* else librdkafka, held in a resolver, still points into them: they stay */
    side_clear(relay);
    aside_free(relay);
    reader_free(relay->reader);
    session_free(relay->session);
    topic_table_free(relay->topics);
    tick_edge_clear(&relay->edge);
    tick_clear(&relay->late_tick);
    journal_row_clear(&relay->seen);
    inspect_facts_free(&relay->facts);
    free(relay);
}

/* An answer goes to whoever asked; then the next question, if it is time for one. */
static void
talk_to_postgres(struct relay *relay)
{
    if (session_state(relay->session) == SESSION_ANSWERED) {
        if (relay->request >= REQUEST_ROWS)
            answers_read(relay);
        else
            link_answer(relay);
    }
    if (relay->state == RELAY_STOPPED || session_state(relay->session) != SESSION_IDLE)
        return;
    bool leads = (relay->state == RELAY_LEADING || relay->state == RELAY_DRAINING) && relay->owns &&
                 !relay->doubtful && relay->prepared;
    if (leads)
        leading_ask(relay);
    else
        link_ask(relay);
}

const char *
relay_leaves_behind(const struct settings *settings)
{
    return settings->delivery == DELIVERY_EXACTLY_ONCE
               ? "what is not committed nobody sees; whoever leads next publishes it"
               : "what was in flight may be sent again by whoever leads next";
}

/* Draining ends when nothing is out and Postgres knows it, or when its time is over. While Postgres is away, a release of
 * the lead alone is not worth the wait: the lease ends by itself. */
static void
finish_draining(struct relay *relay)
{
    bool nothing_to_confirm = relay->pipeline.events_out == 0 && !relay->dirty && !exact_is_open(relay);
    if (nothing_to_confirm && session_state(relay->session) == SESSION_CLOSED) {
        relay_change(relay, RELAY_STOPPED, "Postgres is away, and everything in flight was confirmed before");
        return;
    }
    if (relay->now_us < relay->drain_until_us)
        return;
    log_warning("stopped before everything was confirmed",
                LOG_STR("then", relay_leaves_behind(relay->settings)),
                LOG_INT("events", (int64_t)relay->pipeline.events_out), LOG_END);
    relay_change(relay, RELAY_STOPPED, "the time for a clean stop is over");
}

int64_t
relay_turn(struct relay *relay, int64_t now_us)
{
    relay->now_us = now_us;
    if (relay->state == RELAY_STOPPED)
        return CLOCK_NEVER;
    if (relay->state == RELAY_START)
        relay_change(relay, RELAY_CONNECTING, "started");
    int64_t deadline = link_turn(relay);
    if (relay->state != RELAY_STOPPED)
        talk_to_postgres(relay);
    if (relay->state == RELAY_STOPPED)
        return now_us;
    int64_t other = sending_turn(relay);
    outage_turn(relay);
    deadline = other < deadline ? other : deadline;
    if (session_state(relay->session) == SESSION_IDLE && relay->state != RELAY_STOPPED)
        talk_to_postgres(relay); /* a confirmation may have become due */
    if (relay->state == RELAY_DRAINING)
        finish_draining(relay);
    other = leading_deadline(relay);
    return other < deadline ? other : deadline;
}

void
relay_descriptors(const struct relay *relay, struct pollfd descriptors[RELAY_DESCRIPTORS])
{
    descriptors[0] =
        (struct pollfd){.fd = session_fd(relay->session), .events = session_events(relay->session)};
    descriptors[1] = (struct pollfd){.fd = producer_fd(relay->producer), .events = POLLIN};
}

void
relay_renew(struct relay *relay, bool kafka_anew)
{
    session_set_password(relay->session, relay->settings->postgres_password);
    producer_renew(relay->producer, kafka_anew);
}

static void
stop(struct relay *relay, const char *why)
{
    relay->drain_until_us = relay->now_us + DRAIN_TIMEOUT_US;
    /* a lead that is being taken has to be given back, or the next process waits for its lease to end */
    bool takes = relay->request == REQUEST_TAKE;
    if (takes || (relay->owns && (relay->state == RELAY_LEADING || relay->state == RELAY_CONNECTING)))
        relay_change(relay, RELAY_DRAINING, why);
    else if (relay->state != RELAY_STOPPED && relay->state != RELAY_DRAINING)
        relay_change(relay, RELAY_STOPPED, why);
}

void
relay_stop(struct relay *relay, int64_t now_us)
{
    relay->now_us = now_us;
    stop(relay, "asked to stop");
}

void
relay_give_up(struct relay *relay, const struct error *error)
{
    if (relay->state == RELAY_STOPPED || relay->failure.kind != ERROR_NONE)
        return;
    relay->failure = *error;
    stop(relay, error->message);
}

enum relay_state
relay_state(const struct relay *relay)
{
    return relay->state;
}

const struct error *
relay_failure(const struct relay *relay)
{
    return &relay->failure;
}
