/* replay_options.c: parses the command line of `outboxd replay`. Called by replay.c; looks at nothing else. */
#include "command/replay_options.h"

#include "command/moment.h"
#include "config/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd replay [--since TIME] [--until TIME] [--from ID] [--to ID]\n"
    "                      [--topic PATTERN] [--key KEY | --key-hex HEX] [--rate N]\n"
    "                      [--dry-run | [--yes] [--no-wait]]\n"
    "       outboxd replay --list [--json]\n"
    "       outboxd replay --cancel NUMBER\n"
    "\n"
    "Has events that were published and are still in the outbox published again, in the order of their\n"
    "ids, with a header `replay` beside their own. Only topics that the relay selects; dead letters, also\n"
    "discarded ones, and held events are left out. A topic that is paused is waited for; its events that\n"
    "wait are published when it goes on, and then by the replay once more. --since, --from or both say\n"
    "where it begins; an event must fit all that is given. First says how many they are, and asks.\n"
    "\n"
    "      --since TIME      created since then: 2026-01-31T12:00:00Z, or so long ago: 90s, 10m, 2h, 1d\n"
    "      --until TIME      created before then\n"
    "      --from ID         with this id or a greater one\n"
    "      --to ID           up to this id; by default up to the newest of this moment\n"
    "      --topic PATTERN   of topics that match this shell pattern\n"
    "      --key KEY         of exactly this key\n"
    "      --key-hex HEX     the same for a key that is no text\n"
    "      --rate N          N events a second at most\n"
    "      --dry-run         only say what would be sent\n"
    "      --yes             do not ask\n"
    "      --no-wait         ask the leader, and do not wait\n"
    "      --list            the replays that go on, and the last ones; --json for scripts\n"
    "      --cancel NUMBER   ends one that goes on; what it has sent stays sent\n"
    "  -c, --config FILE     configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help            this text\n"
    "\n"
    "The leader of the relay does it. Ctrl-C ends the waiting; the replay goes on.\n"
    "\n"
    "Exit codes: 0 done, or with --no-wait asked for; 64 usage (also: not agreed to); 69 not done, or not\n"
    "wholly: events were refused, no leader, Postgres away; 70 an answer that must not be; 78\n"
    "configuration.\n";

static bool
take_since(void *context, const char *value, struct error *error)
{
    struct replay_moment *since = &((struct replay_options *)context)->since;
    return moment_parse("--since", value, &since->at_us, &since->back_us, error);
}

static bool
take_until(void *context, const char *value, struct error *error)
{
    struct replay_moment *until = &((struct replay_options *)context)->until;
    return moment_parse("--until", value, &until->at_us, &until->back_us, error);
}

static bool
take_number(const char *option, const char *value, int64_t most, int64_t *number, struct error *error)
{
    return (units_parse_count(value, number, error) && *number > 0 && *number <= most) ||
           error_set(error, ERROR_USAGE, "%s: '%.60s' is no whole number from 1 to %" PRId64, option, value,
                     most);
}

static bool
take_from(void *context, const char *value, struct error *error)
{
    return take_number("--from", value, INT64_MAX, &((struct replay_options *)context)->first_id, error);
}

static bool
take_to(void *context, const char *value, struct error *error)
{
    return take_number("--to", value, INT64_MAX, &((struct replay_options *)context)->last_id, error);
}

static bool
take_cancel(void *context, const char *value, struct error *error)
{
    return take_number("--cancel", value, INT64_MAX, &((struct replay_options *)context)->cancel, error);
}

static bool
take_rate(void *context, const char *value, struct error *error)
{
    return take_number("--rate", value, INT32_MAX, &((struct replay_options *)context)->rate, error);
}

static bool
take_key(void *context, const char *value, struct error *error)
{
    struct replay_options *options = context;
    size_t size = strlen(value);
    if (options->key != NULL)
        return error_set(error, ERROR_USAGE, "one key only: --key or --key-hex, once");
    options->key = must_alloc(2 + 2 * size + 1);
    memcpy(options->key, "\\x", 3);
    for (size_t i = 0; i < size; i++)
        snprintf(options->key + 2 + 2 * i, 3, "%02x", (unsigned char)value[i]);
    return true;
}

static bool
take_key_hex(void *context, const char *value, struct error *error)
{
    struct replay_options *options = context;
    size_t size = strlen(value);
    if (options->key != NULL)
        return error_set(error, ERROR_USAGE, "one key only: --key or --key-hex, once");
    if (size % 2 != 0 || strspn(value, "0123456789abcdefABCDEF") != size)
        return error_set(error, ERROR_USAGE, "--key-hex: '%.60s' is not pairs of hexadecimal digits", value);
    options->key = must_format("\\x%s", value);
    return true;
}

/* --list and --cancel stand alone; else which events must be said. */
static bool
judge(const struct replay_options *options, const struct command_option *own, struct error *error)
{
    const char *alone = options->list ? "list" : "cancel";
    bool bounded = options->first_id > 0 || options->since.at_us + options->since.back_us > 0;
    for (size_t i = 0; own[i].name != NULL; i++) {
        bool fits = strcmp(own[i].name, alone) == 0 || (options->list && strcmp(own[i].name, "json") == 0);
        if ((options->list || options->cancel > 0) && own[i].given && !fits)
            return error_set(error, ERROR_USAGE, "--%s takes no --%s", alone, own[i].name);
    }
    if (options->list || options->cancel > 0)
        return true;
    if (options->json)
        return error_set(error, ERROR_USAGE, "--json goes with --list");
    if (!bounded)
        return error_set(error, ERROR_USAGE, "which events? --since TIME or --from ID");
    if (options->last_id > 0 && options->last_id < options->first_id)
        return error_set(error, ERROR_USAGE, "--to is before --from");
    if (options->dry_run && (options->yes || options->no_wait))
        return error_set(error, ERROR_USAGE, "--dry-run takes no --%s", options->yes ? "yes" : "no-wait");
    return true;
}

bool
replay_options_parse(int argc, char **argv, struct replay_options *options, int *exit_code)
{
    *options = (struct replay_options){0};
    struct command_option own[] = {{"since", .take = take_since},
                                   {"until", .take = take_until},
                                   {"from", .take = take_from},
                                   {"to", .take = take_to},
                                   {"topic", .text = &options->topic, .pattern = true},
                                   {"key", .take = take_key},
                                   {"key-hex", .take = take_key_hex},
                                   {"rate", .take = take_rate},
                                   {"dry-run", .flag = &options->dry_run},
                                   {"yes", .flag = &options->yes},
                                   {"no-wait", .flag = &options->no_wait},
                                   {"list", .flag = &options->list},
                                   {"json", .flag = &options->json},
                                   {"cancel", .take = take_cancel},
                                   {0}};
    struct command_line line = {.help = help, .options = own, .context = options};
    struct error error;
    if (!command_parse(argc, argv, &line, exit_code))
        return false;
    options->config = line.config;
    if (judge(options, own, &error))
        return true;
    *exit_code = command_misused("replay", error.message);
    return false;
}
