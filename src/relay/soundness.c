/* soundness.c: may this relay lead here, by what the newest row of its journal says? Called by link.c on the way to the lead; each
 * function that answers false has stopped the relay, or broken off, with what is wrong and what helps. */
#include "relay/inside.h"

#include <inttypes.h>

/* So many times in a row, half a second or more, the lead is refused without a reason that can be seen. */
#define TAKES_IN_VAIN 25

/* Retired under us, or while we were away: an administrator's wish, and nobody's to take back but an administrator's. */
static bool
is_living(struct relay *relay)
{
    struct error error;
    const char *name = relay->settings->relay;
    if (!relay->seen.retired)
        return true;
    error_set(
        &error, ERROR_CONFIG,
        "relay \"%s\" was retired: it publishes nothing any more; `outboxd relay add %s --from now` (or "
        "`beginning`) starts it anew",
        name, name);
    relay_fail(relay, &error);
    return false;
}

/* Not the cluster or the database that the journal was written in: its xids mean nothing here. */
static bool
is_this_database(struct relay *relay)
{
    const struct journal_row *row = &relay->seen;
    if (row->place.sysid == row->here.sysid && row->place.dbid == row->here.dbid)
        return true;
    struct error error;
    error_set(
        &error, ERROR_INTERNAL,
        "the journal was written in another cluster or database (system identifier %" PRId64
        ", database %" PRId64 "; this is %" PRId64 ", %" PRId64
        "): this is a restored dump or a clone, whose transaction numbers mean "
        "nothing here; run `outboxd rebase`, see docs/operations.md, \"Not the same database any more\"",
        row->place.sysid, row->place.dbid, row->here.sysid, row->here.dbid);
    relay_fail(relay, &error);
    return false;
}

/* Where we have led, a standby was promoted; this is the server from before that, and what is written here is of another history. With
 * several hosts in conninfo it may be the first that takes connections. */
static bool
is_newest_timeline(struct relay *relay)
{
    struct error error;
    if (relay->seen.here.timeline >= relay->timeline)
        return true;
    error_set(&error, ERROR_RETRY,
              "this server is on timeline %d, and the relay has led on timeline %d: an old primary that came "
              "back; stop it; or, if it is to be the primary again, restart the relay",
              relay->seen.here.timeline, relay->timeline);
    link_failed(relay, &error);
    return false;
}

static void
fail_set_back(struct relay *relay)
{
    const struct journal_row *row = &relay->seen;
    struct error error;
    error_set(&error, ERROR_INTERNAL,
              "the sequence outbox.event_id_seq was set back (it is at %" PRId64
              ", the journal has seen %" PRId64 "): new events would be passed over; run `outboxd rebase`, "
              "see docs/operations.md, \"The sequence went backwards\"",
              row->sequence, row->hi_id);
    relay_fail(relay, &error);
}

/* The ids that the journal knows are still ahead of those that are given out. */
static bool
sequence_is_sound(struct relay *relay)
{
    if (relay->seen.sequence >= relay->seen.hi_id)
        return true;
    fail_set_back(relay);
    return false;
}

bool
soundness_of_row(struct relay *relay)
{
    return is_living(relay) && is_this_database(relay) && is_newest_timeline(relay) &&
           sequence_is_sound(relay);
}

bool
soundness_of_events(struct relay *relay, bool set_back, bool numbers_back)
{
    struct error error;
    if (set_back) {
        fail_set_back(relay);
    } else if (numbers_back) {
        error_set(
            &error, ERROR_INTERNAL,
            "transaction numbers were set back (pg_resetwal): events have numbers that the journal calls "
            "seen, and would be passed over; run `outboxd rebase`, see docs/operations.md, "
            "\"Transaction numbers went backwards\"");
        relay_fail(relay, &error);
    }
    return !set_back && !numbers_back;
}

/* Whoever was faster has written a row, which the next look shows. One that is there and is never shown is of a transaction that has
 * not happened yet, by its number. */
bool
soundness_of_refusal(struct relay *relay)
{
    struct error error;
    relay->takes_in_vain = relay->seen.seq == relay->taken_seq ? relay->takes_in_vain + 1 : 0;
    relay->taken_seq = relay->seen.seq;
    if (relay->takes_in_vain < TAKES_IN_VAIN)
        return true;
    error_set(&error, ERROR_INTERNAL,
              "a row stands behind row %" PRId64
              " of the journal and cannot be seen: transaction numbers were "
              "set back (pg_resetwal), and in every table rows that were committed are hidden; set them "
              "forward again, see docs/operations.md, \"Transaction numbers went backwards\"",
              relay->seen.seq);
    relay_fail(relay, &error);
    return false;
}

/* A standby was promoted that lacks events which we have sent. It would give their ids to others. */
bool
soundness_behind_us(const struct relay *relay)
{
    const struct journal_row *row = &relay->seen;
    return relay->timeline != 0 && row->here.timeline > relay->timeline && row->sequence < relay->sent_id;
}
