/* postgres_story.c: domain/story.h in Postgres: the story is a row, its announcement an event of the outbox. */
#include "domain/story.h"

#include "postgres_transaction.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct transaction *
story_insert(struct store *store, struct transaction *transaction, struct story *story)
{
    const char *values[] = {story->member_id, story->title};
    PGresult *result;
    transaction = transaction_use(store, transaction);
    if (transaction_query(transaction, "insert into story (member_id, title) values ($1, $2) returning id", 2,
                          values, &result)) {
        snprintf(story->id, sizeof story->id, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    return transaction;
}

/* Its key is the member's id: Kafka keeps one member's stories in order, and the counts show it. */
struct transaction *
story_announce(struct store *store, struct transaction *transaction, const struct story *story, long count)
{
    transaction = transaction_use(store, transaction);
    if (transaction_failed(transaction))
        return transaction;
    json_t *object = json_pack("{s:s, s:s, s:I}", "story_id", story->id, "member_id", story->member_id,
                               "stories_written_count", (json_int_t)count);
    char *payload = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    struct outbox_event event = {
        .topic = "story.written", .key = outbox_text(story->member_id), .payload = outbox_text(payload)};
    bool done = payload != NULL ? outbox_emit(transaction->unit, &event, NULL, &transaction->error)
                                : outbox_fail(&transaction->error, "no memory for an event");
    (void)done; /* the transaction remembers */
    free(payload);
    return transaction;
}
