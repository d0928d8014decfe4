/* rebase.c: `outboxd rebase`: shows what it would do to a database in which the relays' journals mean nothing any more, asks,
 * and has it done. Called by main; what is to be done is decided in schema/002_relays.sql. */
#include "postgres/rebase.h"

#include "command/command.h"
#include "command/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd rebase --conninfo ADMIN [--same-xids | --position RELAY] [--dry-run] [--yes]\n"
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
    "      --position RELAY   for `delivery: exactly-once`, when Postgres and Kafka disagree about what was\n"
    "                         published, or the position in Kafka is another database's: the journal is\n"
    "                         right. Its position is written to Kafka anew; what Kafka has beyond it is\n"
    "                         published again, but for ticks that both know; what it has lost before it\n"
    "                         is not\n"
    "      --dry-run          only show what would be done\n"
    "      --yes              do not ask\n"
    "  -c, --config FILE      accepted as by every command; no administrator is in it, so it is not read\n"
    "  -h, --help             this text\n"
    "\n"
    "Exit codes: 0 done, or nothing to do; 64 usage (also: not agreed to); 69 Postgres did not do it.\n";

struct rebase_options {
    const char *conninfo, *position;
    bool same_xids, dry_run, yes;
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
    printf("relay %s%s:\n  %" PRId64 " events are not confirmed: they will be published\n  %" PRId64
           " are confirmed: they stay, and are not published again\n",
           relay->name, state, relay->unconfirmed, plan->events - relay->unconfirmed);
    if (relay->killed && !plan->moved)
        printf("  it delivered exactly once and was not stopped with SIGTERM: some of what it had not "
               "confirmed may be in\n"
               "  Kafka, and will be there twice. To avoid that, let it run once more where it was, end it "
               "with SIGTERM,\n"
               "  and dump then\n");
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
    if (!needed || options->dry_run)
        return true;
    if (!command_confirm("rebase", "Rebase? Writers wait until it is done.", options->yes, error))
        return false;
    bool good = rebase_run(rebase, options->same_xids, command_waits, "rebase", &done, error);
    if (good)
        print_done(&done);
    rebase_plan_free(&done);
    return good;
}

static bool
act_on_position(struct rebase *rebase, const struct rebase_options *options, struct error *error)
{
    struct rebase_position position;
    const char *relay = options->position;
    if (!rebase_position_look(rebase, relay, &position, error))
        return false;
    if (!position.known)
        return error_set(error, ERROR_UNUSABLE,
                         "there is no living relay \"%s\" with a journal: see outboxd relay list, and rebase "
                         "without --position",
                         relay);
    printf("relay %s: confirmed by its journal up to tick %" PRId64 ", id %" PRId64 "\n", relay,
           position.confirmed_seq, position.confirmed_id);
    if (position.exact && position.exact_seq >= 0)
        printf("  seen committed in Kafka up to tick %" PRId64 ", id %" PRId64 "\n", position.exact_seq,
               position.exact_id);
    printf("  what the journal says will be written to topic outboxd-position-<source>-%s\n"
           "  events that Kafka has beyond it, in ticks that are not known here, are published again; events "
           "that it has lost before it are not\n",
           relay);
    if (options->dry_run)
        return true;
    if (!command_confirm("rebase", "Is the journal right?", options->yes, error) ||
        !rebase_position_run(rebase, relay, error))
        return false;
    printf("relay %s takes its position from the journal\n", relay);
    return true;
}

int
command_rebase(int argc, char **argv)
{
    struct rebase_options options = {0};
    struct command_option own[] = {{"conninfo", .text = &options.conninfo},
                                   {"position", .text = &options.position},
                                   {"same-xids", .flag = &options.same_xids},
                                   {"dry-run", .flag = &options.dry_run},
                                   {"yes", .flag = &options.yes},
                                   {0}};
    struct command_line line = {.help = help, .options = own};
    struct rebase *rebase = NULL;
    struct error error;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    if (options.conninfo == NULL)
        return command_misused("rebase", "--conninfo is missing");
    if (options.position != NULL && options.same_xids)
        return command_misused("rebase", "--position and --same-xids are two things: one after the other");
    bool good = rebase_open(&rebase, options.conninfo, &error) &&
                (options.position != NULL ? act_on_position(rebase, &options, &error)
                                          : act(rebase, &options, &error));
    rebase_close(rebase);
    if (good && fflush(stdout) != 0)
        good = error_set(&error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good ? 0 : command_failed("rebase", &error);
}
