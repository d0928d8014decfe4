/* postgres_store.h: a store in Postgres, for whoever wires the program: main.c and load.c. */
#ifndef EXAMPLE_STORY_POSTGRES_STORE_H
#define EXAMPLE_STORY_POSTGRES_STORE_H

#include <stdbool.h>

struct store;

/* Connects; blocks for as long as that takes. NULL when memory is out; store_ready says whether it is connected. One thread at a
 * time may use it. */
struct store *store_open(const char *conninfo);

/* Connects again when the connection is lost. False: it is still, and *why says why, until the next call. */
bool store_ready(struct store *store, const char **why);

/* NULL is allowed. An open transaction is aborted. */
void store_close(struct store *store);

#endif
