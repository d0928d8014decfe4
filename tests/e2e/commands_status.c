/* commands_status.c: what `outboxd status` says about a relay that really runs: who leads and who stands by, that nothing waits,
 * and what it is stuck at (P5: no silence). */
#include "support/kafka.h"
#include "support/postgres.h"
#include "support/relay.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

TestSuite(commands_status_e2e, .timeout = 120);

static json_t *
status_of(const struct daemon *daemon)
{
    const char *arguments[] = {"status", "--config", daemon_config_path(daemon), "--json", NULL};
    struct outboxd_result result = outboxd_run(arguments);
    cr_assert_eq(result.exit_code, 0, "%s", result.err);
    json_t *object = json_loads(result.out, 0, NULL);
    cr_assert(json_is_object(object), "%s", result.out);
    outboxd_result_free(&result);
    return object;
}

static bool
verdict_is(const struct daemon *daemon, const char *verdict, int64_t lag_events)
{
    json_t *object = status_of(daemon);
    const json_t *relay = json_array_get(json_object_get(object, "relays"), 0);
    bool is = strcmp(json_string_value(json_object_get(object, "verdict")), verdict) == 0 &&
              json_integer_value(json_object_get(relay, "lag_events")) == lag_events;
    json_decref(object);
    return is;
}

Test(commands_status_e2e, a_relay_that_has_published_everything_is_ok_then_waits_for_a_topic_then_is_ok_again)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const char *database = postgres_create_outbox(postgres);
    char *good = must_strdup(broker_topic_name(broker, "good"));
    char *missing = must_strdup(broker_topic_name(broker, "missing"));
    PGconn *writer = postgres_open(postgres, database, POSTGRES_WRITER);
    broker_create_topic(broker, good, 3, NULL);
    struct daemon *daemon = daemon_start(
        &(struct daemon_options){.conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY),
                                 .bootstrap = broker_bootstrap(broker)});
    daemon_wait_ready(daemon);
    postgres_exec(writer, "select outbox.emit('%s', i::text, '{}') from generate_series(1, 500) i", good);
    wait_for(verdict_is(daemon, "ok", 0), 20000);

    postgres_exec(writer, "select outbox.emit('%s', '1', '{}')", missing);
    wait_for(verdict_is(daemon, "paused", 0), 30000);
    json_t *object = status_of(daemon);
    const json_t *relay = json_array_get(json_object_get(object, "relays"), 0);
    const char *topic = json_string_value(
        json_object_get(json_array_get(json_object_get(relay, "paused_topics"), 0), "topic"));
    cr_assert_str_eq(topic, missing);
    json_decref(object);

    broker_create_topic(broker, missing, 1, NULL);
    wait_for(verdict_is(daemon, "ok", 0), 60000);
    daemon_free(daemon);
    PQfinish(writer);
    free(missing);
    free(good);
    broker_free(broker);
    postgres_free(postgres);
}

/* How many processes of the relay have this role. */
static int
processes_of_role(const struct daemon *daemon, const char *role)
{
    int count = 0;
    size_t i;
    const json_t *process;
    json_t *object = status_of(daemon);
    const json_t *relay = json_array_get(json_object_get(object, "relays"), 0);
    json_array_foreach(json_object_get(relay, "processes"), i, process) count +=
        strcmp(json_string_value(json_object_get(process, "role")), role) == 0;
    json_decref(object);
    return count;
}

Test(commands_status_e2e, leader_and_standby_are_listed_and_a_name_of_their_own_is_kept)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const char *database = postgres_create_outbox(postgres);
    const char *conninfo = postgres_conninfo(postgres, database, POSTGRES_RELAY);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);
    struct daemon_options options = {.conninfo = conninfo, .bootstrap = broker_bootstrap(broker)};
    struct daemon *leader = daemon_start(&options);
    daemon_wait_ready(leader);
    struct daemon *standby = daemon_start(&options);
    daemon_wait_ready(standby);
    cr_expect_eq(processes_of_role(leader, "leader"), 1);
    cr_expect_eq(processes_of_role(leader, "standby"), 1);
    daemon_kill(leader);
    wait_for(processes_of_role(standby, "leader") == 1 && processes_of_role(standby, "standby") == 0, 20000);
    cr_expect_eq(daemon_terminate(standby), 0);

    char *named = must_format("%s application_name=ours", conninfo);
    options.conninfo = named;
    struct daemon *own = daemon_start(&options);
    daemon_wait_ready(own);
    cr_expect_eq(postgres_int(admin, "select count(*) from pg_stat_activity where application_name = 'ours'"),
                 1);
    cr_expect_eq(processes_of_role(own, "leader"), 0);
    daemon_free(own);
    free(named);
    daemon_free(standby);
    daemon_free(leader);
    PQfinish(admin);
    broker_free(broker);
    postgres_free(postgres);
}
