/* commands.c: the command lines of dead, tail, replay and rebase, an argument a line of the input, and times as people give them; the
 * first byte chooses which. What is taken was given, fits together, and is of the right kind; what is not ends with 64 and one message. */
#include "command/dead_options.h"
#include "command/moment.h"
#include "command/rebase_options.h"
#include "command/replay_options.h"
#include "command/tail_options.h"
#include "config/secrets.h"
#include "config/units.h"

#include "fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void
check_patterns(const struct fuzz_arguments *given, const struct command_list *topics)
{
    for (size_t i = 0; i < topics->count; i++)
        CHECK(fuzz_was_given(given, topics->texts[i]) && settings_is_pattern(topics->texts[i]));
}

static void
check_dead(const struct fuzz_arguments *given, const struct dead_options *options)
{
    bool lists = options->action == DEAD_LIST, shows = options->action == DEAD_SHOW;
    bool retries = options->action == DEAD_RETRY, discards = options->action == DEAD_DISCARD;
    for (size_t i = 0; i < options->id_count; i++)
        CHECK(options->ids[i] > 0);
    CHECK(lists   ? options->id_count == 0
          : shows ? options->id_count == 1
                  : (options->id_count > 0) != options->all);
    CHECK(options->topic == NULL || ((lists || options->all) && settings_is_pattern(options->topic)));
    CHECK(options->limit > 0 && (retries || !options->all));
    CHECK((options->reason != NULL) == discards);
    CHECK(!discards || (fuzz_was_given(given, options->reason) && options->reason[0] != '\0' &&
                        fuzz_is_utf8(options->reason, strlen(options->reason))));
    CHECK((!options->json || lists || shows) && (!options->yes || discards) &&
          (!options->no_wait || retries || discards));
}

static int
parse_dead(struct fuzz_arguments *given)
{
    struct dead_options options;
    int exit_code = -1;
    if (dead_options_parse(given->count, given->words, &options, &exit_code)) {
        CHECK(exit_code == -1 && options.config != NULL);
        check_dead(given, &options);
    }
    free(options.ids);
    return exit_code;
}

static int
parse_tail(struct fuzz_arguments *given)
{
    struct tail_options options;
    int exit_code = -1;
    if (tail_options_parse(given->count, given->words, &options, &exit_code)) {
        const struct tail_wish *wish = &options.wish;
        CHECK(exit_code == -1 && options.config != NULL);
        check_patterns(given, &options.topics);
        CHECK(wish->key == NULL || fuzz_was_given(given, wish->key));
        CHECK(wish->from_id >= 0 && wish->since_us >= 0 && wish->back_us >= 0);
        CHECK(wish->since_us == 0 || wish->back_us == 0);
        CHECK(options.has_last ? wish->last >= 0 : wish->last > 0 || wish->last == -1);
        CHECK(wish->last >= 0 || wish->from_id + wish->since_us + wish->back_us > 0);
    }
    free(options.topics.texts);
    return exit_code;
}

/* Of events that are to be sent. */
static void
check_replay(const struct replay_options *options)
{
    const char *key = options->key;
    CHECK(options->first_id > 0 || options->since.at_us > 0 || options->since.back_us > 0);
    CHECK(options->last_id == 0 || options->last_id >= options->first_id);
    CHECK(options->since.at_us == 0 || options->since.back_us == 0);
    CHECK(options->until.at_us == 0 || options->until.back_us == 0);
    CHECK(options->topic == NULL || settings_is_pattern(options->topic));
    CHECK(key == NULL || (strncmp(key, "\\x", 2) == 0 && strlen(key) % 2 == 0 &&
                          strspn(key + 2, "0123456789abcdefABCDEF") == strlen(key + 2)));
    CHECK(options->rate >= 0 && options->rate <= INT32_MAX && !options->json);
    CHECK(!options->dry_run || !(options->yes || options->no_wait));
}

static int
parse_replay(struct fuzz_arguments *given)
{
    struct replay_options options;
    int exit_code = -1;
    if (replay_options_parse(given->count, given->words, &options, &exit_code)) {
        CHECK(exit_code == -1 && options.config != NULL && options.cancel >= 0);
        CHECK(!options.list || options.cancel == 0);
        if (!options.list && options.cancel == 0)
            check_replay(&options);
    }
    free(options.key);
    return exit_code;
}

static int
parse_rebase(struct fuzz_arguments *given)
{
    struct rebase_options options;
    int exit_code = -1;
    if (rebase_options_parse(given->count, given->words, &options, &exit_code)) {
        const struct rebase_wish *wish = &options.wish;
        bool positions = options.position != NULL;
        CHECK(exit_code == -1 && options.config != NULL && options.conninfo != NULL);
        CHECK(!fuzz_was_given(given, options.conninfo));
        CHECK(!positions || fuzz_was_given(given, options.position));
        CHECK(positions + options.phantoms + options.same_xids <= 1);
        CHECK(options.dated == (wish->since_us + wish->back_us > 0));
        check_patterns(given, &wish->topics);
        CHECK(wish->highest_id >= 0 && wish->highest_id <= PUBLISHED_ID_MOST);
        CHECK(positions || options.phantoms ||
              !(options.dated || wish->topics.count > 0 || wish->highest_id > 0 || wish->json));
    }
    secrets_wipe(options.conninfo);
    free(options.wish.topics.texts);
    return exit_code;
}

/* Written again, with the zone of another place, it is the same moment, up to the last year that four digits can say. */
enum { EAST_SECONDS = 19800 };

static void
check_moment(int64_t at_us, int64_t back_us)
{
    char text[80], duration[UNITS_TEXT];
    int64_t again_us, again_back_us;
    struct error error;
    time_t seconds = at_us / 1000000 + EAST_SECONDS;
    struct tm utc;
    CHECK((at_us > 0) != (back_us > 0) && at_us >= 0 && back_us >= 0);
    CHECK(gmtime_r(&seconds, &utc) != NULL);
    if (at_us == 0)
        snprintf(text, sizeof text, "%s", units_format_duration(back_us, duration));
    else
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06" PRId64 "+05:30", utc.tm_year + 1900,
                 utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, at_us % 1000000);
    CHECK(utc.tm_year + 1900 > 9999 || moment_parse("--since", text, &again_us, &again_back_us, &error));
    CHECK(utc.tm_year + 1900 > 9999 || (again_us == at_us && again_back_us == back_us));
}

static void
parse_moment(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    int64_t at_us, back_us;
    struct error error;
    if (moment_parse("--since", text, &at_us, &back_us, &error))
        check_moment(at_us, back_us);
    else
        CHECK(error.kind == ERROR_USAGE && strncmp(error.message, "--since: ", 9) == 0);
    free(text);
}

/* d t p b m */
int
fuzz_commands(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *name;
        int (*parse)(struct fuzz_arguments *given);
    } commands[] = {
        {"dead", parse_dead}, {"tail", parse_tail}, {"replay", parse_replay}, {"rebase", parse_rebase}};
    size_t which = size > 0 ? bytes[0] % 5 : 0;
    if (size > 0 && which < 4)
        fuzz_command(commands[which].name, commands[which].parse, bytes + 1, size - 1);
    else if (size > 0)
        parse_moment(bytes + 1, size - 1);
    return 0;
}
