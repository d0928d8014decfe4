/* tail_options.c: parses the command line of `outboxd tail`. Called by tail.c; looks at nothing else. */
#include "command/tail_options.h"

#include "command/moment.h"
#include "config/units.h"

#include <inttypes.h>
#include <string.h>

/* Without -n, --since and --from: what fits on a screen. */
#define LAST_DEFAULT 10

static const char help[] =
    "Usage: outboxd tail [--topic PATTERN].. [--key KEY] [--since TIME] [--from ID] [-n COUNT] [-f] "
    "[--json]\n"
    "\n"
    "Prints committed events of the outbox in the order of their ids: id, time, topic, key, payload.\n"
    "Published or not, as long as the retention keeps them. Reads only, and disturbs no relay.\n"
    "\n"
    "      --topic PATTERN   of topics that match this shell pattern; may be given several times\n"
    "      --key KEY         of exactly this key\n"
    "      --since TIME      created since then: 2026-01-31T12:00:00Z, or so long ago: 90s, 10m, 2h, 1d\n"
    "      --from ID         with this id or a greater one\n"
    "  -n, --lines COUNT     the last COUNT of them; 10 unless --since or --from is given\n"
    "  -f, --follow          goes on with events as they become visible. A transaction that commits late is\n"
    "                        not passed over, although ids that are greater were printed before\n"
    "      --json            one JSON object a line, for scripts\n"
    "  -c, --config FILE     configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help            this text\n"
    "\n"
    "On a terminal a line is cut to its width. SIGINT, SIGTERM and a closed pipe end it with 0.\n"
    "Exit codes: 0 done, 64 usage, 69 Postgres cannot be reached or read, 70 it gave an answer that must\n"
    "not be, 78 configuration.\n";

static bool
take_since(void *context, const char *value, struct error *error)
{
    struct tail_wish *wish = &((struct tail_options *)context)->wish;
    return moment_parse("--since", value, &wish->since_us, &wish->back_us, error);
}

static bool
take_count(const char *option, const char *value, int64_t *count, struct error *error)
{
    return units_parse_count(value, count, error) ||
           error_set(error, ERROR_USAGE, "%s: '%s' is no whole number that fits", option, value);
}

static bool
take_from(void *context, const char *value, struct error *error)
{
    struct tail_options *options = context;
    return take_count("--from", value, &options->wish.from_id, error);
}

static bool
take_lines(void *context, const char *value, struct error *error)
{
    struct tail_options *options = context;
    options->has_last = true;
    return take_count("-n", value, &options->wish.last, error);
}

bool
tail_options_parse(int argc, char **argv, struct tail_options *options, int *exit_code)
{
    *options = (struct tail_options){.wish.last = -1};
    struct command_option own[] = {{"topic", .list = &options->topics, .pattern = true},
                                   {"key", .text = &options->wish.key},
                                   {"since", .take = take_since},
                                   {"from", .take = take_from},
                                   {"lines", .take = take_lines, .letter = 'n'},
                                   {"follow", .flag = &options->follow, .letter = 'f'},
                                   {"json", .flag = &options->json},
                                   {0}};
    struct command_line line = {.help = help, .options = own, .context = options};
    if (!command_parse(argc, argv, &line, exit_code))
        return false;
    options->config = line.config;
    const struct tail_wish *wish = &options->wish;
    if (!options->has_last && wish->from_id == 0 && wish->since_us == 0 && wish->back_us == 0)
        options->wish.last = LAST_DEFAULT;
    return true;
}
