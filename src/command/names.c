/* names.c: see names.h. Called by check.c and rebase_kafka.c. */
#include "command/names.h"

#include "base/error.h"
#include "event/topic.h"

#include <string.h>

static void
add(struct topic_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i], name) == 0)
            return;
    names->list = must_realloc(names->list, names->count + 1, sizeof *names->list);
    names->list[names->count++] = name;
}

void
topic_names_select(struct topic_names *names, const char *const *patterns, size_t pattern_count,
                   char *const *here, size_t count)
{
    struct topic_table *selection = topic_table_new((char *const *)patterns, pattern_count);
    for (size_t i = 0; i < pattern_count; i++)
        if (strpbrk(patterns[i], "*?[\\") == NULL)
            add(names, patterns[i]);
    for (size_t i = 0; i < count; i++)
        if (topic_intern(selection, here[i], strlen(here[i]))->selected)
            add(names, here[i]);
    topic_table_free(selection);
}
