/* commands_check.c: `outboxd check` finds everything that would stop `run`, all in one run, each with its cure, and leaves
 * everything as it was; the real binary against a real Postgres and a real Kafka. */
#include "postgres/schema.h"
#include "support/kafka.h"
#include "support/postgres_standby.h"
#include "support/relay.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NUMBER_(number) #number
#define NUMBER(macro) NUMBER_(macro)
#define SCHEMA_IS_NEWEST "ok       schema version " NUMBER(SCHEMA_VERSION)

TestSuite(commands_check, .timeout = 120);

struct place {
    struct postgres *postgres;
    struct broker *broker;
    const char *database;
    PGconn *admin, *writer;
};

static struct place
place_open(void)
{
    struct place place = {.postgres = postgres_shared(), .broker = broker_shared()};
    place.database = postgres_create_outbox(place.postgres);
    place.admin = postgres_open(place.postgres, place.database, POSTGRES_ADMIN);
    place.writer = postgres_open(place.postgres, place.database, POSTGRES_WRITER);
    return place;
}

static void
place_close(struct place *place)
{
    PQfinish(place->admin);
    PQfinish(place->writer);
    broker_free(place->broker);
    postgres_free(place->postgres);
}

/* `more` are further lines of the configuration. */
static struct outboxd_result
check(const char *conninfo, const char *bootstrap, const char *more, const char *flag)
{
    char *directory = scratch_directory("check");
    char *path = must_format("%s/config.yaml", directory);
    char *config =
        must_format("source: test\npostgres:\n  conninfo: \"%s\"\nkafka:\n  bootstrap.servers: \"%s\"\n%s",
                    conninfo, bootstrap, more);
    scratch_write_file(path, config);
    const char *arguments[] = {"check", "--config", path, flag, NULL};
    struct outboxd_result result = outboxd_run(arguments);
    free(config);
    free(path);
    free(directory);
    return result;
}

static struct outboxd_result
check_place(const struct place *place, const char *more, const char *flag)
{
    return check(postgres_conninfo(place->postgres, place->database, POSTGRES_RELAY),
                 broker_bootstrap(place->broker), more, flag);
}

static void
expect(struct outboxd_result *result, int exit_code, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        cr_assert(strstr(result->out, *texts) != NULL, "missing: %s\nin: %s%s", *texts, result->out,
                  result->err);
    cr_assert_eq(result->exit_code, exit_code, "exit code %d\n%s%s", result->exit_code, result->out,
                 result->err);
    outboxd_result_free(result);
}
#define expect(result, exit_code, ...) expect(result, exit_code, (const char *const[]){__VA_ARGS__, NULL})

Test(commands_check, all_is_well_gives_0_and_says_what_was_looked_at)
{
    struct place place = place_open();
    const char *topic = broker_topic_name(place.broker, "orders");
    broker_create_topic(place.broker, topic, 3, NULL);
    postgres_exec(place.writer, "select outbox.emit('%s', '1', '{}')", topic);
    struct outboxd_result result = check_place(&place, "", NULL);
    char *line = must_format("ok       topic %s: 3 partitions", topic);
    expect(&result, 0, "ok       configuration ", "ok       database \"",
           "has the privileges that a relay needs", SCHEMA_IS_NEWEST, "will be the first one",
           "ok       Kafka answers: 1 broker", line, "\n0 errors, ");
    free(line);
    place_close(&place);
}

Test(commands_check, a_missing_topic_comes_with_a_ready_line_and_create_makes_it)
{
    struct place place = place_open();
    char *named = must_strdup(broker_topic_name(place.broker, "named"));
    char *emitted = must_strdup(broker_topic_name(place.broker, "emitted"));
    char *foreign = must_strdup(broker_topic_name(place.broker, "foreign"));
    char *topics = must_format("topics: [\"%s\", \"*-emitted\"]\n", named);
    postgres_exec(place.writer, "select outbox.emit('%s', '1', '{}'), outbox.emit('%s', '1', '{}')", emitted,
                  foreign);

    char *named_line = must_format(
        "error    topic %s does not exist\n           kafka-topics.sh --bootstrap-server %s --create"
        " --topic %s ",
        named, broker_bootstrap(place.broker), named);
    char *emitted_line = must_format("error    topic %s does not exist\n", emitted);
    char *foreign_line =
        must_format("no relay publishes these topics, of which there are events: %s\n", foreign);
    struct outboxd_result result = check_place(&place, topics, NULL);
    expect(&result, 69, named_line, emitted_line, foreign_line, "\n2 errors, 1 warning\n");
    cr_assert_eq(broker_partition_count(place.broker, named), 0);

    char *created_line = must_format("ok       topic %s: created, ", named);
    result = check_place(&place, topics, "--create");
    expect(&result, 0, created_line, "\n0 errors, 1 warning\n");
    wait_for(broker_partition_count(place.broker, named) > 0, 10000);
    wait_for(broker_partition_count(place.broker, emitted) > 0, 10000);
    cr_assert_eq(broker_partition_count(place.broker, foreign), 0, "not ours to make");

    free(created_line), free(foreign_line), free(emitted_line), free(named_line);
    free(topics), free(foreign), free(emitted), free(named);
    place_close(&place);
}

/* Copies of dead letters go nowhere until it is there. */
Test(commands_check, the_topic_of_dead_letters_is_looked_at_and_made_as_those_of_events_are)
{
    struct place place = place_open();
    const char *copies = broker_topic_name(place.broker, "copies");
    char *more = must_format("dead_letter: {topic: \"%s\"}\n", copies);
    char *missing_line = must_format("error    topic %s does not exist\n", copies);
    char *created_line = must_format("ok       topic %s: created, 8 partitions", copies);
    char *kept_line = must_format("ok       topic %s: 8 partitions, replication factor 1, "
                                  "min.insync.replicas 1, max.message.bytes 1048588, cleanup.policy delete\n",
                                  copies);
    struct outboxd_result result = check_place(&place, more, NULL);
    expect(&result, 69, missing_line, "no topic is known by name", "\n1 error, 0 warnings\n");
    result = check_place(&place, more, "--create");
    expect(&result, 0, created_line);
    wait_for(broker_partition_count(place.broker, copies) > 0, 10000);
    postgres_exec(place.writer, "select outbox.emit('%s', '1', '{}')", copies);
    result = check_place(&place, more, NULL);
    expect(&result, 0, kept_line, "\n0 errors, 0 warnings\n");
    free(kept_line), free(created_line), free(missing_line), free(more);
    place_close(&place);
}

Test(commands_check, exactly_once_is_well_before_the_first_start_when_its_topic_is_made)
{
    struct place place = place_open();
    char *more = must_format("relay: \"%s\"\ndelivery: exactly-once\n", broker_topic_name(place.broker, "r"));
    struct outboxd_result result = check_place(&place, more, NULL);
    expect(&result, 69, "will be the first one", "error    topic outboxd-position-test-", "\n1 error, ");
    result = check_place(&place, more, "--create");
    expect(&result, 0, ": created, 1 partition, ", "the position in Kafka agree", "\n0 errors, ");
    free(more);
    place_close(&place);
}

/* Rows 29 and 75. */
Test(commands_check, everything_wrong_is_found_in_one_run_and_the_configuration_decides_the_exit_code)
{
    struct place place = place_open();
    const char *topic = broker_topic_name(place.broker, "missing");
    char *more = must_format("relay: second\nretention: 40h\ntopics: [\"%s\"]\n", topic);
    postgres_exec(place.admin, "select outbox.relay_register('first', 'test', '{*}', '1 h')");
    postgres_exec(place.admin, "revoke execute on function outbox.slot_empty(integer) from outbox_relay");
    struct outboxd_result result = check_place(&place, more, NULL);
    expect(&result, 78, "EXECUTE on function slot_empty",
           "outboxd migrate --conninfo ADMIN --relay " POSTGRES_RELAY,
           "a retention of 40h would never empty a slot: 12 slots of 3h",
           "relay \"second\" is not registered", "does not exist", "\n4 errors, ");
    free(more);
    place_close(&place);
}

/* Row 17. */
Test(commands_check, postgres_away_does_not_hide_kafka_and_kafka_away_does_not_hide_postgres)
{
    struct place place = place_open();
    const char *topic = broker_topic_name(place.broker, "named");
    char *more = must_format("topics: [\"%s\"]\n", topic);
    char *line = must_format("error    topic %s does not exist\n", topic);
    char *nowhere = must_format("127.0.0.1:%d", scratch_port());
    char *no_server = must_format("host=127.0.0.1 port=%d user=relay dbname=shop", scratch_port());
    struct outboxd_result result = check(no_server, broker_bootstrap(place.broker), more, NULL);
    expect(&result, 69, "error    cannot connect to Postgres", "Connection refused", "ok       Kafka answers",
           line);
    result = check(postgres_conninfo(place.postgres, place.database, POSTGRES_RELAY), nowhere, more, NULL);
    expect(&result, 69, SCHEMA_IS_NEWEST, nowhere, "kafka.bootstrap.servers");
    free(no_server);
    free(nowhere);
    free(line);
    free(more);
    place_close(&place);
}

/* Accepts, and never answers. */
Test(commands_check, a_listener_that_never_answers_is_named_while_it_is_waited_for_and_at_the_end)
{
    struct place place = place_open();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 16) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    char *silent = must_format("127.0.0.1:%d", ntohs(address.sin_port));
    char *line = must_format("outboxd check: asking Kafka at %s .. ", silent);
    struct outboxd_result result =
        check(postgres_conninfo(place.postgres, place.database, POSTGRES_RELAY), silent, "", NULL);
    cr_assert(strstr(result.err, line) != NULL, "%s", result.err);
    cr_assert(strstr(result.out, "asking") == NULL, "%s", result.out);
    expect(&result, 69, "ok       schema version", silent);
    close(listener);
    free(line);
    free(silent);
    place_close(&place);
}

/* Row 61. */
Test(commands_check, a_standby_is_refused_with_its_cure)
{
    struct place place = place_open();
    struct postgres *primary = postgres_start(NULL);
    const char *database = postgres_create_outbox(primary);
    struct postgres *standby = postgres_start_standby(primary, "second");
    struct outboxd_result result =
        check(postgres_conninfo(standby, database, POSTGRES_RELAY), broker_bootstrap(place.broker), "", NULL);
    expect(&result, 69, "error    cannot connect to Postgres", "hot standby", "is no standby");
    postgres_free(standby);
    postgres_free(primary);
    place_close(&place);
}

/* P4: what is not published takes room, and `check` says how much and what it waits for. */
Test(commands_check, a_backlog_without_a_leader_is_a_warning_with_its_size_and_age)
{
    struct place place = place_open();
    const char *topic = broker_topic_name(place.broker, "orders");
    broker_create_topic(place.broker, topic, 1, NULL);
    struct daemon *daemon = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(place.postgres, place.database, POSTGRES_RELAY),
        .bootstrap = broker_bootstrap(place.broker)});
    daemon_wait_ready(daemon);
    cr_assert_eq(daemon_terminate(daemon), 0);
    postgres_exec(place.writer, "select outbox.emit('%s', '1', '{}') from generate_series(1, 20)", topic);
    struct outboxd_result result = check_place(&place, "", NULL);
    expect(&result, 0, "warning  NO LEADER: relay main was stopped ", "backlog 20 events, ",
           "\n           outboxd run\n");
    daemon_free(daemon);
    place_close(&place);
}

static char *
everything_in(const struct place *place)
{
    return postgres_text(
        place->admin,
        "select (select count(*) from outbox.journal) || ' ' || (select count(*) from outbox.relay)"
        " || ' ' || (select string_agg(relacl::text, ' ' order by oid) from pg_class)");
}

Test(commands_check, it_registers_nothing_takes_no_lead_and_changes_nothing)
{
    struct place place = place_open();
    char *before = everything_in(&place);
    struct outboxd_result result = check_place(&place, "", "--create");
    expect(&result, 0, "will be the first one");
    char *after = everything_in(&place);
    cr_assert_str_eq(before, after);
    free(after);
    free(before);
    place_close(&place);
}

Test(commands_check, wrong_configuration_is_78_and_unknown_options_are_64)
{
    struct outboxd_result result =
        check("host=127.0.0.1", "127.0.0.1:1\"\n  lingr.ms: \"1", "leese: 3s\nmemory: lots\n", NULL);
    static const char *const mistakes[] = {":6: kafka.lingr.ms: ", "did you mean linger.ms?",
                                           ":7: leese: ", "did you mean lease?", ":8: memory: "};
    cr_assert_eq(result.exit_code, 78);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        cr_assert(strstr(result.err, mistakes[i]) != NULL, "%s is not in: %s", mistakes[i], result.err);
    outboxd_result_free(&result);
    result = check("host=127.0.0.1", "127.0.0.1:1", "", "--json");
    cr_assert_eq(result.exit_code, 64, "%s", result.err);
    cr_assert_str_eq(result.err, "outboxd check: unknown option --json\nTry 'outboxd check --help'.\n");
    outboxd_result_free(&result);
    result = outboxd_run((const char *[]){"chekc", NULL});
    cr_assert_eq(result.exit_code, 64, "%s", result.err);
    cr_assert_str_eq(result.err,
                     "outboxd: unknown command 'chekc'; did you mean 'check'?\nTry 'outboxd --help'.\n");
    outboxd_result_free(&result);
    result = outboxd_run((const char *[]){"run", "--config", "/nonexistent/c.yaml", NULL});
    cr_assert_eq(result.exit_code, 78, "%s", result.err);
    cr_assert(strstr(result.err, "config.yaml.example") != NULL, "%s", result.err);
    outboxd_result_free(&result);
}

/* What was lost is no success; as in a log, both outputs in one file are in the order in which they were said. */
Test(commands_check, outputs_that_share_a_file_keep_their_order_and_a_full_disk_is_69)
{
    struct place place = place_open();
    char *directory = scratch_directory("order"), *config = must_format("%s/config.yaml", directory);
    char *both = must_format("%s/both", directory);
    char *text = must_format(
        "source: shop\npostgres:\n  conninfo: \"%s\"\nkafka:\n  bootstrap.servers: \"%s\"\n",
        postgres_conninfo(place.postgres, place.database, POSTGRES_RELAY), broker_bootstrap(place.broker));
    const char *binary = getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd";
    scratch_write_file(config, text);
    free(text);
    struct outboxd_result result =
        outboxd_run((const char *[]){"relay", "add", "main", "--from", "now", "--config", config, NULL});
    expect(&result, 0, "is registered");
    const char *argv[] = {binary, "relay", "retire", "main", "--config", config, NULL};
    cr_expect_eq(process_run(&(struct process_options){.argv = argv, .output_path = both}, 30000), 64);
    text = scratch_read_file(both);
    cr_expect_eq(strncmp(text, "not confirmed by relay main", 27), 0, "%s", text);
    cr_expect_not_null(strstr(text, "\noutboxd relay: not done"), "%s", text);
    free(text);
    const char *list[] = {binary, "relay", "list", "--config", config, NULL};
    struct process_options full = {.argv = list, .output_path = "/dev/full", .error_path = both};
    cr_expect_eq(process_run(&full, 30000), 69);
    text = scratch_read_file(both);
    cr_expect_not_null(strstr(text, "cannot write to standard output"), "%s", text);
    free(text), free(both), free(config), free(directory);
    place_close(&place);
}

/* A person who has typed something else is told what was probably meant. */
Test(commands_check, a_slip_on_the_command_line_is_64_and_shows_what_was_meant)
{
    static const struct {
        const char *words[5];
        const char *said;
    } slips[] = {
        {{"-c", "shop.yaml", "status"},
         "outboxd: the command comes before its options: outboxd status -c shop.yaml\n"
         "Try 'outboxd status --help'.\n"},
        {{"--json", "--config=shop.yaml", "status"},
         "outboxd: the command comes before its options: outboxd status --config=shop.yaml ..\n"
         "Try 'outboxd status --help'.\n"},
        {{"-c", "c.yaml", "migrate", "--conninfo=password=hidden"},
         "outboxd: the command comes before its options: outboxd migrate -c c.yaml ..\n"
         "Try 'outboxd migrate --help'.\n"},
        {{"-c", "status", "orders"}, "outboxd run: unexpected argument orders\nTry 'outboxd run --help'.\n"},
        {{"migrate", "--writr=shop"},
         "outboxd migrate: unknown option --writr; did you mean --writer?\nTry 'outboxd migrate --help'.\n"},
        {{"status", "--jsn"},
         "outboxd status: unknown option --jsn; did you mean --json?\nTry 'outboxd status --help'.\n"},
        {{"status", "--json=yes"}, "outboxd status: --json takes no value\nTry 'outboxd status --help'.\n"},
        {{"rebase", "--position", "main"},
         "outboxd rebase: --conninfo is missing: that of an administrator, such as the one who ran migrate\n"
         "Try 'outboxd rebase --help'.\n"},
        {{"help", "chekc"},
         "outboxd: unknown command 'chekc'; did you mean 'check'?\nTry 'outboxd --help'.\n"},
    };
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        struct outboxd_result result = outboxd_run(slips[i].words);
        cr_expect_eq(result.exit_code, 64, "%s", result.err);
        cr_expect_str_eq(result.err, slips[i].said);
        outboxd_result_free(&result);
    }
}

Test(commands_check, help_and_version_are_commands_too)
{
    static const char *const same[][2][3] = {
        {{"help"}, {"--help"}},         {{"help", "replay"}, {"replay", "--help"}},
        {{"help", "help"}, {"--help"}}, {{"help", "--help"}, {"--help"}},
        {{"help", "-h"}, {"-h"}},       {{"version"}, {"--version"}}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct outboxd_result one = outboxd_run(same[i][0]), other = outboxd_run(same[i][1]);
        cr_expect(one.exit_code == 0 && other.exit_code == 0, "%s", same[i][0][0]);
        cr_expect(one.out[0] != '\0');
        cr_expect_str_eq(one.out, other.out);
        outboxd_result_free(&one);
        outboxd_result_free(&other);
    }
}
