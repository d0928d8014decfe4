/* names.h: the topics of an outbox that are known by name, each once, for commands that ask Kafka about them. */
#ifndef OUTBOXD_COMMAND_NAMES_H
#define OUTBOXD_COMMAND_NAMES_H

#include <stddef.h>

/* The texts are somebody else's; the caller frees `list`. Starts zeroed. */
struct topic_names {
    const char **list;
    size_t count;
};

/* Adds what shell patterns select: those of them that are no patterns but names, and those of `here`, the topics of events, that match. */
void topic_names_select(struct topic_names *names, const char *const *patterns, size_t pattern_count,
                        char *const *here, size_t count);

#endif
