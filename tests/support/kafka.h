/* kafka.h: a real Apache Kafka broker for tests: KRaft, one JVM, from the jars that packaging/kafka-jars.sh
 * fetched. A test that stops or kills its broker starts one of its own; the others share the suite's and use
 * topic names of their own. Everything a client can do goes through librdkafka: no JVM per command. */
#ifndef OUTBOXD_TESTS_SUPPORT_KAFKA_H
#define OUTBOXD_TESTS_SUPPORT_KAFKA_H

#include <stdbool.h>
#include <stddef.h>

struct broker;

struct broker_options {
    const char *version;    /* NULL: "4.1.0"; also "3.9.1", "3.6.2" */
    const char *properties; /* further lines of server.properties, or NULL */
    const char *host;       /* the address on which clients reach it, or NULL: 127.0.0.1 */
    const char *cluster_id; /* 22 characters of base64, or NULL: always the same one */
    const char *listeners;  /* further ones, "NAME://host:port,..", which `properties` describe; or NULL */
    const char *scram;      /* a user from the beginning, "SCRAM-SHA-256=[name=..,password=..]", or NULL */
    const int *proxied;     /* a port for each node, or NULL: see broker_proxied_port() */
};

/* A line for broker_options.properties: ACLs work, and what no ACL names is allowed to everyone. */
#define BROKER_WITH_ACLS                                                                                     \
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"                        \
    "allow.everyone.if.no.acl.found=true\n"

/* A broker of this test alone, answering metadata requests. `options` may be NULL. A few seconds. */
struct broker *broker_start(const struct broker_options *options);

/* So many brokers, each a controller too; topics made on them have as many replicas. What is said of a cluster's first
 * broker is said of the cluster: its bootstrap names all, and freeing it frees all. */
#define BROKER_NODES 3
struct broker *broker_start_cluster(int nodes, const struct broker_options *options);
/* Node 1, which is `broker` itself, to `nodes`: to stop, kill, pause and start it. */
struct broker *broker_node(struct broker *broker, int node);

/* The suite's broker (OUTBOXD_TEST_KAFKA=127.0.0.1:port); one of its own when there is none. Never stop it.
 */
struct broker *broker_shared(void);

/* For a suite's PRE_ALL hook: starts a broker and sets OUTBOXD_TEST_KAFKA; NULL when the environment has one. `options` may be NULL. */
struct broker *broker_share(const struct broker_options *options);

/* Kills the broker if it is this process's own and removes its data. NULL is allowed. */
void broker_free(struct broker *broker);

void broker_stop(struct broker *broker); /* SIGTERM, until it is gone */
void broker_kill(struct broker *broker); /* kill -9 */
void broker_up(struct broker *broker);   /* start again: same data, same port */
void broker_move(struct broker *broker); /* while it is down: it gets another port */
void broker_pause(struct broker *broker);
void broker_continue(struct broker *broker);

/* Starts all nodes of a cluster that are down, together: a controller alone has no majority. */
void broker_up_cluster(struct broker *broker);
/* Returns when every node of a cluster, all of which run, is taken for alive by the others. */
void broker_await_cluster(struct broker *broker);

const char *broker_bootstrap(const struct broker *broker); /* "127.0.0.1:port" */
/* Where a proxy reaches this node, which names broker_options.proxied in its place to whoever comes through here; 0: nowhere. */
int broker_proxied_port(const struct broker *node);
const char *broker_log_path(const struct broker *broker);
bool broker_log_contains(const struct broker *broker, const char *text);
const char *broker_directory(const struct broker *broker);

/* A topic name that no other test has, ending in "-name"; lives as long as `broker`. */
const char *broker_topic_name(struct broker *broker, const char *name);

/* `configs`: name, value, name, value .. NULL; may be NULL. Returns when a metadata request shows the topic.
 */
void broker_create_topic(struct broker *broker, const char *topic, int partitions,
                         const char *const *configs);
/* The two at once: a topic whose name no other test has. */
const char *broker_new_topic(struct broker *broker, const char *name, int partitions,
                             const char *const *configs);
/* So many topics of one partition, in one request: what is returned, and ".1", ".2" .. behind it. */
const char *broker_new_topics(struct broker *broker, const char *name, int count);
void broker_delete_topic(struct broker *broker, const char *topic);
/* Raises the number of partitions. */
void broker_add_partitions(struct broker *broker, const char *topic, int partitions);
/* Sets one config; the topic's other configs go back to their defaults (AlterConfigs replaces). */
void broker_configure_topic(struct broker *broker, const char *topic, const char *name, const char *value);

/* Denies an operation ("WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ", "CREATE", "ALL") on a topic to everyone, and no other; wants
 * BROKER_WITH_ACLS. allow: takes every such denial of the topic back. When either returns, the broker judges by it. */
void broker_deny(struct broker *broker, const char *topic, const char *operation);
void broker_allow(struct broker *broker, const char *topic);
/* The same on the cluster as a whole ("DESCRIBE_CONFIGS", "IDEMPOTENT_WRITE"). */
void broker_deny_cluster(struct broker *broker, const char *operation);
/* No principal may write to any topic, nor is an idempotent writer: no producer gets its id. broker_allow(broker, "*") allows the
 * first, which is enough. Wants BROKER_WITH_ACLS, too. */
void broker_refuse_producers(struct broker *broker);

/* Deletes every record that the topic, of one partition, has now. It must not be compacted meanwhile. */
void broker_empty_topic(struct broker *broker, const char *topic);

/* From now on whoever produces more than so many bytes a second is kept waiting by the broker. Takes a JVM, two seconds. */
void broker_limit_producers(struct broker *broker, int bytes_a_second);
/* Denies "Write" or "Describe" on a transactional id to everyone, or takes that back. Wants BROKER_WITH_ACLS, and the version 3.9.1,
 * which brings the tool. Takes a JVM. */
void broker_deny_transactional_id(struct broker *broker, const char *id, const char *operation, bool deny);

/* Partitions of a topic; 0 when it does not exist. */
int broker_partition_count(struct broker *broker, const char *topic);
/* Of its partitions, how many replicas are in sync where they are fewest; 0: one has no leader, or there is no such topic. */
int broker_in_sync(struct broker *broker, const char *topic);

#endif
