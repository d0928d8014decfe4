/* backlog.c: what waits in the database while the relay is paused by hand. Nothing is read then, so that the lag is asked for: a pause that
 * somebody has forgotten fills the disk, and no alarm is to sleep through that. Called by leading.c and answers.c. */
#include "relay/inside.h"

/* A small part of what alarms wait for; each look is as cheap as a step. */
#define BACKLOG_US (INT64_C(5) * 1000000)

bool
backlog_asks(struct relay *relay)
{
    if (!relay->beside.paused) {
        relay->backlog_from_us = relay->backlog_at_us = 0;
        return false;
    }
    if (relay->now_us < relay->backlog_at_us)
        return false;
    relay->backlog_at_us = relay->now_us + BACKLOG_US;
    backlog_ask(relay->session, relay->settings->relay, relay->confirmed, relay->now_us);
    relay_asked(relay, REQUEST_BACKLOG);
    return true;
}

/* Tables that are locked are looked at later: until then what was the oldest event is taken to be it still. */
bool
backlog_answer(struct relay *relay, struct error *error)
{
    return backlog_read(relay->session, &relay->backlog_from_us, error) || error->kind == ERROR_RETRY;
}
