/* faults_network.c: what happens on the way between the relay and its servers, by the fault proxy; its rules are in
 * tests/fault/README.md. */
#include "chaos/faults.h"

#include "support/scratch.h"

#include <stdio.h>
#include <stdlib.h>

static void
command(struct stage *stage, const char *words)
{
    free(fproxy_command(stage->proxy, words));
}

static void
make_rule(struct stage *stage, struct strike *strike)
{
    strike->at = fproxy_rule(stage->proxy, "%s", strike->words);
}

static void
count_hits(struct stage *stage, struct strike *strike)
{
    strike->hits = fproxy_fired(stage->proxy, strike->at);
}

/* What is held arrives. */
static void
clear_rules(struct stage *stage, struct strike *strike)
{
    count_hits(stage, strike);
    fproxy_clear(stage->proxy);
}

/* A connection on which something is missing ends before it works again: no TCP leaves a hole. */
static void
clear_and_reset(struct stage *stage, struct strike *strike)
{
    count_hits(stage, strike);
    command(stage, "reset");
    fproxy_clear(stage->proxy);
    command(stage, "reset");
}

static void
be_far(struct stage *stage, struct strike *strike)
{
    command(stage, strike->words);
}

static void
be_near(struct stage *stage, struct strike *strike)
{
    (void)strike;
    command(stage, "latency kafka 0");
    command(stage, "latency postgres 0");
}

/* What begins anew meets the rule. */
static void
make_rule_and_reset(struct stage *stage, struct strike *strike)
{
    make_rule(stage, strike);
    command(stage, "reset");
}

static void
reset_all(struct stage *stage, struct strike *strike)
{
    (void)strike;
    command(stage, "reset");
}

#define ANY_KAFKA "{*|*|Produce|EndTxn|AddPartitionsToTxn}"
#define ANY_POSTGRES "{*|outboxd_*|outboxd_step|outboxd_confirm|outboxd_page|'*copy (*'}"

static const struct fault faults[] = {
    /* name, weight, shortest and longest in ms, words, inject, during, heal, takeover */
    {"Kafka far away", 2, 2000, 8000, "latency kafka {20..400}", be_far, NULL, be_near, false},
    {"Kafka: requests or answers take long", 2, 2000, 8000,
     "kafka " ANY_KAFKA " every={2..20} {delay-request|delay-response}={50..3000}", make_rule, count_hits,
     clear_rules, false},
    {"Kafka: answers lost with their connection", 3, 1000, 6000,
     "kafka " ANY_KAFKA " every={2..20} rst-response", make_rule, count_hits, clear_rules, false},
    {"Kafka: requests lost with their connection", 3, 1000, 6000,
     "kafka " ANY_KAFKA " every={2..20} rst-request", make_rule, count_hits, clear_rules, false},
    {"Kafka: connections cut within a frame", 3, 1000, 6000,
     "kafka {* kb={8..256}|Produce every={2..10}|EndTxn every={1..4}|AddPartitionsToTxn every={1..4}} "
     "{cut-request|cut-response={1..12}}",
     make_rule, count_hits, clear_rules, false},
    {"Kafka: connections closed one way", 1, 1000, 6000,
     "kafka {*|Produce|EndTxn} every={3..20} {half-close-request|half-close-response}", make_rule, count_hits,
     clear_rules, false},
    {"Kafka: requests arrive twice", 2, 1000, 6000,
     "kafka {Produce|EndTxn|AddPartitionsToTxn} every={1..5} duplicate", make_rule, count_hits, clear_rules,
     false},
    {"Kafka: requests are overtaken", 2, 1000, 6000,
     "kafka {Produce|EndTxn} every={3..12} postpone={50..3000}", make_rule, count_hits, clear_rules, false},
    {"Kafka: the end of a transaction arrives when its client has gone", 3, 12000, 25000,
     "kafka EndTxn n={1..20} {hold-request|hold-response|postpone}={11000..24000}", make_rule, count_hits,
     clear_rules, false},
    {"Kafka: a request arrives when its client has gone", 2, 12000, 18000,
     "kafka Produce n={1..30} {hold-request|postpone}={11000..17000}", make_rule, count_hits, clear_rules,
     false},
    {"Kafka: nothing comes back", 2, 1000, 14000, "kafka * {listener={1..3} |}drop-response", make_rule,
     count_hits, clear_and_reset, false},
    {"Kafka: nothing gets there", 2, 1000, 14000, "kafka * {listener={1..3} |}drop-request", make_rule,
     count_hits, clear_and_reset, false},
    {"Kafka: a thin link", 1, 4000, 10000, "kafka Produce throttle-request={16..128}000", make_rule,
     count_hits, clear_rules, false},
    {"Kafka and Postgres: all connections reset", 1, 0, 1500, NULL, reset_all, reset_all, NULL, false},
    {"Postgres far away", 2, 2000, 8000, "latency postgres {5..200}", be_far, NULL, be_near, false},
    {"Postgres: requests or answers take long", 2, 1000, 8000,
     "postgres " ANY_POSTGRES " every={2..20} {delay-request|delay-response|hold-request}={20..2500}",
     make_rule, count_hits, clear_rules, false},
    {"Postgres: answers lost with their connection", 3, 1000, 5000,
     "postgres " ANY_POSTGRES " every={2..30} rst-response", make_rule, count_hits, clear_rules, false},
    {"Postgres: requests lost with their connection", 2, 1000, 5000,
     "postgres " ANY_POSTGRES " every={2..30} rst-request", make_rule, count_hits, clear_rules, false},
    {"Postgres: connections cut within a message", 2, 1000, 5000,
     "postgres " ANY_POSTGRES " every={2..20} {cut-request|cut-response={1..20000}}", make_rule, count_hits,
     clear_rules, false},
    {"Postgres: connections break while they begin", 1, 1000, 5000,
     "postgres startup every={1..3} {rst-request|rst-response|cut-response={1..40}}", make_rule_and_reset,
     count_hits, clear_rules, false},
    {"Kafka: connections break while they begin", 1, 1000, 5000,
     "kafka {ApiVersions|Metadata|InitProducerId|FindCoordinator} every={1..3} "
     "{rst-request|rst-response|cut-response={1..40}}",
     make_rule_and_reset, count_hits, clear_rules, false},
    {"Postgres: nothing comes back", 2, 1000, 12000, "postgres * drop-response", make_rule, count_hits,
     clear_and_reset, false},
    {"Postgres: nothing gets there", 2, 1000, 12000, "postgres * drop-request", make_rule, count_hits,
     clear_and_reset, false},
    {"Postgres: a thin link", 1, 3000, 8000, "postgres * throttle-response={64..512}000", make_rule,
     count_hits, clear_rules, false},
};

const struct fault_list faults_network = {"network", faults, sizeof faults / sizeof *faults};
