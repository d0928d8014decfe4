/* rebase.c: `outboxd rebase`: shows what it would do to a database in which the relays' journals mean nothing any more, asks,
 * and has it done. Called by main; what is to be done is decided in schema/007_failover.sql. The doors that read Kafka are in
 * rebase_kafka.c. */
#include "postgres/rebase.h"

#include "command/rebase_options.h"
#include "config/secrets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
print_relay(const struct rebase_relay *relay, const struct rebase_plan *plan)
{
    const char *state = "";
    if (strcmp(relay->wrong, "elsewhere") == 0)
        state = " (its journal was written in another cluster or database)";
    else if (strcmp(relay->wrong, "no journal") == 0)
        state = " (its journal is gone: what it published is not known)";
    else if (strcmp(relay->wrong, "gaps") == 0)
        state = " (rows of its journal are missing)";
    else if (strcmp(relay->wrong, "numbers") == 0)
        state = " (transaction numbers were set back since its journal was written)";
    printf("relay %s%s:\n  %" PRId64 " events are not confirmed: they will be published\n  %" PRId64
           " are confirmed: they stay, and are not published again\n",
           relay->name, state, relay->unconfirmed, plan->events - relay->unconfirmed);
    if (relay->killed && !plan->moved)
        printf("  it delivered exactly once and was not stopped with SIGTERM: if some of what it had not "
               "confirmed is in\n"
               "  Kafka, it stops and asks for `outboxd rebase --position %s`, which finds out what\n",
               relay->name);
}

static void
print_plan(const struct rebase_plan *plan)
{
    for (size_t i = 0; i < plan->relay_count; i++)
        print_relay(&plan->relays[i], plan);
    if (plan->relay_count == 0)
        printf("no relay is registered; the first one will begin at the beginning\n");
    if (plan->set_back)
        printf("the sequence outbox.event_id_seq was set back: it will go on above %" PRId64 ", and %" PRId64
               " events that were never sent get new ids\n",
               plan->highest, plan->renumbered);
    if (plan->moved)
        printf("transaction numbers mean the same here: no event is changed\n");
}

static void
print_done(const struct rebase_plan *done)
{
    for (size_t i = 0; i < done->relay_count; i++)
        printf("relay %s goes on with %" PRId64 " unconfirmed events\n", done->relays[i].name,
               done->relays[i].unconfirmed);
    printf(done->needed ? "rebased\n" : "nothing was left to do\n");
}

static bool
act(struct rebase *rebase, const struct rebase_options *options, struct error *error)
{
    struct rebase_plan plan, done;
    if (!rebase_look(rebase, options->same_xids, &plan, error)) {
        rebase_plan_free(&plan);
        return false;
    }
    bool needed = plan.needed;
    if (needed)
        print_plan(&plan);
    else
        printf("nothing to do: the journals belong to this database, and the ids grow\n");
    rebase_plan_free(&plan);
    if (!needed || options->wish.dry_run)
        return true;
    if (!command_confirm("rebase", "Rebase? Writers wait until it is done.", options->wish.yes, error))
        return false;
    bool good = rebase_run(rebase, options->same_xids, command_waits, "rebase", &done, error);
    if (good)
        print_done(&done);
    rebase_plan_free(&done);
    return good;
}

/* The doors that read Kafka. */
static bool
load(struct rebase_options *options, struct settings **settings, int *exit_code)
{
    if (!command_load(options->config, settings, exit_code))
        return false;
    options->wish.settings = *settings;
    options->wish.position = options->position != NULL;
    if (options->position == NULL || strcmp(options->position, (*settings)->relay) == 0)
        return true;
    struct error error;
    error_set(&error, ERROR_CONFIG,
              "%s is the configuration of relay \"%s\": give that of \"%s\" with --config", options->config,
              (*settings)->relay, options->position);
    *exit_code = command_failed("rebase", &error);
    return false;
}

static bool
work(const struct rebase_options *options, struct error *error)
{
    struct rebase *rebase = NULL;
    bool good = rebase_open(&rebase, options->conninfo, error) &&
                (options->wish.settings != NULL ? rebase_with_kafka(rebase, &options->wish, error)
                                                : act(rebase, options, error));
    rebase_close(rebase);
    if (good && fflush(stdout) != 0)
        good = error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good;
}

int
command_rebase(int argc, char **argv)
{
    struct rebase_options options;
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (rebase_options_parse(argc, argv, &options, &exit_code)) {
        bool reads = options.position != NULL || options.phantoms;
        if (!reads || load(&options, &settings, &exit_code))
            exit_code = work(&options, &error) ? 0 : command_failed("rebase", &error);
    }
    settings_free(settings);
    secrets_wipe(options.conninfo);
    free(options.wish.topics.texts);
    return exit_code;
}
