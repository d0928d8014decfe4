/* fproxy.h: the fault proxy (tests/fault) as a child process of a test, between its servers and its relay. A client that comes
 * through it meets the rules; the test itself goes to the servers directly.
 *
 *     proxy = fproxy_new(1);
 *     broker = broker_start(&(struct broker_options){.proxied = fproxy_kafka_ports(proxy)});
 *     fproxy_start(proxy, broker, postgres, seed);
 *     relay: bootstrap fproxy_bootstrap(proxy), conninfo fproxy_conninfo(proxy, database, POSTGRES_RELAY)
 *     fproxy_rule(proxy, "kafka EndTxn n=3 drop-response");
 *     wait_for(fproxy_faults(proxy, "action=drop-response") == 1, 10000); */
#ifndef OUTBOXD_TESTS_SUPPORT_FPROXY_H
#define OUTBOXD_TESTS_SUPPORT_FPROXY_H

#include "support/kafka.h"
#include "support/postgres.h"

struct fproxy;

/* Draws its ports, for so many brokers; starts nothing. */
struct fproxy *fproxy_new(int nodes);
const int *fproxy_kafka_ports(const struct fproxy *proxy);

/* A further server than that of fproxy_start(), which is to be called behind this: a standby, or the primary that it becomes. */
void fproxy_add_postgres(struct fproxy *proxy, const struct postgres *postgres);

/* Starts it before a cluster that was made with its ports (NULL: none), and before Postgres. `seed` decides where a rule has p=. */
void fproxy_start(struct fproxy *proxy, struct broker *broker, const struct postgres *postgres,
                  unsigned seed);
void fproxy_free(struct fproxy *proxy); /* NULL is allowed */

/* The servers as the relay is to see them, of two Postgres servers whichever takes writes; the strings live as long as `proxy`. */
const char *fproxy_bootstrap(const struct fproxy *proxy);
const char *fproxy_conninfo(struct fproxy *proxy, const char *database, const char *user);

/* A rule more, in the words of tests/fault/README.md; its number. */
int fproxy_rule(struct fproxy *proxy, const char *format, ...) PRINTF_LIKE(2, 3);

/* Any other command ("clear 2", "release", "reset", "latency kafka 200", "list"): its answer, whose last line begins
 * with "ok" or "error"; the caller frees it. */
char *fproxy_command(struct fproxy *proxy, const char *command);
void fproxy_clear(struct fproxy *proxy); /* all rules; what is held is let go */

/* Requests that the rule has counted so far. */
long fproxy_seen(struct fproxy *proxy, int rule);
/* .. and those of them that it has struck. */
long fproxy_fired(struct fproxy *proxy, int rule);

/* Lines of its log, one for each fault, that have `text` in them ("action=rst-response rule=2\n"). */
int fproxy_faults(const struct fproxy *proxy, const char *text);

#endif
