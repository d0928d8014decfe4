/* dead_options.c: parses the command line of `outboxd dead`. Called by dead.c; looks at nothing else. */
#include "command/dead_options.h"

#include "base/utf8.h"
#include "config/units.h"

#include <string.h>

/* Of list: more than anybody reads. */
#define LIMIT_DEFAULT 1000

/* A reason is a sentence or two. */
#define REASON_BYTES 1000

static const char help[] =
    "Usage: outboxd dead list [--topic PATTERN] [--limit N] [--json]\n"
    "       outboxd dead show ID [--json]\n"
    "       outboxd dead retry ID.. | --all [--topic PATTERN] [--no-wait]\n"
    "       outboxd dead discard ID.. --reason TEXT [--yes] [--no-wait]\n"
    "\n"
    "Dead letters: events that Kafka refused for their own sake. Each is kept whole; later events of its\n"
    "topic and key are held behind it until it is published or discarded.\n"
    "\n"
    "list     shows them: id, topic, key, error, how often and when it was refused, events held behind it\n"
    "show     all about one of them, its payload, headers and what was asked for it; discarded ones too\n"
    "retry    has them published again, once, and then what is held behind them\n"
    "discard  gives them up: they are never published, and what is held behind them is. They stay readable\n"
    "         with the reason. Asks first; --yes does not ask\n"
    "\n"
    "The leader of the relay does it: retry and discard wait for it and say what came of it.\n"
    "\n"
    "      --topic PATTERN   those of topics that match this shell pattern\n"
    "      --all             all of them\n"
    "      --limit N         so many at most, 1000 by default; the totals are of all\n"
    "      --no-wait         ask, and do not wait\n"
    "      --json            one JSON object, for scripts\n"
    "  -c, --config FILE     configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit codes: 0 done, or with --no-wait asked; 64 usage (also: no such dead letter, not agreed to); 69\n"
    "not done: refused again, no leader, Postgres away; 70 an answer that must not be; 78 configuration.\n";

/* In the order of enum dead_action. */
static const struct command_action actions[] = {{"list", " topic limit json "},
                                                {"show", " json "},
                                                {"retry", " all topic no-wait "},
                                                {"discard", " reason yes no-wait "}};
#define ACTIONS (sizeof actions / sizeof actions[0])

static bool
take_limit(void *context, const char *value, struct error *error)
{
    struct dead_options *options = context;
    return (units_parse_count(value, &options->limit, error) && options->limit > 0) ||
           error_set(error, ERROR_USAGE, "--limit: '%.60s' is no whole number above 0 that fits", value);
}

static bool
take_reason(void *context, const char *value, struct error *error)
{
    struct dead_options *options = context;
    size_t size = strlen(value), taken;
    uint32_t code;
    options->reason = value;
    if (strspn(value, " \t\r\n") == size)
        return error_set(error, ERROR_USAGE, "--reason: it is empty");
    if (size > REASON_BYTES)
        return error_set(error, ERROR_USAGE, "--reason: %zu bytes are too many: %d at most", size,
                         REASON_BYTES);
    for (size_t at = 0; at < size; at += taken)
        if ((taken = utf8_next(value + at, size - at, &code)) == 0)
            return error_set(error, ERROR_USAGE, "--reason: it is not UTF-8");
    return true;
}

static bool
take_operands(const struct command_line *line, struct dead_options *options, struct error *error)
{
    if (line->operand_count == 0)
        return error_set(error, ERROR_USAGE, "list, show, retry or discard?");
    size_t action = command_find_action(line->operands[0], actions, ACTIONS);
    if (action == ACTIONS)
        return error_set(error, ERROR_USAGE, "'%.60s' is none of list, show, retry and discard",
                         line->operands[0]);
    options->action = (enum dead_action)action;
    options->ids = must_calloc((size_t)line->operand_count, sizeof *options->ids);
    for (int i = 1; i < line->operand_count; i++) {
        int64_t *id = &options->ids[options->id_count++];
        if (!units_parse_count(line->operands[i], id, error) || *id == 0)
            return error_set(error, ERROR_USAGE, "'%.60s' is no event id", line->operands[i]);
    }
    return true;
}

static bool
judge_ids(const struct dead_options *options, struct error *error)
{
    const char *name = actions[options->action].name;
    if (options->action == DEAD_LIST && options->id_count > 0)
        return error_set(error, ERROR_USAGE, "list takes no id; `outboxd dead show ID` shows one");
    if (options->action == DEAD_SHOW && options->id_count != 1)
        return error_set(error, ERROR_USAGE, "show needs one id");
    if (options->all && options->id_count > 0)
        return error_set(error, ERROR_USAGE, "ids, or --all?");
    if (options->topic != NULL && options->action == DEAD_RETRY && !options->all)
        return error_set(error, ERROR_USAGE, "--topic goes with --all");
    if (options->action >= DEAD_RETRY && !options->all && options->id_count == 0)
        return error_set(error, ERROR_USAGE, "%s needs ids%s", name,
                         options->action == DEAD_RETRY ? ", or --all" : "");
    if (options->action == DEAD_DISCARD && options->reason == NULL)
        return error_set(error, ERROR_USAGE, "discard needs --reason TEXT: it is kept with the event");
    return true;
}

/* What only an action that is known by now can say. */
static bool
judge(const struct dead_options *options, const struct command_option *own, struct error *error)
{
    return command_judge_action(&actions[options->action], own, error) && judge_ids(options, error);
}

bool
dead_options_parse(int argc, char **argv, struct dead_options *options, int *exit_code)
{
    *options = (struct dead_options){.limit = LIMIT_DEFAULT};
    struct command_option own[] = {{"topic", .text = &options->topic, .pattern = true},
                                   {"limit", .take = take_limit},
                                   {"json", .flag = &options->json},
                                   {"all", .flag = &options->all},
                                   {"reason", .take = take_reason},
                                   {"yes", .flag = &options->yes},
                                   {"no-wait", .flag = &options->no_wait},
                                   {0}};
    struct command_line line = {.help = help, .options = own, .context = options, .operands_most = argc};
    struct error error;
    if (!command_parse(argc, argv, &line, exit_code))
        return false;
    options->config = line.config;
    if (take_operands(&line, options, &error) && judge(options, own, &error))
        return true;
    *exit_code = command_misused("dead", error.message);
    return false;
}
