/* relay_options.c: parses the command line of `outboxd relay`. Called by relay.c; looks at nothing else. */
#include "command/relay_options.h"

#include "config/units.h"

#include <string.h>

static const char help[] =
    "Usage: outboxd relay list [--json]\n"
    "       outboxd relay add NAME --from beginning|now [--topic PATTERN].. [--source NAME]\n"
    "                              [--retention DURATION]\n"
    "       outboxd relay retire NAME [--yes]\n"
    "\n"
    "The relays that publish the outbox of the configured database. Each has a leader and standbys of its\n"
    "own, and holds events back until it has confirmed them.\n"
    "\n"
    "list     shows them, retired ones too; --json for scripts\n"
    "add      registers one, also a retired one anew. From the beginning: of what is still in the outbox.\n"
    "         From now: whatever commits later, also of transactions that are open at this moment. What is\n"
    "         not given is taken from the configuration; topics and retention follow that of each `run`\n"
    "retire   holds nothing back for it any more; whoever runs it stops with exit code 78. First says what\n"
    "         is not confirmed, which it would never publish, and asks; --yes does not ask\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 done, 64 usage (also: not agreed to), 69 Postgres did not do it, 70 it gave an answer\n"
    "that must not be, 78 configuration.\n";

/* In the order of enum relay_action. */
static const struct command_action actions[] = {
    {"list", " json "}, {"add", " from topic source retention "}, {"retire", " yes "}};
#define ACTIONS (sizeof actions / sizeof actions[0])

static bool
take_from(void *context, const char *value, struct error *error)
{
    struct relay_options *options = context;
    if (strcmp(value, "now") == 0)
        options->from = RELAY_FROM_NOW;
    else if (strcmp(value, "beginning") == 0)
        options->from = RELAY_FROM_BEGINNING;
    else
        return error_set(error, ERROR_USAGE, "--from: '%s' is neither beginning nor now", value);
    return true;
}

static bool
take_retention(void *context, const char *value, struct error *error)
{
    struct relay_options *options = context;
    if (!units_parse_duration(value, &options->retention_us, error)) {
        error_prefix(error, "--retention: '%s'", value);
        error->kind = ERROR_USAGE;
        return false;
    }
    return options->retention_us > 0 || error_set(error, ERROR_USAGE, "--retention: '%s' is nothing", value);
}

static bool
take_name(const char **field, const char *option, const char *value, struct error *error)
{
    *field = value;
    return settings_is_name(value) ||
           error_set(error, ERROR_USAGE, "%s'%s' is not a name: 1 to 100 of the characters a-z A-Z 0-9 . _ -",
                     option, value);
}

static bool
take_source(void *context, const char *value, struct error *error)
{
    struct relay_options *options = context;
    return take_name(&options->source, "--source: ", value, error);
}

/* What only an action that is known by now can say. */
static bool
judge(const struct relay_options *options, const struct command_option *own, struct error *error)
{
    if (!command_judge_action(&actions[options->action], own, error))
        return false;
    if (options->action == RELAY_ADD && options->from == RELAY_FROM_NOWHERE)
        return error_set(error, ERROR_USAGE, "add needs --from beginning or --from now");
    return true;
}

static bool
take_operands(const struct command_line *line, struct relay_options *options, struct error *error)
{
    if (line->operand_count == 0)
        return error_set(error, ERROR_USAGE, "list, add or retire?");
    size_t action = command_find_action(line->operands[0], actions, ACTIONS);
    if (action == ACTIONS)
        return error_set(error, ERROR_USAGE, "'%s' is none of list, add and retire", line->operands[0]);
    options->action = (enum relay_action)action;
    int operands = options->action == RELAY_LIST ? 0 : 1;
    if (line->operand_count - 1 > operands)
        return error_set(error, ERROR_USAGE, "unexpected argument '%s'", line->operands[1 + operands]);
    if (line->operand_count - 1 < operands)
        return error_set(error, ERROR_USAGE, "%s needs the name of a relay", actions[options->action].name);
    return operands == 0 || take_name(&options->name, "", line->operands[1], error);
}

bool
relay_options_parse(int argc, char **argv, struct relay_options *options, int *exit_code)
{
    *options = (struct relay_options){0};
    struct command_option own[] = {{"json", .flag = &options->json},
                                   {"from", .take = take_from},
                                   {"topic", .list = &options->topics, .pattern = true},
                                   {"source", .take = take_source},
                                   {"retention", .take = take_retention},
                                   {"yes", .flag = &options->yes},
                                   {0}};
    struct command_line line = {.help = help, .options = own, .context = options, .operands_most = argc};
    struct error error;
    if (!command_parse(argc, argv, &line, exit_code))
        return false;
    options->config = line.config;
    if (take_operands(&line, options, &error) && judge(options, own, &error))
        return true;
    *exit_code = command_misused("relay", error.message);
    return false;
}
