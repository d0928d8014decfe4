/* transport.h: can the passwords and events that travel to Postgres and Kafka be read or taken over on the
 * way? Warns; the decision is the operator's. */
#ifndef OUTBOXD_CONFIG_TRANSPORT_H
#define OUTBOXD_CONFIG_TRANSPORT_H

#include "config/complaints.h"
#include "config/settings.h"

/* Warns of an sslmode weaker than verify-full when a host is off this machine. What the string does not say
 * is taken from PGHOST, PGHOSTADDR and PGSSLMODE, as libpq does; with a service file nothing is known, and
 * nothing is said. */
void transport_judge_postgres(const char *conninfo, int line, struct complaints *complaints);

/* Warns of a security.protocol without TLS when a bootstrap server is off this machine. (TLS that does not
 * check who the broker is, is refused by the room `kafka`.) */
void transport_judge_kafka(const struct property *properties, size_t count, struct complaints *complaints);

#endif
