/* replay_print.h: what `outboxd replay` prints: what would be sent, and the replays that there are. Pure. What a request waits for is also for
 * `outboxd status`. */
#ifndef OUTBOXD_COMMAND_REPLAY_PRINT_H
#define OUTBOXD_COMMAND_REPLAY_PRINT_H

#include "postgres/requests.h"
#include "postgres/retained.h"

#include <stdio.h>

/* What becomes of a topic's events. */
enum replay_part { REPLAY_SENT, REPLAY_UNSELECTED, REPLAY_PAUSED };

/* parts[i] is about retained->topics[i]. Returns the number of events that are sent, those of paused topics included. */
int64_t replay_print_plan(const struct retained *retained, const enum replay_part *parts, const char *relay,
                          FILE *to);

/* What a request waits for, as JSON has it: null for nothing. The caller's. */
struct json_t *replay_print_wait(const struct request_wait *wait);

void replay_print_list(const struct requests *requests, FILE *to);

/* One JSON object whose keys stay as they are (docs/metrics.md). */
void replay_print_list_json(const struct requests *requests, FILE *to);

#endif
