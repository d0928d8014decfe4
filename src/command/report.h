/* report.h: what the facts about a database's relays (postgres/status.h) amount to: a verdict in one line, for people at
 * night and for scripts. Pure; used by the commands status and check. */
#ifndef OUTBOXD_COMMAND_REPORT_H
#define OUTBOXD_COMMAND_REPORT_H

#include "config/settings.h"
#include "postgres/inspect.h"
#include "postgres/status.h"

#include <stdio.h>

/* From good to bad; of several relays the worst counts. */
enum report_verdict {
    REPORT_OK,
    REPORT_BEHIND,    /* it publishes, but the oldest event waits for longer than REPORT_BEHIND_US */
    REPORT_PAUSED,    /* somebody has paused all of it */
    REPORT_AWAY,      /* its leader says that Kafka does not answer */
    REPORT_NO_LEADER, /* nobody publishes */
    REPORT_REFUSES,   /* its leader says that Kafka refuses everything */
    REPORT_STUCK,     /* .. or an event */
    REPORT_NO_RELAY,  /* ours is not registered, or the journal is gone or another database's */
};

/* A takeover after a crash (the lease and a second) is no reason to call anybody. */
#define REPORT_BEHIND_US (INT64_C(10) * 1000000)

/* A line of the verdict. */
#define REPORT_SIZE 512

struct report {
    const struct settings *settings;
    const struct inspect_facts *facts;
    const struct status *status;
    enum report_verdict verdict;
    char summary[REPORT_SIZE];
    const char *
        *unselected; /* topics of the newest events that no living relay publishes; names belong to facts */
    size_t unselected_count;
};

/* The arguments must outlive the report. */
struct report report_make(const struct settings *settings, const struct inspect_facts *facts,
                          const struct status *status);
void report_free(struct report *report);

/* Of one relay; `text` says it in one line. `lease_us` without a heartbeat is no leader. */
enum report_verdict report_judge_relay(const struct status_relay *relay, int64_t lease_us,
                                       char text[REPORT_SIZE]);

/* REPORT_AWAY or REPORT_REFUSES: it is about Kafka as a whole; REPORT_STUCK: about an event; REPORT_OK: there is none. */
enum report_verdict report_judge_trouble(const struct status_trouble *trouble);

/* "leading", "released", "no leader" or "never led". */
const char *report_leadership(const struct status_relay *relay, int64_t lease_us);

/* What a process of this relay is: "leader", "was leader" (the last one, which has stopped, or is silent for longer than the
 * lease), or "standby". */
const char *report_role(const struct status_relay *relay, const struct status_process *process,
                        int64_t lease_us);

/* "ok", "behind", "paused", "kafka away", "no leader", "kafka refuses", "stuck" or "no relay". */
const char *report_verdict_name(enum report_verdict verdict);

/* "3 dead letters, the oldest 2.1 h, 12 events held; 1 topic paused", or "" for none of it; the caller frees it. */
char *report_aside(const struct status_aside *aside);

/* "none", or "12 events, 3.1 KiB, oldest 2.5 h"; the caller frees it. */
char *report_backlog(const struct status_lag *lag);
/* The same of a relay, and that events of paused topics are not among them. */
char *report_backlog_of(const struct status_relay *relay);

/* The verdict, then the facts, on 80 columns. */
void report_print_text(const struct report *report, FILE *to);

/* One object; its keys stay as they are from version to version, new ones may come. */
void report_print_json(const struct report *report, FILE *to);

#endif
