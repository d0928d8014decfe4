/* relay.c: `outboxd relay list | add | retire`: the registry of relays. Called by main; what adding and retiring mean is
 * decided in schema/002_relays.sql. Its options are parsed in relay_options.c. */
#include "command/relay_options.h"

#include "command/asking.h"
#include "command/command.h"
#include "command/print.h"
#include "command/report.h"
#include "config/units.h"
#include "postgres/dead.h"
#include "postgres/pauses.h"
#include "postgres/relays.h"
#include "postgres/status.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- list ---- */

static void
print_list(const struct relays *relays, int64_t lease_us)
{
    char retention[UNITS_TEXT];
    int name = 5, source = 6;
    for (size_t i = 0; i < relays->count; i++) {
        int lengths[] = {(int)strlen(relays->list[i].name), (int)strlen(relays->list[i].source)};
        name = lengths[0] > name ? lengths[0] : name;
        source = lengths[1] > source ? lengths[1] : source;
    }
    printf("%-*s  %-10s  %-*s  %-9s  %s\n", name, "RELAY", "STATE", source, "SOURCE", "RETENTION", "TOPICS");
    for (size_t i = 0; i < relays->count; i++) {
        const struct relays_entry *entry = &relays->list[i];
        printf("%-*s  %-10s  %-*s  %-9s ", name, entry->name, asking_standing(entry, lease_us), source,
               entry->source, units_format_duration(entry->retention_us, retention));
        for (size_t k = 0; k < entry->topic_count; k++) {
            putchar(' ');
            print_text(stdout, entry->topics[k]);
        }
        putchar('\n');
    }
}

static json_t *
entry_object(const struct relays_entry *entry, int64_t lease_us)
{
    json_t *topics = json_array();
    for (size_t i = 0; i < entry->topic_count; i++)
        json_array_append_new(topics, json_string(entry->topics[i]));
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:o, s:f, s:I, s:s, s:s?}", "relay", entry->name, "leadership",
                  asking_standing(entry, lease_us), "source", entry->source, "topics", topics,
                  "retention_seconds", (double)entry->retention_us / 1e6, "epoch", (json_int_t)entry->epoch,
                  "created_at", entry->created_at, "retired_at", entry->retired_at);
    CHECK(object != NULL);
    return object;
}

static void
print_json(const struct relays *relays, int64_t lease_us)
{
    json_t *array = json_array(), *object = json_pack("{s:o}", "relays", array);
    for (size_t i = 0; i < relays->count; i++)
        json_array_append_new(array, entry_object(&relays->list[i], lease_us));
    CHECK(json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) == 0 || ferror(stdout));
    putchar('\n');
    json_decref(object);
}

static bool
list(struct session *session, const struct settings *settings, const struct relay_options *options,
     struct error *error)
{
    struct relays relays;
    bool good = relays_read(session, &relays, error);
    if (good && options->json)
        print_json(&relays, settings->lease_us);
    else if (good && relays.count == 0)
        printf(
            "no relay is registered; the first `outboxd run` registers itself and starts at the beginning\n");
    else if (good)
        print_list(&relays, settings->lease_us);
    relays_free(&relays);
    return good;
}

/* ---- add ---- */

static bool
add(struct session *session, const struct settings *settings, const struct relay_options *options,
    struct error *error)
{
    bool own_topics = options->topics.count > 0;
    struct relays_wish wish = {
        .name = options->name,
        .source = options->source != NULL ? options->source : settings->source,
        .topics = own_topics ? options->topics.texts : (const char *const *)settings->topics,
        .topic_count = own_topics ? options->topics.count : settings->topics_count,
        .retention_us = options->retention_us > 0 ? options->retention_us : settings->retention_us,
        .from_now = options->from == RELAY_FROM_NOW,
    };
    if (!relays_add(session, &wish, error))
        return false;
    printf("relay %s is registered and will publish %s; `outboxd run` with `relay: %s` does it\n", wish.name,
           wish.from_now ? "what commits from now on" : "from the beginning of what is in the outbox",
           wish.name);
    return true;
}

/* ---- retire ---- */

/* What its position has passed and Kafka has not. */
static bool
tell_put_aside(struct session *session, const char *name, struct error *error)
{
    struct dead_list dead = {0};
    struct pauses pauses = {0};
    bool good = dead_prepare(session, error) && dead_read_list(session, name, NULL, 1, &dead, error) &&
                pauses_read(session, &pauses, error);
    if (good && dead.letters > 0)
        printf("nor are its %" PRId64 " dead letter%s and the %" PRId64 " event%s held behind them\n",
               dead.letters, dead.letters == 1 ? "" : "s", dead.held, dead.held == 1 ? "" : "s");
    for (size_t i = 0; good && i < pauses.count; i++) {
        const struct paused *paused = &pauses.list[i];
        if (paused->waits && strcmp(paused->relay, name) == 0)
            printf("nor is what waits because topic %s is paused\n", paused->topic);
    }
    pauses_free(&pauses);
    dead_list_free(&dead);
    return good;
}

/* What would be lost with it: said before anybody is asked. */
static bool
tell_loss(struct session *session, const char *name, const struct relays *relays, struct error *error)
{
    struct status status = {0};
    size_t others = 0;
    bool good = status_read_relays(session, &status, error);
    for (size_t i = 0; i < relays->count; i++)
        others += relays->list[i].retired_at == NULL && strcmp(relays->list[i].name, name) != 0;
    for (size_t i = 0; good && i < status.relay_count; i++) {
        if (strcmp(status.relays[i].name, name) != 0)
            continue;
        char *backlog = report_backlog(&status.relays[i].lag);
        printf("not confirmed by relay %s, and never published by it once it is retired: %s\n", name,
               backlog);
        free(backlog);
    }
    good = good && tell_put_aside(session, name, error);
    if (good && others == 0)
        printf(
            "no other relay is left: nothing would be published, and no slot emptied, until one is added\n");
    status_free(&status);
    return good;
}

static bool
is_living(const struct relays *relays, const char *name)
{
    for (size_t i = 0; i < relays->count; i++)
        if (relays->list[i].retired_at == NULL && strcmp(relays->list[i].name, name) == 0)
            return true;
    return false;
}

static bool
retire(struct session *session, const struct settings *settings, const struct relay_options *options,
       struct error *error)
{
    (void)settings;
    struct relays relays;
    bool agreed = relays_read(session, &relays, error);
    if (agreed && is_living(&relays, options->name))
        agreed = tell_loss(session, options->name, &relays, error) &&
                 command_confirm("relay retire", "Retire it?", options->yes, error);
    relays_free(&relays);
    if (!agreed || !relays_retire(session, options->name, error))
        return false;
    printf("relay %s is retired: it holds nothing back, and whoever runs it stops\n", options->name);
    return true;
}

/* ---- the command ---- */

static bool
act(const struct settings *settings, const struct relay_options *options, struct error *error)
{
    struct session *session;
    if (!asking_connect(&session, settings, error))
        return false;
    bool good = true;
    if (options->action == RELAY_LIST)
        good = list(session, settings, options, error);
    else if (options->action == RELAY_ADD)
        good = add(session, settings, options, error);
    else
        good = retire(session, settings, options, error);
    session_free(session);
    if (good && fflush(stdout) != 0)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good;
}

int
command_relay(int argc, char **argv)
{
    struct relay_options options;
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (relay_options_parse(argc, argv, &options, &exit_code) &&
        command_load(options.config, &settings, &exit_code)) {
        exit_code = act(settings, &options, &error) ? 0 : command_failed("relay", &error);
        settings_free(settings);
    }
    free(options.topics.texts);
    return exit_code;
}
