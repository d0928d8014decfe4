/* snapshot.c: copies a snapshot. Called by the relay's thread to publish and by the HTTP thread to read, each
 * under the server's lock, so an unchanged topic costs a comparison and no allocation. */
#include "http/snapshot.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static void
copy_topic(struct snapshot_topic *to, const struct snapshot_topic *from)
{
    char *name = to->name;
    if (name == NULL || strcmp(name, from->name) != 0) {
        free(name);
        name = must_strdup(from->name);
    }
    *to = *from;
    to->name = name;
}

void
snapshot_copy(struct snapshot *to, const struct snapshot *from)
{
    struct snapshot_topic *topics = to->topics;
    size_t old_count = to->topic_count;
    if (to == from)
        return;
    for (size_t i = from->topic_count; i < old_count; i++)
        free(topics[i].name);
    if (old_count != from->topic_count)
        topics = must_realloc(topics, from->topic_count, sizeof *topics);
    for (size_t i = old_count; i < from->topic_count; i++)
        topics[i].name = NULL;
    for (size_t i = 0; i < from->topic_count; i++)
        copy_topic(&topics[i], &from->topics[i]);
    *to = *from;
    to->topics = topics;
}

void
snapshot_age(struct snapshot *snapshot, int64_t now_us)
{
    snapshot->leader = snapshot->leader && now_us < snapshot->leader_until_us;
}

void
snapshot_clear(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->topic_count; i++)
        free(snapshot->topics[i].name);
    free(snapshot->topics);
    *snapshot = (struct snapshot){0};
}
