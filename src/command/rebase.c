/* rebase.c: `outboxd rebase`: shows what it would do to a database in which the relays' journals mean nothing any more, asks,
 * and has it done. Called by main; what is to be done is decided in schema/007_failover.sql. The doors that read Kafka are in
 * rebase_kafka.c. */
#include "postgres/rebase.h"

#include "command/moment.h"
#include "command/rebase_kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd rebase --conninfo ADMIN [--same-xids] [--dry-run] [--yes]\n"
    "       outboxd rebase --conninfo ADMIN --position RELAY | --phantoms [--since TIME]\n"
    "                      [--topic PATTERN].. [--json] [--config FILE] [--dry-run] [--yes]\n"
    "\n"
    "Lets the relays of a database go on when it is not the one in which they stood: a dump that was\n"
    "restored, a clone, a cluster after pg_upgrade; or when the id sequence was set back, or the journal is\n"
    "gone. Events that a relay has confirmed stay confirmed, the others will be published, in order, with\n"
    "the ids that they have. Only events that were never sent and whose ids were given out twice get new\n"
    "ones. One transaction for all relays; writers wait for it.\n"
    "\n"
    "      --conninfo ADMIN   libpq connection string of a role that may act for the owner of the schema,\n"
    "                         such as the one that ran `migrate`\n"
    "      --same-xids        the transaction numbers mean the same as before: after pg_upgrade. Then no\n"
    "                         event is looked at or changed. Not needed within one cluster\n"
    "      --dry-run          only show what would be done\n"
    "      --yes              do not ask\n"
    "\n"
    "After a failover or a restore that lost commits, with the configuration of the relay; its principal\n"
    "must be allowed to READ the topics. Both count and list the phantoms, which are events that consumers\n"
    "know and the database has lost, and move the id sequence above every id that is in Kafka:\n"
    "\n"
    "      --position RELAY   when Postgres and Kafka disagree about what was published: the journal is\n"
    "                         right. Its position is written to Kafka anew, and what it does not confirm is\n"
    "                         published, but for what Kafka has. Stop the relay before. New events whose\n"
    "                         ids consumers know as those of phantoms get others\n"
    "      --phantoms         nothing else\n"
    "      --since TIME       what was published since then: 2026-01-31T12:00:00Z, or so long ago: 90s, "
    "10m,\n"
    "                         2h, 1d. Default: ten minutes before what is not confirmed (--position, which\n"
    "                         reads that in any case), or before the last promotion that the journal\n"
    "                         remembers (--phantoms)\n"
    "      --topic PATTERN    in these topics, too; may be given several times. In any case: those that the\n"
    "                         relay selects by name, and those it selects that the outbox has events of\n"
    "      --json             one JSON object a line: each phantom, then the numbers\n"
    "  -c, --config FILE      configuration (default " COMMAND_DEFAULT_CONFIG "); read only for these two,\n"
    "                         of which ADMIN takes the place of its postgres.conninfo\n"
    "  -h, --help             this text\n"
    "\n"
    "Exit codes: 0 done, or nothing to do; 64 usage (also: not agreed to); 69 Postgres did not do it, or\n"
    "Kafka cannot be read; 78 configuration.\n";

struct rebase_options {
    const char *conninfo, *position;
    bool same_xids, phantoms, dated;
    struct rebase_wish wish;
};

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

static bool
take_since(void *context, const char *value, struct error *error)
{
    struct rebase_options *options = context;
    options->dated = true;
    return moment_parse("--since", value, &options->wish.since_us, &options->wish.back_us, error);
}

/* NULL: nothing contradicts anything. */
static const char *
contradiction(const struct rebase_options *options)
{
    bool reads = options->position != NULL || options->phantoms;
    if (options->conninfo == NULL)
        return "--conninfo is missing: that of an administrator, such as the one who ran migrate";
    if (options->position != NULL && options->same_xids)
        return "--position and --same-xids are two things: one after the other";
    if (options->phantoms && (options->position != NULL || options->same_xids))
        return "--phantoms goes alone; --position lists phantoms, too";
    if (!reads && (options->dated || options->wish.topics.count > 0 || options->wish.json))
        return "--since, --topic and --json are for --position and --phantoms";
    return NULL;
}

/* The doors that read Kafka. */
static bool
load(struct rebase_options *options, const char *config, struct settings **settings, int *exit_code)
{
    if (!command_load(config, settings, exit_code))
        return false;
    options->wish.settings = *settings;
    options->wish.position = options->position != NULL;
    if (options->position == NULL || strcmp(options->position, (*settings)->relay) == 0)
        return true;
    struct error error;
    error_set(&error, ERROR_CONFIG,
              "%s is the configuration of relay \"%s\": give that of \"%s\" with --config", config,
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
    struct rebase_options options = {0};
    struct command_option own[] = {
        {"conninfo", .text = &options.conninfo}, {"position", .text = &options.position},
        {"phantoms", .flag = &options.phantoms}, {"since", .take = take_since},
        {"topic", .list = &options.wish.topics}, {"same-xids", .flag = &options.same_xids},
        {"json", .flag = &options.wish.json},    {"dry-run", .flag = &options.wish.dry_run},
        {"yes", .flag = &options.wish.yes},      {0}};
    struct command_line line = {.help = help, .options = own, .context = &options};
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    const char *wrong = contradiction(&options);
    bool reads = options.position != NULL || options.phantoms;
    if (wrong != NULL)
        exit_code = command_misused("rebase", wrong);
    else if (!reads || load(&options, line.config, &settings, &exit_code))
        exit_code = work(&options, &error) ? 0 : command_failed("rebase", &error);
    settings_free(settings);
    free(options.wish.topics.texts);
    return exit_code;
}
