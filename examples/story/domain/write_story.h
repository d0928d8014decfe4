/* write_story.h: the use case "a member writes a story". Its invariant: a member's count is the number of the member's stories,
 * at every moment and for everybody who looks. */
#ifndef EXAMPLE_STORY_WRITE_STORY_H
#define EXAMPLE_STORY_WRITE_STORY_H

#include "story.h"

enum write_story_result {
    STORY_WRITTEN,
    STORY_UNTITLED,      /* nothing was written: a story has a title */
    MEMBER_UNKNOWN,      /* nothing was written: nobody has this id */
    TRANSACTION_ABORTED, /* nothing was written: the report says why */
    TRANSACTION_UNKNOWN, /* written or not: the store fell silent during the commit */
};

/* Writes the story in a transaction of its own and sets its id; *count is how many the member has written now. */
enum write_story_result write_story(struct store *store, struct story *story, long *count,
                                    struct transaction_report *report);

#endif
