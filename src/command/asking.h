/* asking.h: what the commands have in common that ask a relay for something by way of the database: a session, the relay of the
 * configuration as the registry has it, whether anybody leads it, and waiting until it has done what was asked for. */
#ifndef OUTBOXD_COMMAND_ASKING_H
#define OUTBOXD_COMMAND_ASKING_H

#include "config/settings.h"
#include "postgres/relays.h"
#include "postgres/requests.h"

/* A session of a database whose schema is of this binary's version or later. */
MUST_CHECK bool asking_connect(struct session **session, const struct settings *settings,
                               struct error *error);

/* "leading", "released", "no leader" or "never led" (report.h), "retired" or "no journal". */
const char *asking_standing(const struct relays_entry *entry, int64_t lease_us);

struct asking {
    const char *command; /* for what is said on standard error */
    const struct settings *settings;
    struct session *session;
    struct relays relays;
    const struct relays_entry *relay; /* that of the configuration, among them */
};

/* Connects and reads the registry. ERROR_CONFIG when the relay is not registered, or, unless `retired_too`, was retired.
 * To be closed in any case. */
MUST_CHECK bool asking_open(struct asking *asking, const char *command, const struct settings *settings,
                            bool retired_too, struct error *error);
void asking_close(struct asking *asking);

/* Reads the registry again. */
MUST_CHECK bool asking_refresh(struct asking *asking, struct error *error);

/* True when the relay has a leader, as far as was read; else `why` says since when it has none, in a sentence. */
bool asking_leads(const struct asking *asking, char why[256]);

/* Whether the relay selects the topic. */
bool asking_selects(const struct asking *asking, const char *topic);

/* What is waited for. `ended` is told of each request that has ended. */
struct asking_wait {
    const int64_t *numbers; /* of requests, in the order of their numbers */
    size_t count;
    int64_t events; /* about so many events are published for them; 0: not known */
    const char *
        cancels; /* how to end what goes on, said when somebody interrupts: "`outboxd ..` ends it", or NULL */
    void (*ended)(void *context, const struct request *request);
    void *context;
};

/* Waits for all of them, with progress on standard error, as long as the relay has a leader. ERROR_UNUSABLE: there is none for
 * longer than a takeover takes, or SIGINT or SIGTERM came: what was asked for stays. Blocks these signals for good. */
MUST_CHECK bool asking_await(struct asking *asking, const struct asking_wait *wait, struct error *error);

/* Says on standard error, when nobody leads, that nothing happens until somebody does. For who does not wait. */
void asking_warn(const struct asking *asking);

#endif
