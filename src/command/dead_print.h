/* dead_print.h: what `outboxd dead list` and `show` print: for people, or one JSON object whose keys stay as they are
 * (docs/metrics.md). Pure. */
#ifndef OUTBOXD_COMMAND_DEAD_PRINT_H
#define OUTBOXD_COMMAND_DEAD_PRINT_H

#include "postgres/dead.h"
#include "postgres/requests.h"

#include <jansson.h>
#include <stdio.h>

void dead_print_list(const struct dead_list *dead, FILE *to);
void dead_print_list_json(const struct dead_list *dead, FILE *to);

/* With the requests for it. `payload_bytes`: of the payload at most so many, what is behind them is counted. */
void dead_print_letter(const struct dead_letter *letter, const struct requests *requests,
                       size_t payload_bytes, FILE *to);
void dead_print_letter_json(const struct dead_letter *letter, const struct requests *requests, FILE *to);

#endif
