/* link.c: the way to the lead: connect, inspect the database, register, prepare, look at the newest row of the journal, take
 * it over when it is free. Called by relay_turn whenever the relay does not lead. Never publishes anything. */
#include "relay/inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "postgres/failure.h"
#include "postgres/registry.h"

#include <inttypes.h>
#include <string.h>

/* How often a standby looks: often enough that a hand-over takes a fraction of a second; one look costs 0.1 ms. */
#define LOOK_US (INT64_C(200) * 1000)
/* How often an outage may change its reason in the log. */
#define TELL_AGAIN_US (INT64_C(5) * 1000000)
/* After a lost race, or while pages of an older epoch are dropped. */
#define LOOK_SOON_US (INT64_C(20) * 1000)

/* Once when it breaks; of an outage that goes on, another reason: "connection refused" may become "too many connections". What
 * has the same SQLSTATE is the same, whichever request it was. */
static void
tell_away(struct relay *relay, const struct error *why)
{
    const struct error *told = &relay->away_told;
    bool same = strcmp(why->message, told->message) == 0 ||
                (why->sqlstate[0] != '\0' && strcmp(why->sqlstate, told->sqlstate) == 0);
    bool another = !same && relay->now_us - relay->away_told_us >= TELL_AGAIN_US;
    relay->away = *why;
    if (relay->connect_logged && !another)
        return;
    log_warning("Postgres is away", LOG_STR("why", why->message), LOG_END);
    relay->connect_logged = true;
    relay->away_told = *why;
    relay->away_told_us = relay->now_us;
}

void
link_lost(struct relay *relay, const struct error *why)
{
    relay->take_unknown = relay->take_unknown || relay->request == REQUEST_TAKE;
    leading_lost_page(relay);
    relay->request = REQUEST_NONE;
    relay->prepared = false;
    relay->doubtful = relay->owns; /* the journal is looked at before anything else is sent */
    reader_lost(relay->reader);
    aside_lost(relay);
    tick_clear(&relay->late_tick);
    relay->counters.errors[SNAPSHOT_ERROR_POSTGRES]++;
    if (why->kind == ERROR_UNUSABLE && !relay->was_connected) {
        struct error told;
        error_set(&told, why->kind, "%s; %s", why->message, failure_cure(why));
        relay_fail(relay, &told);
        return;
    }
    tell_away(relay, why);
    relay->connect_at_us = relay->now_us + backoff_next_us(&relay->connect_backoff);
    if (relay->state == RELAY_LEADING || relay->state == RELAY_STANDBY)
        relay_change(relay, RELAY_CONNECTING, "Postgres is away");
}

/* Only now is the outage over: a server without room on its disk lets a session begin, and refuses its first row. */
void
link_healed(struct relay *relay)
{
    if (relay->connect_logged)
        log_info("Postgres is back", LOG_END);
    relay->connect_logged = false;
    backoff_reset(&relay->connect_backoff);
}

void
link_failed(struct relay *relay, const struct error *error)
{
    if (error->kind != ERROR_RETRY) {
        relay_fail(relay, error);
        return;
    }
    session_close(relay->session);
    link_lost(relay, error);
}

int64_t
link_turn(struct relay *relay)
{
    struct session *session = relay->session;
    if (session_state(session) == SESSION_CLOSED && relay->request != REQUEST_NONE) {
        link_lost(relay, session_error(session)); /* lost while it was asked: nobody will answer */
        return relay->connect_at_us;
    }
    if (session_state(session) == SESSION_CLOSED) {
        if (relay->now_us < relay->connect_at_us)
            return relay->connect_at_us;
        session_connect(session, relay->now_us);
    }
    int64_t deadline = session_state(session) == SESSION_CLOSED ? 0 : session_turn(session, relay->now_us);
    if (session_state(session) != SESSION_CLOSED)
        return deadline;
    link_lost(relay, session_error(session));
    return relay->connect_at_us;
}

/* One of the two answers of inspect.h goes into the facts. */
static bool
take_facts(struct relay *relay, bool outbox, struct error *error)
{
    struct pg_result *result = session_answer(relay->session, error);
    bool good = result != NULL && (outbox ? inspect_read_outbox(&relay->facts, result, error)
                                          : inspect_read_catalog(&relay->facts, result, error));
    session_forget(result);
    return good || error_prefix(error, "cannot inspect the database");
}

/* False when the relay may not run here; then it has stopped. */
static bool
judge(struct relay *relay)
{
    struct error error;
    struct findings findings = {0};
    inspect_judge(&relay->facts, relay->settings, &findings);
    for (size_t i = 0; i < findings.count; i++)
        if (findings.list[i].level == FINDING_WARNING && !relay->was_connected)
            log_warning("check", LOG_STR("what", findings.list[i].what),
                        LOG_STR("cure", findings.list[i].cure), LOG_END);
    const struct finding *wrong = findings_first_error(&findings);
    if (wrong != NULL) {
        error_set(&error, wrong->kind, "%s; %s", wrong->what, wrong->cure);
        relay_fail(relay, &error);
    }
    findings_free(&findings);
    return wrong == NULL;
}

/* Catalogs first, then the outbox itself if it is there; then the judgement, and the relay makes itself known. */
static void
answer_inspect(struct relay *relay, bool outbox)
{
    struct error error;
    if (!take_facts(relay, outbox, &error)) {
        link_failed(relay, &error);
    } else if (!outbox && inspect_wants_outbox(&relay->facts)) {
        session_ask(relay->session, inspect_outbox_sql, relay->now_us);
        relay_asked(relay, REQUEST_INSPECT_OUTBOX);
    } else if (judge(relay)) {
        telling_register(relay);
    }
}

/* The journal's newest row is not ours (any more): whatever we hold was or will be published by somebody else. */
static void
lose_the_lead(struct relay *relay, const char *why)
{
    relay->owns = false;
    relay->doubtful = false;
    relay->dropping = true;
    relay->counters.errors[SNAPSHOT_ERROR_FENCED]++;
    if (relay->state == RELAY_DRAINING)
        relay_change(relay, RELAY_STOPPED, why);
    else
        relay_change(relay, RELAY_STANDBY, why);
}

/* A row that has stayed the newest for a lease by our own clock is stale even if the server's clock was set back. */
static bool
is_stale(const struct relay *relay)
{
    return relay->now_us - relay->unchanged_from_us > relay->settings->lease_us;
}

/* Before the lead is taken: whatever is inserted from now on has an id that nobody knows. */
static void
answer_pass(struct relay *relay)
{
    struct error error;
    int64_t sequence;
    if (!registry_read_pass(relay->session, &sequence, &error)) {
        link_failed(relay, &error);
        return;
    }
    log_warning("a standby was promoted that lacks what was published: its id sequence was moved past that; "
                "`outboxd rebase --phantoms --conninfo ADMIN --config FILE` counts and lists what consumers "
                "know and the database has lost",
                LOG_STR("config", relay->settings->file), LOG_INT("timeline", relay->seen.here.timeline),
                LOG_INT("from", relay->seen.sequence), LOG_INT("to", sequence), LOG_END);
    relay->look_at_us = relay->now_us;
}

static void
answer_newest(struct relay *relay)
{
    struct error error;
    struct journal_row *row = &relay->seen;
    int64_t seq_before = row->seq, epoch_before = row->epoch;
    if (!journal_read_newest(relay->session, row, &error)) {
        link_failed(relay, &error);
        return;
    }
    if (row->seq != seq_before || row->epoch != epoch_before)
        relay->unchanged_from_us = relay->now_us;
    if (!soundness_of_row(relay))
        return;
    bool ours = strcmp(row->holder, relay->self.holder) == 0;
    bool same_history = row->here.timeline == relay->timeline;
    bool our_epoch =
        row->epoch == relay->self.epoch || (relay->take_unknown && row->epoch == relay->self.epoch + 1);
    if (relay->owns && !(ours && our_epoch && same_history))
        lose_the_lead(relay, same_history ? "another process leads" : "the database has a new timeline");
    if (relay->state == RELAY_STOPPED)
        return;
    if (soundness_behind_us(relay)) {
        registry_ask_pass(relay->session, relay->sent_id, relay->now_us);
        relay_asked(relay, REQUEST_PASS);
        return;
    }
    bool free_to_take = row->released || ours || row->age_us > relay->settings->lease_us || is_stale(relay);
    if (free_to_take && !relay->dropping) {
        journal_ask_set_back(relay->session, relay->settings->relay, relay->now_us);
        relay_asked(relay, REQUEST_SET_BACK);
        return;
    }
    link_healed(relay);
    if (relay->state == RELAY_CONNECTING)
        relay_change(relay, RELAY_STANDBY,
                     free_to_take ? "dropping what an older epoch held" : "another process leads");
    int64_t quarter = relay->settings->lease_us / 4;
    relay->look_at_us = relay->now_us + (free_to_take ? LOOK_SOON_US : quarter < LOOK_US ? quarter : LOOK_US);
}

/* The last look before the lead is asked for: nothing may be passed over. */
static void
answer_set_back(struct relay *relay)
{
    struct error error;
    bool set_back = false, numbers_back = false;
    if (!journal_read_set_back(relay->session, &set_back, &numbers_back, &error)) {
        link_failed(relay, &error);
    } else if (soundness_of_events(relay, set_back, numbers_back)) {
        journal_ask_take(relay->session, &relay->self, &relay->seen,
                         is_stale(relay) ? JOURNAL_ANY_AGE : relay->settings->lease_us, relay->now_us);
        relay_asked(relay, REQUEST_TAKE);
    }
}

/* A process that has not led yet does not know what was published; exactly once, the position in Kafka tells. */
static void
warn_promoted(const struct relay *relay)
{
    const struct journal_row *row = &relay->seen;
    if (relay->timeline != 0 || row->place.timeline >= row->here.timeline ||
        relay->settings->delivery == DELIVERY_EXACTLY_ONCE)
        return;
    log_warning("the server was promoted since a relay last led here: if it lacks commits (an asynchronous "
                "standby, a restored backup), `outboxd rebase --phantoms --conninfo ADMIN --config FILE` "
                "counts and lists what consumers know and the database has lost, and moves its id sequence "
                "past that",
                LOG_STR("config", relay->settings->file), LOG_INT("timeline", row->here.timeline),
                LOG_INT("before", row->place.timeline), LOG_END);
}

static void
answer_take(struct relay *relay)
{
    struct error error;
    bool taken = false;
    bool kept = relay->owns;
    if (!journal_read_take(relay->session, &relay->self, &taken, &error)) {
        link_failed(relay, &error);
        return;
    }
    relay->take_unknown = false;
    if (!taken && !soundness_of_refusal(relay))
        return;
    if (!taken) {
        relay->look_at_us = relay->now_us + LOOK_SOON_US;
        if (relay->state == RELAY_DRAINING && !relay->owns)
            relay_change(relay, RELAY_STOPPED, "another process was faster");
        return;
    }
    relay->owns = true;
    relay->doubtful = false;
    relay->undurable = !session_durable(relay->session);
    warn_promoted(relay);
    relay->timeline = relay->seen.here.timeline;
    relay->counters.takeovers++;
    leading_begin(relay, kept);
    if (relay->state != RELAY_DRAINING)
        relay_change(relay, RELAY_LEADING, kept ? "back, with what was in flight" : "took the lead");
}

void
link_answer(struct relay *relay)
{
    enum request request = relay->request;
    struct error error;
    relay->request = REQUEST_NONE;
    switch (request) {
    case REQUEST_INSPECT:
    case REQUEST_INSPECT_OUTBOX:
        answer_inspect(relay, request == REQUEST_INSPECT_OUTBOX);
        return;
    case REQUEST_REGISTER:
        if (!telling_registered(relay, &error)) {
            link_failed(relay, &error);
            return;
        }
        journal_ask_prepare(relay->session, relay->now_us);
        relay_asked(relay, REQUEST_PREPARE);
        return;
    case REQUEST_PREPARE:
        if (!journal_read_prepare(relay->session, &error)) {
            link_failed(relay, &error);
            return;
        }
        relay->prepared = true;
        relay->was_connected = true;
        relay->counters.connects++;
        relay->look_at_us = relay->now_us;
        return;
    case REQUEST_NEWEST:
        answer_newest(relay);
        return;
    case REQUEST_PASS:
        answer_pass(relay);
        return;
    case REQUEST_SET_BACK:
        answer_set_back(relay);
        return;
    case REQUEST_TAKE:
        answer_take(relay);
        return;
    default:
        check_failed(__FILE__, __LINE__, "an answer that nobody asked for");
    }
}

void
link_ask(struct relay *relay)
{
    if (relay->request != REQUEST_NONE)
        return;
    if (!relay->prepared) {
        inspect_facts_free(&relay->facts);
        relay->facts = (struct inspect_facts){0};
        session_ask(relay->session, inspect_catalog_sql, relay->now_us);
        relay_asked(relay, REQUEST_INSPECT);
    } else if (relay->now_us >= relay->look_at_us || relay->doubtful) {
        journal_ask_newest(relay->session, relay->settings->relay, relay->now_us);
        relay_asked(relay, REQUEST_NEWEST);
    }
}
