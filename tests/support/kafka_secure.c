/* kafka_secure.c: listeners with TLS and SCRAM, and who was refused at them (kafka_secure.h). The broker's life is in kafka.c. */
#include "support/kafka_secure.h"

#include "base/error.h"
#include "support/kafka_broker.h"
#include "support/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A session of SASL ends after so long: a client that cannot authenticate again on the same connection, as librdkafka, has to
 * make another one. So a new password is met without a restart. */
#define SESSION_MS 3000

/* Java wants its names of listeners in lower case. */
static void
describe(FILE *properties, const struct broker_door *door)
{
    char prefix[64];
    size_t size = (size_t)snprintf(prefix, sizeof prefix, "listener.name.%s", door->name);
    for (size_t i = 0; i < size; i++)
        prefix[i] = (char)(prefix[i] >= 'A' && prefix[i] <= 'Z' ? prefix[i] - 'A' + 'a' : prefix[i]);
    fprintf(properties, "%s.ssl.keystore.type=PEM\n%s.ssl.keystore.location=%s.pem\n", prefix, prefix,
            door->certificate);
    if (door->clients != NULL)
        fprintf(properties,
                "%s.ssl.truststore.type=PEM\n%s.ssl.truststore.location=%s\n%s.ssl.client.auth=required\n",
                prefix, prefix, door->clients, prefix);
    if (strcmp(door->protocol, "SASL_SSL") == 0)
        fprintf(properties,
                "%s.sasl.enabled.mechanisms=SCRAM-SHA-256\n"
                "%s.connections.max.reauth.ms=%d\n"
                "%s.scram-sha-256.sasl.jaas.config="
                "org.apache.kafka.common.security.scram.ScramLoginModule required;\n",
                prefix, prefix, SESSION_MS, prefix);
}

struct broker *
broker_start_secure(struct broker_door *doors, size_t count, const char *version)
{
    char *listeners, *properties;
    size_t listeners_size, properties_size;
    FILE *list = open_memstream(&listeners, &listeners_size),
         *text = open_memstream(&properties, &properties_size);
    CHECK(list != NULL && text != NULL);
    fprintf(text, "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
    for (size_t i = 0; i < count; i++) {
        doors[i].port = scratch_port();
        fprintf(list, "%s%s://127.0.0.1:%d", i > 0 ? "," : "", doors[i].name, doors[i].port);
        fprintf(text, ",%s:%s", doors[i].name, doors[i].protocol);
    }
    fprintf(text, "\n");
    for (size_t i = 0; i < count; i++)
        describe(text, &doors[i]);
    CHECK(fclose(list) == 0 && fclose(text) == 0);
    struct broker *broker = broker_start(&(struct broker_options){.version = version,
                                                                  .listeners = listeners,
                                                                  .properties = properties,
                                                                  .scram = "SCRAM-SHA-256=[name=" BROKER_USER
                                                                           ",password=" BROKER_PASSWORD "]"});
    free(listeners);
    free(properties);
    return broker;
}

void
broker_set_password(struct broker *broker, const char *password)
{
    char *secret = must_format("SCRAM-SHA-256=[password=%s]", password);
    broker_run_tool(broker, "kafka.admin.ConfigCommand",
                    (const char *const[]){"--bootstrap-server", broker->bootstrap, "--alter", "--entity-type",
                                          "users", "--entity-name", BROKER_USER, "--add-config", secret,
                                          NULL});
    free(secret);
}

int
broker_count_refused(const struct broker *broker)
{
    static const char sign[] = "Failed authentication with";
    char *log = scratch_read_file(broker->log);
    int count = 0;
    for (const char *at = log; (at = strstr(at, sign)) != NULL; at++)
        count++;
    free(log);
    return count;
}
