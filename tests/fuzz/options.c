/* options.c: command lines, an argument a line of the input; the first byte chooses whose: an even one is `relay`. What is taken was
 * given; what is not ends with 64 and one message, or with 0 and the help. */
#include "command/command.h"
#include "command/relay_options.h"
#include "config/secrets.h"

#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char help[] = "Usage: outboxd status [--json]\n";

static bool
take_text(void *context, const char *value, struct error *error)
{
    const char **taken = context;
    *taken = value;
    return strchr(value, '!') == NULL || error_set(error, ERROR_USAGE, "--one: %s has a mark", value);
}

/* An option of each kind. Returns the exit code, or -1. */
static int
parse_command(struct fuzz_arguments *given)
{
    bool json = false;
    char *secret = NULL;
    const char *text = NULL, *taken = NULL;
    struct command_list list = {0};
    struct command_option own[] = {{"json", .flag = &json},         {"name", .text = &text},
                                   {"conninfo", .secret = &secret}, {"topic", .list = &list},
                                   {"one", .take = take_text},      {0}};
    struct command_line line = {.help = help, .options = own, .context = &taken, .operands_most = 2};
    int exit_code = -1;
    if (command_parse(given->count, given->words, &line, &exit_code)) {
        CHECK(exit_code == -1 && line.operand_count >= 0 && line.operand_count <= 2);
        for (int i = 0; i < line.operand_count; i++)
            CHECK(fuzz_was_given(given, line.operands[i]));
        CHECK(json == own[0].given && (text != NULL) == own[1].given && (list.count > 0) == own[3].given);
        CHECK((secret != NULL) == own[2].given && (secret == NULL || !fuzz_was_given(given, secret)));
        CHECK(text == NULL || fuzz_was_given(given, text));
        CHECK(strcmp(line.config, COMMAND_DEFAULT_CONFIG) == 0 || fuzz_was_given(given, line.config));
    }
    for (size_t i = 0; i < list.count; i++)
        CHECK(fuzz_was_given(given, list.texts[i]));
    secrets_wipe(secret);
    free(list.texts);
    return exit_code;
}

static int
parse_relay(struct fuzz_arguments *given)
{
    struct relay_options options;
    int exit_code = -1;
    if (relay_options_parse(given->count, given->words, &options, &exit_code)) {
        bool adds = options.action == RELAY_ADD;
        CHECK(exit_code == -1 && options.config != NULL && options.retention_us >= 0);
        CHECK((options.name != NULL) == (options.action != RELAY_LIST));
        CHECK(options.name == NULL || settings_is_name(options.name));
        CHECK(adds == (options.from != RELAY_FROM_NOWHERE));
        CHECK(options.source == NULL || (adds && settings_is_name(options.source)));
        CHECK(adds || (options.topics.count == 0 && options.retention_us == 0));
        CHECK(!options.yes || options.action == RELAY_RETIRE);
        CHECK(!options.json || options.action == RELAY_LIST);
        for (size_t i = 0; i < options.topics.count; i++)
            CHECK(settings_is_pattern(options.topics.texts[i]));
    }
    free(options.topics.texts);
    return exit_code;
}

int
fuzz_options(const uint8_t *bytes, size_t size)
{
    if (size > 0)
        fuzz_command("relay", bytes[0] % 2 == 0 ? parse_relay : parse_command, bytes + 1, size - 1);
    return 0;
}
