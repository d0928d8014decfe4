/* handshake.c: notes why certificates were refused, broker by broker. Called from librdkafka's threads in the middle of a
 * handshake, and by whoever tells an error of a connection; must never let pass what OpenSSL has refused (I7). */
#include "kafka/handshake.h"

#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct fault {
    int error; /* X509_STORE_CTX_get_error(3) */
    const char *what, *cure;
} faults[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "the broker's certificate has expired",
     "renew the broker's certificate, or set the clock of this machine"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "the broker's certificate is not valid yet",
     "set the clock of this machine, or wait"},
    {X509_V_ERR_HOSTNAME_MISMATCH, "the broker's certificate is for other names",
     "name the broker as its certificate does, in kafka.bootstrap.servers and in its advertised.listeners"},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, "the broker's certificate is for other names",
     "name the broker as its certificate does, in kafka.bootstrap.servers and in its advertised.listeners"},
    {X509_V_ERR_CERT_REVOKED, "the broker's certificate is revoked", "give the broker a new certificate"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, "no list of revoked certificates is there for the broker's authority",
     "add it to the file kafka.ssl.crl.location"},
    {X509_V_ERR_CRL_HAS_EXPIRED, "the list of revoked certificates has expired",
     "renew the file kafka.ssl.crl.location"},
    {0, "the broker's certificate is of an unknown authority",
     "name the file with the authority's certificate in kafka.ssl.ca.location"},
};

/* The client's final message of SCRAM repeated the client's nonce. Kafka took that until 3.9. */
static const int SCRAM_IS_SOUND = 0x020601ff;

/* More brokers than this in trouble at once: the oldest note goes. */
enum { NOTES = 16 };

static struct {
    pthread_mutex_t lock;
    struct note {
        char broker[128];
        const struct fault *fault;
    } list[NOTES];
    size_t next;
} notes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct fault *
find_fault(int error)
{
    const struct fault *fault = faults;
    while (fault->error != 0 && fault->error != error)
        fault++;
    return fault;
}

static struct note *
find_note(const char *broker)
{
    for (size_t i = 0; i < NOTES; i++)
        if (strcmp(notes.list[i].broker, broker) == 0)
            return &notes.list[i];
    return NULL;
}

static void
take_note(const char *broker, const struct fault *fault)
{
    pthread_mutex_lock(&notes.lock);
    struct note *note = find_note(broker);
    if (note == NULL) {
        note = &notes.list[notes.next++ % NOTES];
        snprintf(note->broker, sizeof note->broker, "%s", broker);
    }
    note->fault = fault;
    pthread_mutex_unlock(&notes.lock);
}

/* OpenSSL has judged already; 0 tells it to go by that. */
static int
judge(rd_kafka_t *rk, const char *broker, int32_t id, int *error, int depth, const char *certificate,
      size_t size, char *reason, size_t reason_size, void *opaque)
{
    (void)rk, (void)id, (void)depth, (void)certificate, (void)size, (void)opaque;
    if (*error == X509_V_OK)
        return 1;
    const struct fault *fault = find_fault(*error);
    take_note(broker, fault);
    snprintf(reason, reason_size, "%s (X509 error %d)", fault->what, *error);
    return 0;
}

void
handshake_watch(rd_kafka_conf_t *conf)
{
    (void)rd_kafka_conf_set_ssl_cert_verify_cb(conf, judge); /* fails only where librdkafka has no TLS */
}

static const char *
explain_tls(const struct fault *fault, char *text, size_t size)
{
    snprintf(text, size, "SSL handshake failed: %s", fault->what);
    return fault->cure;
}

static const char *
explain_scram(char *text, size_t size)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "; librdkafka %s cannot do SCRAM with Kafka 4",
             rd_kafka_version_str());
    return "check kafka.sasl.username and its password; with Kafka 4 or later install librdkafka 2.6.1 or "
           "later, or use"
           " kafka.sasl.mechanisms: PLAIN over sasl_ssl";
}

/* librdkafka hands on what OpenSSL says, without a word of its own, when a handshake fails at the first byte. */
static bool
is_handshake(const char *text)
{
    return strncmp(text, "SSL handshake failed", 20) == 0 ||
           (strncmp(text, "error:", 6) == 0 && strstr(text, ":SSL routines:") != NULL);
}

const char *
handshake_explain(const char *broker, char *text, size_t size)
{
    if (strncmp(text, "SASL authentication error", 25) == 0 && strstr(text, "SCRAM-SHA-") != NULL &&
        rd_kafka_version() < SCRAM_IS_SOUND)
        return explain_scram(text, size);
    static const struct fault no_tls = {
        0, "the broker ended it: is this a listener without TLS?",
        "check kafka.security.protocol and the port in kafka.bootstrap.servers"};
    if (!is_handshake(text))
        return NULL;
    if (strstr(text, "unexpected eof while reading") != NULL || strstr(text, "wrong version number") != NULL)
        return explain_tls(&no_tls, text, size);
    pthread_mutex_lock(&notes.lock);
    const struct note *note = find_note(broker);
    const struct fault *fault = note ? note->fault : NULL;
    pthread_mutex_unlock(&notes.lock);
    if (fault == NULL || strstr(text, "certificate verify failed") == NULL)
        return NULL;
    return explain_tls(fault, text, size);
}
