/* relay_options.c: parses the command line of `outboxd relay`. Called by relay.c; looks at nothing else. */
#include "command/relay_options.h"

#include "command/command.h"
#include "config/units.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
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
    "retire   holds nothing back for it any more; whoever runs it stops with exit code 78. Says first what\n"
    "         is not confirmed, which it would never publish, and asks; --yes does not ask\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 done, 64 usage (also: not agreed to), 69 Postgres did not do it, 78 configuration.\n";

static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                      {"help", no_argument, NULL, 'h'},
                                      {"json", no_argument, NULL, 'j'},
                                      {"from", required_argument, NULL, 'f'},
                                      {"topic", required_argument, NULL, 't'},
                                      {"source", required_argument, NULL, 's'},
                                      {"retention", required_argument, NULL, 'r'},
                                      {"yes", no_argument, NULL, 'y'},
                                      {NULL, 0, NULL, 0}};

/* In the order of enum relay_action: the name, how many operands, and which options beside -c and -h. */
static const struct {
    const char *name;
    int operands;
    const char *options;
} actions[] = {{"list", 0, "j"}, {"add", 1, "ftsr"}, {"retire", 1, "y"}};

static bool
find_action(const char *name, enum relay_action *action, struct error *error)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(name, actions[i].name) == 0) {
            *action = (enum relay_action)i;
            return true;
        }
    return error_set(error, ERROR_USAGE, "'%s' is none of list, add and retire", name);
}

static bool
take_from(struct relay_options *options, const char *value, struct error *error)
{
    if (strcmp(value, "now") == 0)
        options->from = RELAY_FROM_NOW;
    else if (strcmp(value, "beginning") == 0)
        options->from = RELAY_FROM_BEGINNING;
    else
        return error_set(error, ERROR_USAGE, "--from: '%s' is neither beginning nor now", value);
    return true;
}

static bool
take_retention(struct relay_options *options, const char *value, struct error *error)
{
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
take(struct relay_options *options, int option, const char *value, struct error *error)
{
    switch (option) {
    case 'c':
        options->config = value;
        return true;
    case 'j':
        return options->json = true;
    case 'y':
        return options->yes = true;
    case 'f':
        return take_from(options, value, error);
    case 's':
        return take_name(&options->source, "--source: ", value, error);
    case 'r':
        return take_retention(options, value, error);
    default: /* 't' */
        options->topics[options->topic_count++] = value;
        return settings_is_pattern(value) ||
               error_set(error, ERROR_USAGE, "--topic: '%s' matches no legal topic name", value);
    }
}

/* What only an action that is known by now can say. */
static bool
judge(const struct relay_options *options, const char *given, struct error *error)
{
    const char *allowed = actions[options->action].options, *name = actions[options->action].name;
    for (const char *option = given; *option != '\0'; option++)
        for (const struct option *known = longs; known->name != NULL; known++)
            if (known->val == *option && strchr(allowed, *option) == NULL)
                return error_set(error, ERROR_USAGE, "%s takes no --%s", name, known->name);
    if (options->action == RELAY_ADD && options->from == RELAY_FROM_NOWHERE)
        return error_set(error, ERROR_USAGE, "add needs --from beginning or --from now");
    return true;
}

static bool
take_operands(int argc, char **argv, struct relay_options *options, struct error *error)
{
    if (optind >= argc)
        return error_set(error, ERROR_USAGE, "list, add or retire?");
    if (!find_action(argv[optind++], &options->action, error))
        return false;
    int operands = actions[options->action].operands;
    if (argc - optind > operands)
        return error_set(error, ERROR_USAGE, "unexpected argument '%s'", argv[optind + operands]);
    if (argc - optind < operands)
        return error_set(error, ERROR_USAGE, "%s needs the name of a relay", actions[options->action].name);
    return operands == 0 || take_name(&options->name, "", argv[optind], error);
}

bool
relay_options_parse(int argc, char **argv, struct relay_options *options, int *exit_code)
{
    struct error error = {.kind = ERROR_NONE};
    char given[64] = "";
    size_t count = 0;
    bool good = true;
    *options = (struct relay_options){.config = COMMAND_DEFAULT_CONFIG,
                                      .topics = must_calloc((size_t)argc, sizeof *options->topics)};
    optind = 0; /* the command line may have been scanned before */
    opterr = 0;
    for (int option; good && (option = getopt_long(argc, argv, ":c:h", longs, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            *exit_code = 0;
            return false;
        }
        if (option == '?' || option == ':')
            good = error_set(&error, ERROR_USAGE, "%s", command_bad_option(argc, argv, option));
        else if ((good = take(options, option, optarg, &error)) && option != 'c' && count + 1 < sizeof given)
            given[count++] = (char)option;
    }
    if (good && take_operands(argc, argv, options, &error) && judge(options, given, &error))
        return true;
    *exit_code = command_misused("relay", error.message);
    return false;
}
