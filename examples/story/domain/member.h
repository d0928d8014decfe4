/* member.h: a member, who writes stories, and where members are kept. */
#ifndef EXAMPLE_STORY_MEMBER_H
#define EXAMPLE_STORY_MEMBER_H

#include "transaction.h"

struct member {
    char id[24]; /* decimal; set by member_insert */
    const char *name;
};

/* Both take a transaction or NULL and return the one used: transaction.h. */
struct transaction *member_insert(struct store *store, struct transaction *transaction,
                                  struct member *member);

/* One story more; *count is how many the member has written with it, 0 when there is no such member. Nobody else counts for
 * this member until the transaction ends. */
struct transaction *member_count_story(struct store *store, struct transaction *transaction,
                                       const char *member_id, long *count);

#endif
