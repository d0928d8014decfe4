/* tables_inside.h: what the files of tables.h share. */
#ifndef OUTBOXD_TESTS_SIMULATOR_TABLES_INSIDE_H
#define OUTBOXD_TESTS_SIMULATOR_TABLES_INSIDE_H

#include "simulator/tables.h"

/* Of an object of the leader's. A text that is not there is an error. */
int64_t tables_integer(const struct json_t *object, const char *name);
void tables_set_text(char text[TABLES_TEXT], const struct json_t *object, const char *name);

/* Is the first one behind the second one, in the order of the stream? */
bool tables_is_behind(int64_t tick, int64_t id, int64_t other_tick, int64_t other_id);

void tables_add_letter(struct row *row, int64_t tick, int64_t hold, const struct json_t *why);
void tables_remove_letter(const struct letter *letter);
void tables_remove_held_at(size_t at);
void tables_remove_held(const struct row *row);

/* Of outbox.put_aside: one of "dead", and one of "held". */
void tables_put_dead(const struct json_t *dead);
void tables_put_held(const struct json_t *triple);

#endif
