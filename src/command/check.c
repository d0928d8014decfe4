/* check.c: `outboxd check`: everything that could stop `run` from working, found in one run, each with its cure. Asks Postgres
 * and Kafka, compares what each says is published, and prints what is judged; changes nothing, but makes missing topics when asked
 * to. */
#include "command/command.h"

#include "base/findings.h"
#include "command/check_position.h"
#include "command/names.h"
#include "command/print.h"
#include "command/progress.h"
#include "command/report.h"
#include "kafka/inspect.h"
#include "kafka/properties.h"
#include "postgres/failure.h"
#include "postgres/oneshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than a client needs to give up on one of three brokers, short enough for a deployment script. */
#define KAFKA_PATIENCE_MS 15000

static const char help[] =
    "Usage: outboxd check [--config FILE] [--create]\n"
    "\n"
    "Finds everything that could stop `outboxd run` from working: configuration, connection, grants,\n"
    "schema version, relay name, brokers, topics, sizes; where it is delivered exactly once, whether Kafka\n"
    "and the journal agree on what is published; each finding with its cure. A running relay is not\n"
    "disturbed. With a mistake in the configuration, only the configuration is looked at.\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "      --create        makes the topics that are missing: 8 partitions, up to 3 copies of each. Where\n"
    "                      that does not suit, create the topic yourself: more partitions later break\n"
    "                      the order of keys\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 no error (there may be warnings), 64 usage, 69 Postgres or Kafka cannot be used as\n"
    "configured, 70 broken invariant, 78 configuration.\n";

/* ---- Postgres ---- */

static const char *
backlog_cure(const struct status_relay *relay, enum report_verdict verdict)
{
    if (verdict == REPORT_STUCK || verdict == REPORT_REFUSES)
        return relay->trouble.message;
    if (verdict == REPORT_NO_LEADER)
        return "outboxd run";
    if (verdict == REPORT_AWAY)
        return "what this machine sees of Kafka is said below; the relay goes on by itself when it answers";
    return "see the log of its leader, or /health/ready; outboxd status shows the rate";
}

/* What is waiting, and what it waits for: until it is published it stays, and takes room on the database's disk. */
static void
judge_backlog(const struct status *status, const struct settings *settings, struct findings *findings)
{
    for (size_t i = 0; i < status->relay_count; i++) {
        char summary[REPORT_SIZE];
        const struct status_relay *relay = &status->relays[i];
        enum report_verdict verdict = report_judge_relay(relay, settings->lease_us, summary);
        if (verdict == REPORT_OK || verdict == REPORT_PAUSED || verdict == REPORT_NO_RELAY || !relay->led ||
            relay->lag.events == 0) {
            char *backlog = report_backlog(&relay->lag);
            if (verdict != REPORT_NO_RELAY) /* an error already */
                findings_ok(findings, "backlog of relay \"%s\": %s", relay->name, backlog);
            free(backlog);
        } else {
            findings_add(findings, FINDING_WARNING, ERROR_NONE, backlog_cure(relay, verdict), "%s", summary);
        }
    }
}

/* What was passed over waits for a person, or for its topic. */
static void
judge_aside(const struct status *status, struct findings *findings)
{
    for (size_t i = 0; i < status->relay_count; i++) {
        const struct status_relay *relay = &status->relays[i];
        char age[PRINT_SIZE];
        if (relay->aside.dead_letters > 0)
            findings_add(findings, FINDING_WARNING, ERROR_NONE,
                         "outboxd dead list says which and why; outboxd dead retry when the cause is gone",
                         "relay \"%s\" has %" PRId64 " dead letter%s, the oldest refused %s ago, and %" PRId64
                         " event%s held behind",
                         relay->name, relay->aside.dead_letters, relay->aside.dead_letters == 1 ? "" : "s",
                         print_age(relay->aside.dead_us, age), relay->aside.held_events,
                         relay->aside.held_events == 1 ? "" : "s");
        if (relay->aside.paused)
            findings_add(findings, FINDING_WARNING, ERROR_NONE, "outboxd resume",
                         "relay \"%s\" is paused: it publishes nothing", relay->name);
    }
    for (size_t i = 0; i < status->pauses.count; i++) {
        const struct paused *paused = &status->pauses.list[i];
        char age[PRINT_SIZE];
        print_age(paused->since_us, age);
        if (paused->asked_by != NULL) {
            char *cure = must_format("outboxd resume %s", paused->topic);
            findings_add(findings, FINDING_WARNING, ERROR_NONE, cure,
                         "topic %s of relay \"%s\" is paused by %s, since %s ago: its events wait",
                         paused->topic, paused->relay, paused->asked_by, age);
            free(cure);
        } else {
            findings_add(findings, FINDING_WARNING, ERROR_NONE, paused->message,
                         "topic %s of relay \"%s\" has taken nothing since %s ago: its events wait: %s",
                         paused->topic, paused->relay, age, paused->error);
        }
    }
}

static void
inspect_session(struct session *session, const struct settings *settings, struct inspect_facts *facts,
                struct findings *findings)
{
    struct error error;
    struct status status = {0};
    if (!oneshot_inspect(session, facts, &error)) {
        findings_add(findings, FINDING_ERROR, error.kind, "see the server's log", "%s", error.message);
        return;
    }
    inspect_judge(facts, settings, findings);
    if (!facts->has_outbox)
        return;
    if (status_read_relays(session, &status, &error) && status_read_aside(session, &status, &error)) {
        judge_backlog(&status, settings, findings);
        judge_aside(&status, findings);
    } else
        findings_add(findings, FINDING_ERROR, error.kind, "see the server's log", "%s", error.message);
    status_free(&status);
}

static void
check_postgres(const struct settings *settings, struct inspect_facts *facts, struct findings *findings)
{
    struct error error;
    struct session *session;
    struct progress *progress = progress_begin("check", "asking Postgres");
    if (oneshot_open(&session, settings, &error))
        inspect_session(session, settings, facts, findings);
    else
        findings_add(findings, FINDING_ERROR, error.kind, failure_cure(&error), "%s", error.message);
    session_free(session);
    progress_end(progress);
}

/* ---- Kafka ---- */

static bool
check_kafka(const struct settings *settings, const struct inspect_facts *facts, bool create,
            struct findings *findings)
{
    struct topic_names names = {0}; /* of the newest events, patterns that are no patterns, that of copies */
    topic_names_select(&names, (const char *const *)settings->topics, settings->topics_count,
                       facts->topics.list, facts->topics.count);
    if (names.count == 0 && facts->has_outbox)
        findings_ok(findings,
                    "no topic is known by name: there is no event yet, and `topics` has patterns only");
    if (settings->dead_letter_topic != NULL) /* no letter of a legal name makes it a pattern */
        topic_names_select(&names, (const char *const *)&settings->dead_letter_topic, 1, NULL, 0);
    const struct property *servers = properties_find(settings, "bootstrap.servers");
    CHECK(servers != NULL); /* the configuration was taken */
    struct progress *progress = progress_begin("check", "asking Kafka at %s", servers->value);
    bool reached = kafka_inspect(settings, names.list, names.count, create, KAFKA_PATIENCE_MS, findings);
    progress_end(progress);
    free(names.list);
    return reached;
}

/* ---- findings ---- */

static void
print_finding(const struct finding *finding)
{
    static const char *const levels[] = {
        [FINDING_OK] = "ok       ", [FINDING_WARNING] = "warning  ", [FINDING_ERROR] = "error    "};
    fputs(levels[finding->level], stdout);
    print_text(stdout, finding->what);
    putchar('\n');
    if (finding->cure != NULL) {
        fputs("           ", stdout);
        print_text(stdout, finding->cure);
        putchar('\n');
    }
}

/* Prints all; the exit code of the worst: what the configuration can mend stands over what it cannot. */
static int
print_findings(const struct findings *findings)
{
    int exit_code = 0;
    size_t counts[FINDING_ERROR + 1] = {0};
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        print_finding(finding);
        counts[finding->level]++;
        int code = finding->level == FINDING_ERROR ? error_exit_code(finding->kind) : 0;
        exit_code = code > exit_code ? code : exit_code;
    }
    printf("\n%zu error%s, %zu warning%s\n", counts[FINDING_ERROR], counts[FINDING_ERROR] == 1 ? "" : "s",
           counts[FINDING_WARNING], counts[FINDING_WARNING] == 1 ? "" : "s");
    return exit_code;
}

int
command_check(int argc, char **argv)
{
    bool create = false;
    struct command_option options[] = {{"create", .flag = &create}, {0}};
    struct command_line line = {.help = help, .options = options};
    struct settings *settings = NULL;
    struct inspect_facts facts = {0};
    struct findings findings = {0};
    struct error error;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    if (!command_load(line.config, &settings, &exit_code))
        return exit_code;
    findings_ok(&findings, "configuration %s", settings->file);
    check_postgres(settings, &facts, &findings);
    bool sound = facts.has_outbox && findings_first_error(&findings) == NULL;
    if (check_kafka(settings, &facts, create, &findings) && sound)
        check_position(settings, &facts, KAFKA_PATIENCE_MS, &findings);
    exit_code = print_findings(&findings);
    if (fflush(stdout) != 0) {
        error_set(&error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
        exit_code = command_failed(argv[0], &error);
    }
    findings_free(&findings);
    inspect_facts_free(&facts);
    settings_free(settings);
    return exit_code;
}
