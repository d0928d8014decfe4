/* handshake.h: why a broker does not let us in, or we do not trust it, in words. OpenSSL knows what is wrong with a certificate;
 * librdkafka says only that something is, and blames ssl.ca.location for all of it. Of its own mistake it says nothing. */
#ifndef OUTBOXD_KAFKA_HANDSHAKE_H
#define OUTBOXD_KAFKA_HANDSHAKE_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

/* Before rd_kafka_new(): notes what OpenSSL says of certificates that it refuses. They stay refused. */
void handshake_watch(rd_kafka_conf_t *conf);

/* `text` is what librdkafka said about a connection to `broker` ("host:port"). If that was a handshake whose fault is known, says
 * it there in our words and returns what helps; else leaves `text` and returns NULL. Any thread. */
const char *handshake_explain(const char *broker, char *text, size_t size);

#endif
