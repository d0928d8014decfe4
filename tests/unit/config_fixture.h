/* config_fixture.h: loads configuration texts in a directory of the test's own, as "c.yaml", so that the
 * messages are always the same. For tests/unit/config_*.c. */
#ifndef OUTBOXD_TESTS_UNIT_CONFIG_FIXTURE_H
#define OUTBOXD_TESTS_UNIT_CONFIG_FIXTURE_H

#include "config/settings.h"

#include <sys/types.h>

/* The least that is accepted, four lines: what is put behind it starts on line 5. */
#define CONFIG_LEAST                                                                                         \
    "source: shop\n"                                                                                         \
    "postgres: {conninfo: 'dbname=shop sslmode=verify-full'}\n"                                              \
    "kafka:\n"                                                                                               \
    "  bootstrap.servers: localhost:9092\n"

/* .init and .fini of a test: enter and remove an empty directory; no variable of libpq is set. */
void config_fixture_enter(void);
void config_fixture_leave(void);

/* Writes a file of that mode, whatever the umask. */
void config_fixture_write(const char *path, const char *bytes, size_t size, mode_t mode);

/* Loads ./c.yaml. What is written to `errors` is given in `printed`, cut to its size; NULL when it was
 * refused. */
struct config_loaded {
    struct settings *settings;
    struct error error;
    char printed[16384];
};
void config_fixture_load(struct config_loaded *loaded);

/* Writes `text` (mode 0600), loads it, and wants exactly these lines on `errors`; refused unless they are
 * warnings. */
void config_fixture_expect(const char *text, const char *lines);

/* The settings of a text that has nothing wrong; freed by the caller. */
struct settings *config_fixture_accept(const char *text);

#endif
