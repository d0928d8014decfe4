/* rebase_kafka.h: the two doors of `outboxd rebase` that read Kafka: --position and --phantoms. For rebase.c only. */
#ifndef OUTBOXD_COMMAND_REBASE_KAFKA_H
#define OUTBOXD_COMMAND_REBASE_KAFKA_H

#include "command/command.h"
#include "postgres/rebase_kafka.h"

struct rebase_wish {
    const struct settings *settings;
    bool position; /* the journal is right, but for what Kafka has; else only phantoms, and the sequence */
    struct command_list topics; /* patterns, beside those of the configuration */
    int64_t since_us, back_us;  /* a time, or how long ago; 0: what the journal says */
    int64_t highest_id;         /* no event has a larger one; 0: not said */
    bool dry_run, yes, json;
};

/* Reads, prints, asks, and has it done. */
MUST_CHECK bool rebase_with_kafka(struct rebase *rebase, const struct rebase_wish *wish, struct error *error);

#endif
