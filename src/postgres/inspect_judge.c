/* inspect_judge.c: what the facts of a database mean, and what to do about them. Called by `check`, which
 * prints every finding, and at the start of `run`, which refuses to work with the first error. Pure. */
#include "postgres/inspect.h"

#include "config/units.h"
#include "postgres/schema.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_SERVER 130000

/* One argument of a shell command; the caller frees it. */
static char *
shell_word(const char *text)
{
    char *word;
    size_t size;
    FILE *to = open_memstream(&word, &size);
    CHECK(to != NULL);
    bool plain = text[0] != '\0';
    for (const char *at = text; *at != '\0'; at++)
        plain = plain && (isalnum((unsigned char)*at) || strchr("_-.", *at) != NULL);
    if (plain)
        fputs(text, to);
    else {
        fputc('\'', to);
        for (const char *at = text; *at != '\0'; at++)
            fputs(*at == '\'' ? "'\\''" : (const char[]){*at, '\0'}, to);
        fputc('\'', to);
    }
    CHECK(fclose(to) == 0);
    return word;
}

/* "a, b, c"; the caller frees it. */
static char *
join(const struct inspect_names *names)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    CHECK(to != NULL);
    for (size_t i = 0; i < names->count; i++)
        fprintf(to, "%s%s", i > 0 ? ", " : "", names->list[i]);
    CHECK(fclose(to) == 0);
    return text;
}

/* An error that `outboxd migrate` mends. */
static void
add_migrate(const struct inspect_facts *facts, struct findings *findings, const char *what)
{
    char *user = shell_word(facts->user);
    char *cure = must_format("outboxd migrate --conninfo ADMIN --relay %s", user);
    findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE, cure, "%s", what);
    free(cure);
    free(user);
}

static void
judge_server(const struct inspect_facts *facts, struct findings *findings)
{
    if (facts->server_version < OLDEST_SERVER)
        findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE, "upgrade Postgres to 13 or later",
                     "Postgres %d is too old", facts->server_version / 10000);
    else if (facts->standby)
        findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE,
                     "connect to the primary: postgres.conninfo: \"... target_session_attrs=read-write\"",
                     "the server of database \"%s\" is a standby", facts->database);
    else
        findings_ok(findings, "database \"%s\" on a primary of Postgres %d", facts->database,
                    facts->server_version / 10000);
}

static void
judge_privileges(const struct inspect_facts *facts, struct findings *findings)
{
    if (facts->missing.count > 0) {
        char *list = join(&facts->missing);
        char *what = must_format("role \"%s\" lacks in schema outbox: %s", facts->user, list);
        add_migrate(facts, findings, what);
        free(what);
        free(list);
    } else {
        findings_ok(findings, "role \"%s\" has the privileges that a relay needs", facts->user);
    }
    if (facts->owns)
        findings_add(
            findings, FINDING_WARNING, ERROR_NONE,
            "outboxd migrate --conninfo ADMIN --relay LOGIN, and put that LOGIN into postgres.conninfo",
            "role \"%s\" can do anything to the outbox: it is a superuser or acts for the schema's owner",
            facts->user);
}

/* Who else may read or write the outbox, and where it flows to. */
static void
judge_strangers(const struct inspect_facts *facts, struct findings *findings)
{
    if (facts->foreign.count > 0) {
        char *list = join(&facts->foreign);
        findings_add(findings, FINDING_WARNING, ERROR_NONE,
                     "revoke them, or run outboxd migrate --conninfo ADMIN, which revokes them",
                     "not what writers and relays are given on the outbox: %s", list);
        free(list);
    }
    if (facts->publications.count > 0) {
        char *list = join(&facts->publications);
        findings_add(findings, FINDING_WARNING, ERROR_NONE,
                     "leave the tables of the schema outbox out of the publication",
                     "the outbox is replicated logically (publication %s): its transaction ids mean nothing "
                     "elsewhere, "
                     "no relay can work on the copy",
                     list);
        free(list);
    }
}

static void
judge_version(const struct inspect_facts *facts, struct findings *findings)
{
    if (facts->version < SCHEMA_VERSION) {
        char *what =
            must_format("the schema is at version %d, this outboxd needs %d", facts->version, SCHEMA_VERSION);
        add_migrate(facts, findings, what);
        free(what);
    } else if (facts->readable_since > SCHEMA_VERSION) {
        findings_add(
            findings, FINDING_ERROR, ERROR_UNUSABLE, "install the newer outboxd",
            "the schema is at version %d and needs an outboxd for version %d or later; this one is for %d",
            facts->version, facts->readable_since, SCHEMA_VERSION);
    } else {
        findings_ok(findings, "schema version %d", facts->version);
    }
}

/* That every event's id is drawn after its transaction got its number, and is greater than every id seen
 * before. */
static void
judge_numbering(const struct inspect_facts *facts, struct findings *findings)
{
    size_t before = findings->count;
    if (facts->sequence_cache != 1)
        findings_add(
            findings, FINDING_ERROR, ERROR_UNUSABLE,
            "alter sequence outbox.event_id_seq increment 1 cache 1; then reconnect the applications",
            "the sequence outbox.event_id_seq is missing or hands out ids in ranges (cache) or in steps: "
            "events would be lost");
    if (facts->sequence_cycles)
        findings_add(
            findings, FINDING_ERROR, ERROR_UNUSABLE, "alter sequence outbox.event_id_seq no cycle",
            "the sequence outbox.event_id_seq begins again at its end (cycle): events would be lost");
    if (facts->identity != 'a')
        findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE,
                     facts->identity == 'd'
                         ? "alter table outbox.event alter column id set generated always"
                         : "restore the schema from a backup, or install it in another database",
                     "outbox.event.id is not \"generated always as identity\": events would be lost");
    if (!facts->xid_first)
        findings_add(findings, FINDING_ERROR, ERROR_UNUSABLE,
                     "restore the schema from a backup, or install it in another database",
                     "xid is not the first column of outbox.event with the default pg_current_xact_id(): "
                     "events would be lost");
    if (findings->count == before)
        findings_ok(findings, "events are numbered as the relay needs it");
}

static void
judge_retention(const struct inspect_facts *facts, const struct settings *settings, struct findings *findings)
{
    int64_t most_us = (facts->slots - 2) * facts->slot_width_us;
    char retention[UNITS_TEXT], most[UNITS_TEXT], width[UNITS_TEXT];
    units_format_duration(settings->retention_us, retention);
    units_format_duration(facts->slot_width_us, width);
    if (settings->retention_us <= most_us) {
        findings_ok(findings, "retention of %s fits into %d slots of %s", retention, facts->slots, width);
        return;
    }
    char *cure = must_format("%s: retention: %s", settings->file, units_format_duration(most_us, most));
    findings_add(findings, FINDING_ERROR, ERROR_CONFIG, cure,
                 "a retention of %s would never empty a slot: %d slots of %s", retention, facts->slots,
                 width);
    free(cure);
}

static void
judge_known_relay(const struct inspect_facts *facts, const struct inspect_relay *relay,
                  struct findings *findings)
{
    if (!relay->has_journal)
        findings_add(findings, FINDING_ERROR, ERROR_INTERNAL,
                     "outboxd rebase; docs/operations.md, \"The journal is gone\"",
                     "relay \"%s\" has no row in outbox.journal: what it published is not known",
                     relay->name);
    else if (relay->sysid != facts->sysid || relay->dbid != facts->dbid)
        findings_add(
            findings, FINDING_ERROR, ERROR_INTERNAL,
            "outboxd rebase; docs/operations.md, \"Not the same database any more\"",
            "the journal of relay \"%s\" was written in another cluster or database (restored from a dump?): "
            "the transaction ids in it mean nothing here",
            relay->name);
    else if (relay->set_back)
        findings_add(findings, FINDING_ERROR, ERROR_INTERNAL,
                     "outboxd rebase; docs/operations.md, \"The sequence went backwards\"",
                     "the sequence outbox.event_id_seq was set back behind what relay \"%s\" has seen: new "
                     "events would be passed over",
                     relay->name);
    else
        findings_ok(findings, "relay \"%s\" is registered", relay->name);
}

/* Ids are unique within their source: consumers that remember (source, id) would take what is sent again for new events. */
static void
judge_source(const struct settings *settings, const struct inspect_relay *relay, struct findings *findings)
{
    if (strcmp(relay->source, settings->source) == 0)
        return;
    char *cure = must_format("%s: source: %s; or, if the outbox is to have another name from now on, "
                             "docs/operations.md, \"Another source\"",
                             settings->file, relay->source);
    findings_add(
        findings, FINDING_ERROR, ERROR_CONFIG, cure,
        "relay \"%s\" was registered with the source \"%s\", the configuration says \"%s\": consumers "
        "that remember (source, id) would take events that are sent again for new ones",
        relay->name, relay->source, settings->source);
    free(cure);
}

static void
judge_relay(const struct inspect_facts *facts, const struct settings *settings, struct findings *findings)
{
    struct inspect_names living = {.list = must_calloc(facts->relay_count, sizeof *living.list)};
    const struct inspect_relay *ours = NULL;
    for (size_t i = 0; i < facts->relay_count; i++) {
        if (!facts->relays[i].retired)
            living.list[living.count++] = facts->relays[i].name;
        if (strcmp(facts->relays[i].name, settings->relay) == 0)
            ours = &facts->relays[i];
    }
    if (ours != NULL && !ours->retired) {
        judge_known_relay(facts, ours, findings);
        judge_source(settings, ours, findings);
    } else if (facts->relay_count == 0) {
        findings_ok(findings, "relay \"%s\" will be the first one, and begin at the beginning",
                    settings->relay);
    } else {
        char *list = join(&living);
        char *cure =
            must_format("outboxd relay add %s --from now (or beginning)%s%s%s%s", settings->relay,
                        living.count > 0 ? ", or set relay in " : "", living.count > 0 ? settings->file : "",
                        living.count > 0 ? " to one of the known names: " : "", list);
        findings_add(findings, FINDING_ERROR, ERROR_CONFIG, cure, "relay \"%s\" is %s", settings->relay,
                     ours ? "retired" : "not registered");
        free(cure);
        free(list);
    }
    free(living.list);
}

static bool
any_pattern_matches(char *const *patterns, size_t count, const char *topic)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(patterns[i], topic, 0) == 0)
            return true;
    return false;
}

/* Of our own relay the configuration counts: `run` writes it into the registry. */
static bool
is_selected(const struct inspect_facts *facts, const struct settings *settings, const char *topic)
{
    if (any_pattern_matches(settings->topics, settings->topics_count, topic))
        return true;
    for (size_t i = 0; i < facts->relay_count; i++) {
        const struct inspect_relay *relay = &facts->relays[i];
        if (!relay->retired && strcmp(relay->name, settings->relay) != 0 &&
            any_pattern_matches(relay->topics.list, relay->topics.count, topic))
            return true;
    }
    return false;
}

static void
judge_topics(const struct inspect_facts *facts, const struct settings *settings, struct findings *findings)
{
    struct inspect_names unselected = {.list = must_calloc(facts->topics.count, sizeof *unselected.list)};
    for (size_t i = 0; i < facts->topics.count; i++)
        if (!is_selected(facts, settings, facts->topics.list[i]))
            unselected.list[unselected.count++] = facts->topics.list[i];
    if (unselected.count > 0) {
        char *list = join(&unselected);
        char *cure = must_format("%s: topics: add them; events that were passed over before stay unpublished",
                                 settings->file);
        findings_add(findings, FINDING_WARNING, ERROR_NONE, cure,
                     "no relay publishes these topics, of which there are events: %s", list);
        free(cure);
        free(list);
    }
    free(unselected.list);
}

void
inspect_judge(const struct inspect_facts *facts, const struct settings *settings, struct findings *findings)
{
    judge_server(facts, findings);
    if (facts->server_version < OLDEST_SERVER)
        return;
    if (!facts->has_schema) {
        char *what = must_format("database \"%s\" has no outbox", facts->database);
        add_migrate(facts, findings, what);
        free(what);
        return;
    }
    judge_privileges(facts, findings);
    judge_strangers(facts, findings);
    judge_numbering(facts, findings);
    if (!facts->has_outbox)
        return;
    judge_version(facts, findings);
    judge_retention(facts, settings, findings);
    judge_relay(facts, settings, findings);
    judge_topics(facts, settings, findings);
}
