/* fixture.h: what the tests of the examples share: the programs as `make examples` builds them, and their tables in an outbox. */
#ifndef OUTBOXD_TESTS_EXAMPLES_FIXTURE_H
#define OUTBOXD_TESTS_EXAMPLES_FIXTURE_H

#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"

/* build/examples/NAME/NAME beside the outboxd that is tested; the caller frees it. */
char *example_path(const char *name);

/* Runs examples/prepare.sh NAME, for an example in another language, and gives the directory beside outboxd in which that put
 * what it made; the caller frees it. Fails the test with the script's words, above all when the language is not here. */
char *example_prepare(const char *name);

/* A new database with the outbox and examples/NAME/schema.sql, run as the administrator, and `grants`, SQL that lets
 * POSTGRES_WRITER in; its name lives as long as `postgres`. Tests run from the top of the source. */
const char *example_database(struct postgres *postgres, const char *name, const char *grants);

/* A relay that publishes what is committed there; it is ready. */
struct daemon *example_relay(struct postgres *postgres, const char *database, const struct broker *broker);

/* Waits until Kafka has as many records as the outbox has events, ends the relay, and compares the two: all is there once, in
 * order and unchanged. `topics` ends with NULL. The number of records. */
size_t example_expect_published(struct daemon *relay, struct postgres *postgres, const char *database,
                                const struct broker *broker, const char *const *topics);

#endif
