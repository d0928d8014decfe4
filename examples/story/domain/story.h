/* story.h: a story, where stories are kept, and how the world hears of one. */
#ifndef EXAMPLE_STORY_STORY_H
#define EXAMPLE_STORY_STORY_H

#include "transaction.h"

struct story {
    char id[24];           /* decimal; set by story_insert */
    const char *member_id; /* who wrote it */
    const char *title;
};

/* Both take a transaction or NULL and return the one used: transaction.h. */
struct transaction *story_insert(struct store *store, struct transaction *transaction, struct story *story);

/* Others are told, if and only if the transaction commits, that this is the member's `count`-th story; in the order of the
 * counts, when member_count_story came before in the same transaction. */
struct transaction *story_announce(struct store *store, struct transaction *transaction,
                                   const struct story *story, long count);

#endif
