/* kafka.c: the life of a real broker: make, start, stop, kill, pause. The JVM is our own child, so that it dies with the test;
 * how it is started is in kafka_jvm.c, what a client can do to a broker in kafka_topics.c and kafka_acls.c. */
#include "support/kafka.h"

#include "support/kafka_broker.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS 90000 /* a JVM on a busy machine */
#define STOP_MS 120000 /* it first hands its partitions over, and waits for replicas that are in sync */

/* A small, quick broker: few internal partitions; a session so short that a restart after kill -9 does not
 * wait out the 9 s default of its own dead session. */
static const char properties_format[] =
    "process.roles=broker,controller\n"
    "node.id=%d\n"
    "controller.quorum.voters=%s\n"
    "listeners=PLAINTEXT://%s:%d,CONTROLLER://127.0.0.1:%d%s\n"
    "advertised.listeners=PLAINTEXT://%s:%d%s\n"
    "controller.listener.names=CONTROLLER\n"
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n"
    "log.dirs=%s/data\n"
    "default.replication.factor=%d\n"
    "offsets.topic.replication.factor=1\n"
    "offsets.topic.num.partitions=5\n"
    "transaction.state.log.replication.factor=1\n"
    "transaction.state.log.min.isr=1\n"
    "transaction.state.log.num.partitions=5\n"
    "broker.session.timeout.ms=2000\n"
    "broker.heartbeat.interval.ms=500\n"
    "auto.create.topics.enable=false\n"
    "group.initial.rebalance.delay.ms=0\n"
    "%s\n";

/* Ready is who is named in the answer to a metadata request, not who opens the port. */
static bool
broker_answers(const struct broker *broker)
{
    rd_kafka_t *client = broker_client(broker);
    const struct rd_kafka_metadata *metadata = NULL;
    bool answers = false;
    if (rd_kafka_metadata(client, 0, NULL, &metadata, 500) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (int i = 0; i < metadata->broker_cnt; i++)
            answers |= metadata->brokers[i].id == broker->node;
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_destroy(client);
    return answers;
}

static void
broker_await(struct broker *broker)
{
    int64_t deadline_us = wait_deadline_us(START_MS);
    while (!broker_answers(broker)) {
        int exit_code;
        if (process_ended(broker->pid, &exit_code) || !wait_turn(deadline_us))
            test_fail("Kafka does not come up:\n%s", scratch_read_file(broker->log));
    }
}

void
broker_up(struct broker *broker)
{
    broker_launch(broker, false);
    broker_await(broker);
}

void
broker_move(struct broker *broker)
{
    static const char before[] = "\nlisteners=PLAINTEXT://";
    CHECK(broker->own && broker->pid == 0);
    char *text = scratch_read_file(broker->properties), *at = strstr(text, before);
    CHECK(at != NULL);
    at += strlen(before);
    char *old = must_format("=PLAINTEXT://%.*s", (int)strcspn(at, ",\n"), at),
         *new = must_format("=PLAINTEXT://127.0.0.1:%d", scratch_port());
    scratch_replace_in_file(broker->properties, old, new);
    scratch_replace_in_file(broker->properties, old,
                            new); /* what it listens on, and what it says of itself */
    free(new), free(old), free(text);
}

static struct broker *
node_or_null(struct broker *broker, int node)
{
    return node == 1 ? broker : broker->others[node - 2];
}

void
broker_await_cluster(struct broker *broker)
{
    for (int node = 1; node <= BROKER_NODES; node++)
        if (node_or_null(broker, node) != NULL)
            broker_await(node_or_null(broker, node));
}

void
broker_up_cluster(struct broker *broker)
{
    for (int node = 1; node <= BROKER_NODES; node++) {
        struct broker *down = node_or_null(broker, node);
        if (down != NULL && down->pid == 0)
            broker_launch(down, false);
    }
    broker_await_cluster(broker);
}

static const char *
broker_host(const struct broker_options *options)
{
    return options->host ? options->host : "127.0.0.1";
}

/* ",NAME://host:port" of a further listener, or nothing. The caller frees it. */
static char *
further(const struct broker_options *options, int proxied_port)
{
    if (proxied_port != 0)
        return must_format(",PROXIED://127.0.0.1:%d", proxied_port);
    return options->listeners ? must_format(",%s", options->listeners) : must_strdup("");
}

/* One node, formatted and not started. `voters` and `bootstrap` name all nodes of its cluster. */
static struct broker *
broker_make(const struct broker_options *options, int node, int nodes, const int *ports, const char *voters,
            const char *bootstrap)
{
    struct broker *broker = must_calloc(1, sizeof *broker);
    int port = ports[2 * node - 2], controller_port = ports[2 * node - 1];
    const char *host = broker_host(options);
    broker->own = true;
    broker->node = node;
    broker->directory = scratch_directory("kafka");
    broker->log = must_format("%s/log", broker->directory);
    broker->properties = must_format("%s/server.properties", broker->directory);
    broker->jars = broker_jars(options->version ? options->version : BROKER_VERSION);
    broker->bootstrap = must_strdup(bootstrap);
    broker->address = must_format("%s:%d", host, port);
    broker->proxied = options->proxied ? scratch_port() : 0;
    char *here = further(options, broker->proxied);
    char *said = further(options, options->proxied ? options->proxied[node - 1] : 0);
    char *text = must_format(properties_format, node, voters, host, port, controller_port, here, host, port,
                             said, broker->directory, nodes, options->properties ? options->properties : "");
    scratch_write_file(broker->properties, text);
    broker_format(broker, options);
    free(text), free(said), free(here);
    return broker;
}

static char *
append(char *list, char *more)
{
    char *longer = list ? must_format("%s,%s", list, more) : must_strdup(more);
    free(list);
    free(more);
    return longer;
}

struct broker *
broker_start_cluster(int nodes, const struct broker_options *options)
{
    static const struct broker_options none;
    int ports[2 * BROKER_NODES];
    char *voters = NULL, *bootstrap = NULL;
    struct broker *made[BROKER_NODES];
    CHECK(nodes >= 1 && nodes <= BROKER_NODES);
    options = options ? options : &none;
    for (int i = 0; i < nodes; i++) {
        ports[2 * i] = scratch_port();
        ports[2 * i + 1] = scratch_port();
        bootstrap = append(bootstrap, must_format("%s:%d", broker_host(options), ports[2 * i]));
        voters = append(voters, must_format("%d@127.0.0.1:%d", i + 1, ports[2 * i + 1]));
    }
    for (int i = 0; i < nodes; i++) {
        made[i] = broker_make(options, i + 1, nodes, ports, voters, bootstrap);
        made[0]->others[i > 0 ? i - 1 : 0] = i > 0 ? made[i] : NULL;
    }
    broker_up_cluster(made[0]);
    free(voters);
    free(bootstrap);
    return made[0];
}

struct broker *
broker_start(const struct broker_options *options)
{
    return broker_start_cluster(1, options);
}

struct broker *
broker_node(struct broker *broker, int node)
{
    CHECK(node >= 1 && node <= BROKER_NODES && node_or_null(broker, node) != NULL);
    return node_or_null(broker, node);
}

struct broker *
broker_shared(void)
{
    const char *shared = getenv("OUTBOXD_TEST_KAFKA");
    if (shared == NULL)
        return broker_start(NULL);
    struct broker *broker = must_calloc(1, sizeof *broker);
    broker->bootstrap = must_strdup(shared);
    broker->address = must_strdup(shared);
    return broker;
}

struct broker *
broker_share(const struct broker_options *options)
{
    if (getenv("OUTBOXD_TEST_KAFKA") != NULL)
        return NULL;
    struct broker *broker = broker_start(options);
    if (!broker_archive_works(broker)) {
        broker_stop(broker);
        broker_launch(broker, true);
        broker_await(broker);
        broker_stop(broker);
        broker_archive_keep(broker);
        broker_up(broker);
    }
    setenv("OUTBOXD_TEST_KAFKA", broker->bootstrap, 1);
    return broker;
}

static void
broker_end(struct broker *broker, int signal)
{
    CHECK(broker->own && broker->pid != 0);
    kill(broker->pid, signal);
    process_wait(broker->pid, STOP_MS);
    broker->pid = 0;
}

void
broker_stop(struct broker *broker)
{
    broker_end(broker, SIGTERM);
}

void
broker_kill(struct broker *broker)
{
    broker_end(broker, SIGKILL);
}

void
broker_pause(struct broker *broker)
{
    CHECK(broker->own && broker->pid != 0);
    process_pause(broker->pid);
}

void
broker_continue(struct broker *broker)
{
    CHECK(broker->own && broker->pid != 0);
    process_continue(broker->pid);
}

void
broker_free(struct broker *broker)
{
    if (broker == NULL)
        return;
    for (int i = 0; i < BROKER_NODES - 1; i++)
        broker_free(broker->others[i]);
    if (broker->own && broker->pid != 0)
        broker_kill(broker);
    if (broker->own) {
        char *data = must_format("%s/data", broker->directory);
        scratch_remove_tree(data); /* the log stays, for whoever looks into a failure */
        free(data);
    }
    for (size_t i = 0; i < broker->kept_count; i++)
        free(broker->kept[i]);
    free(broker->kept);
    free(broker->directory);
    free(broker->log);
    free(broker->properties);
    free(broker->jars);
    free(broker->bootstrap);
    free(broker->address);
    free(broker);
}

const char *
broker_bootstrap(const struct broker *broker)
{
    return broker->bootstrap;
}

int
broker_proxied_port(const struct broker *node)
{
    return node->proxied;
}

const char *
broker_log_path(const struct broker *broker)
{
    CHECK(broker->own);
    return broker->log;
}

const char *
broker_directory(const struct broker *broker)
{
    CHECK(broker->own);
    return broker->directory;
}

bool
broker_log_contains(const struct broker *broker, const char *text)
{
    return scratch_file_contains(broker_log_path(broker), text);
}
