/* write_story.c: see write_story.h. Plain C: no database, no outbox, only what the domain's own headers say. */
#include "write_story.h"

#include "member.h"

#include <stddef.h>

enum write_story_result
write_story(struct store *store, struct story *story, long *count, struct transaction_report *report)
{
    *report = (struct transaction_report){0};
    if (story->title[0] == '\0')
        return STORY_UNTITLED;

    /* the member comes first: whoever counts for the same member waits here, so that counts are announced in their order */
    struct transaction *transaction = member_count_story(store, NULL, story->member_id, count);
    if (!transaction_failed(transaction) && *count == 0) {
        transaction_abort(transaction);
        return MEMBER_UNKNOWN;
    }
    transaction = story_insert(store, transaction, story);
    transaction = story_announce(store, transaction, story, *count);
    if (transaction_commit(transaction, report))
        return STORY_WRITTEN;
    return report->unknown ? TRANSACTION_UNKNOWN : TRANSACTION_ABORTED;
}
