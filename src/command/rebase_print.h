/* rebase_print.h: what `outboxd rebase` says of what it has read from Kafka, and of what it has done. For rebase_kafka.c only. */
#ifndef OUTBOXD_COMMAND_REBASE_PRINT_H
#define OUTBOXD_COMMAND_REBASE_PRINT_H

#include "event/topic.h"
#include "postgres/rebase_kafka.h"

/* Where a record stands. */
struct rebase_place {
    int64_t id, offset; /* id 0: none */
    int32_t partition;
    char topic[TOPIC_NAME_SIZE];
};

struct rebase_report {
    const char *relay, *source;
    bool json, decides; /* a line of JSON for each; the position is to be written anew */
    bool asks;          /* somebody is asked what is to be done, and reads it on the terminal before */
    int64_t since_ms;
    size_t topics;   /* that were read */
    int64_t strange; /* records of this source that count for nothing: no event has such an id */
    struct rebase_place first, highest; /* of those; of the others, the one with the largest id */
    struct rebase_position position;
    struct rebase_found found;
    struct rebase_positioned plan, done;
};

/* For people, the first phantoms and how many there are; as JSON, all of them, and for who is asked the rest on standard error. */
MUST_CHECK bool rebase_print_found(struct rebase *rebase, const struct rebase_report *report,
                                   struct error *error);
/* As JSON, the line that ends the list: all the numbers. */
void rebase_print_done(const struct rebase_report *report, bool dry_run);

#endif
