/* topic.c: patterns and names of topics, names of relays. The input is a pattern a line up to an empty one, then a name a line. A name
 * is one topic, however often it comes; what is selected is what the patterns say; those that are not selected have a bound. */
#include "event/topic.h"

#include "base/error.h"
#include "config/settings.h"
#include "fuzz/fuzz.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define PATTERNS_MOST 8

static void
check_validators(const char *text)
{
    static regex_t name, pattern;
    static bool compiled;
    if (!compiled)
        CHECK(regcomp(&name, "^[a-zA-Z0-9._-]{1,100}$", REG_EXTENDED | REG_NOSUB) == 0 &&
              regcomp(&pattern, "^[]a-zA-Z0-9._*?!^:\\[-]{1,249}$", REG_EXTENDED | REG_NOSUB) == 0);
    compiled = true;
    CHECK(settings_is_name(text) == (regexec(&name, text, 0, NULL, 0) == 0));
    CHECK(settings_is_pattern(text) == (regexec(&pattern, text, 0, NULL, 0) == 0));
}

static bool
matches(char *const *patterns, size_t count, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found = found || fnmatch(patterns[i], name, 0) == 0;
    return found;
}

static void
check_name(struct topic_table *table, char *const *patterns, size_t pattern_count, const char *name)
{
    size_t size = strlen(name), before = topic_count(table);
    if (size == 0 || size >= TOPIC_NAME_SIZE)
        return;
    char *bare = must_alloc(size); /* not NUL-terminated, as in a row */
    memcpy(bare, name, size);
    struct topic *topic = topic_intern(table, bare, size);
    /* the name of all others is no legal one: whose topic it is, nobody asks */
    CHECK(topic->selected == matches(patterns, pattern_count, name) || strcmp(name, TOPIC_OTHERS) == 0);
    CHECK(strcmp(topic->name, name) == 0 || (!topic->selected && strcmp(topic->name, TOPIC_OTHERS) == 0));
    CHECK(topic_intern(table, bare, size) == topic && topic_at(table, topic->index) == topic);
    CHECK(topic_count(table) - before <= 1);
    free(bare);
}

int
fuzz_topic(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size), *at = text, *patterns[PATTERNS_MOST], *line;
    size_t count = 0, unselected = 0;
    for (; (line = fuzz_line(&at)) != NULL && line[0] != '\0';) {
        check_validators(line);
        if (count < PATTERNS_MOST && settings_is_pattern(line))
            patterns[count++] = line;
    }
    struct topic_table *table = topic_table_new(patterns, count);
    while ((line = fuzz_line(&at)) != NULL) {
        check_validators(line);
        check_name(table, patterns, count, line);
    }
    for (size_t i = 0; i < topic_count(table); i++)
        unselected += !topic_at(table, i)->selected;
    CHECK(unselected <= TOPICS_PASSED_OVER + 1);
    topic_table_free(table);
    free(text);
    return 0;
}
