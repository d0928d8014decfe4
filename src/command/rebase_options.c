/* rebase_options.c: parses the command line of `outboxd rebase`. Called by rebase.c; looks at nothing else. */
#include "command/rebase_options.h"

#include "command/moment.h"
#include "config/units.h"

static const char help[] =
    "Usage: outboxd rebase --conninfo ADMIN [--same-xids] [--dry-run] [--yes]\n"
    "       outboxd rebase --conninfo ADMIN --position RELAY | --phantoms [--since TIME]\n"
    "                      [--topic PATTERN].. [--highest-id ID] [--json] [--config FILE] [--dry-run] "
    "[--yes]\n"
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
    "                         reads that in any case), or before the oldest transaction that was open at\n"
    "                         the last promotion, as far as the journal remembers (--phantoms)\n"
    "      --topic PATTERN    in these topics, too; may be given several times. In any case: those that the\n"
    "                         relay selects by name, and those it selects that the outbox has events of\n"
    "      --highest-id ID    no event of this outbox has had a larger id: records that say so count for\n"
    "                         nothing. Without it, nothing is done where a record's id is more than ten\n"
    "                         million above the id sequence, for that may be a forged or a broken one\n"
    "      --json             one JSON object a line: each phantom, then the numbers\n"
    "  -c, --config FILE      configuration (default " COMMAND_DEFAULT_CONFIG "); read only for these two,\n"
    "                         of which ADMIN takes the place of its postgres.conninfo\n"
    "  -h, --help             this text\n"
    "\n"
    "Exit codes: 0 done, or nothing to do; 64 usage (also: not agreed to); 69 Postgres did not do it, or\n"
    "Kafka cannot be read; 78 configuration.\n";

static bool
take_since(void *context, const char *value, struct error *error)
{
    struct rebase_options *options = context;
    options->dated = true;
    return moment_parse("--since", value, &options->wish.since_us, &options->wish.back_us, error);
}

static bool
take_highest(void *context, const char *value, struct error *error)
{
    struct rebase_options *options = context;
    int64_t *id = &options->wish.highest_id;
    return (units_parse_count(value, id, error) && *id > 0 && *id <= PUBLISHED_ID_MOST) ||
           error_set(error, ERROR_USAGE, "--highest-id: '%.60s' is no event id", value);
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
    if (!reads && (options->dated || options->wish.topics.count > 0 || options->wish.highest_id > 0 ||
                   options->wish.json))
        return "--since, --topic, --highest-id and --json are for --position and --phantoms";
    return NULL;
}

bool
rebase_options_parse(int argc, char **argv, struct rebase_options *options, int *exit_code)
{
    *options = (struct rebase_options){0};
    struct command_option own[] = {{"conninfo", .secret = &options->conninfo},
                                   {"position", .text = &options->position},
                                   {"phantoms", .flag = &options->phantoms},
                                   {"since", .take = take_since},
                                   {"topic", .list = &options->wish.topics, .pattern = true},
                                   {"highest-id", .take = take_highest},
                                   {"same-xids", .flag = &options->same_xids},
                                   {"json", .flag = &options->wish.json},
                                   {"dry-run", .flag = &options->wish.dry_run},
                                   {"yes", .flag = &options->wish.yes},
                                   {0}};
    struct command_line line = {.help = help, .options = own, .context = options};
    if (!command_parse(argc, argv, &line, exit_code))
        return false;
    options->config = line.config;
    const char *wrong = contradiction(options);
    if (wrong == NULL)
        return true;
    *exit_code = command_misused("rebase", wrong);
    return false;
}
