/* checker_judge.h: what the files of the checker share; tests include checker.h. */
#ifndef OUTBOXD_TESTS_SUPPORT_CHECKER_JUDGE_H
#define OUTBOXD_TESTS_SUPPORT_CHECKER_JUDGE_H

#include "base/error.h"
#include "support/checker.h"

#define NOBODY SIZE_MAX

struct judgement {
    const struct expected_events *events; /* sorted by id */
    const struct records *records;
    const char *source;
    size_t *event_of; /* of each record: index of its event, NOBODY for a phantom or a replay */
    size_t *first_of; /* of each event: index of the record that is its first copy, NOBODY when lost */
    struct verdict *verdict;
};

/* Adds a line to the examples, as long as there is room. */
void verdict_note(struct verdict *verdict, const char *format, ...) PRINTF_LIKE(2, 3);

/* checker_bytes.c: is the record what was inserted? Counts and notes every record that is not. */
void judge_bytes(struct judgement *judgement);

/* Adds to `records` what a faultless relay would publish for `event`, at that offset of a topic with one
 * partition. */
struct record *checker_record_of(struct records *records, const struct expected_event *event,
                                 const char *source, int64_t offset);

/* checker_order.c: P2 over first copies, and the runs of P3. */
void judge_order(struct judgement *judgement);
void judge_runs(struct judgement *judgement);

#endif
