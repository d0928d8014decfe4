/* fixture.h: what the tests of the examples share: the programs as `make examples` builds them, and their tables in an outbox. */
#ifndef OUTBOXD_TESTS_EXAMPLES_FIXTURE_H
#define OUTBOXD_TESTS_EXAMPLES_FIXTURE_H

#include "support/postgres.h"

/* build/examples/NAME/NAME beside the outboxd that is tested; the caller frees it. */
char *example_path(const char *name);

/* A new database with the outbox and examples/NAME/schema.sql, run as the administrator, and `grants`, SQL that lets
 * POSTGRES_WRITER in; its name lives as long as `postgres`. Tests run from the top of the source. */
const char *example_database(struct postgres *postgres, const char *name, const char *grants);

#endif
