/* polyglot.c: the emit of Go, Java and Node, as their readers run them: an article's price and its event are one thing, and
 * what all of them insert is the same to the byte. */
#include "fixture.h"

#include "support/postgres.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "article.priced"
#define SKU "Käse-№7 ♥"
#define NOWHERE "nowhere"

#define COMMAND_WORDS 5

/* A program: how it is started in the directory that examples/prepare.sh filled, and how it is told of a database. */
struct program {
    const char *example;
    const char *command[COMMAND_WORDS];
    const char *url_before, *url_after; /* what stands around 127.0.0.1:PORT/DATABASE */
};

/* quick to start, which is most of what such a program does */
#define JAVA "java", "-XX:TieredStopAtLevel=1", "-cp", "classes:jars/*"
#define JAVA_URL "jdbc:postgresql://", "?user=" POSTGRES_WRITER
#define URL "postgresql://" POSTGRES_WRITER "@", ""

static const struct program go = {"go", {"./reprice"}, URL};
static const struct program node = {"node", {"node", "reprice.js"}, URL};
static const struct program java = {"java", {JAVA, "Reprice"}, JAVA_URL};
static const struct program spring = {"java", {JAVA, "SpringReprice"}, JAVA_URL};

/* Runs PROGRAM DATABASE SKU `cents` `end`, which must end with this exit code. */
static void
reprice(const struct program *program, int port, const char *database, const char *cents, const char *end,
        int exit_code)
{
    char *directory = example_prepare(program->example), *scratch = scratch_directory(program->example);
    char *url = must_format("%s127.0.0.1:%d/%s%s", program->url_before, port, database, program->url_after);
    char *output = must_format("%s/reprice.log", scratch);
    const char *arguments[] = {url, SKU, cents, end, NULL}, *argv[COMMAND_WORDS + 5];
    size_t count = 0;
    while (count < COMMAND_WORDS && program->command[count] != NULL) {
        argv[count] = program->command[count];
        count++;
    }
    memcpy(argv + count, arguments, sizeof arguments);
    int code = process_run(
        &(struct process_options){
            .argv = argv, .directory = directory, .output_path = output, .death_signal = SIGKILL},
        60000);
    if (code != exit_code)
        test_fail("%s %s %s exits with %d, not %d: %s", argv[count - 1], cents, end, code, exit_code,
                  scratch_read_file(output));
    free(url), free(output), free(scratch), free(directory);
}

static const char *
create_articles(struct postgres *postgres, const struct program *program)
{
    return example_database(postgres, program->example,
                            "grant select, insert, update on article to " POSTGRES_WRITER);
}

/* The price is 12.50, and one event says so, byte for byte what everybody else would have written. */
static void
expect_one_price_and_its_event(PGconn *admin)
{
    cr_expect_eq(postgres_int(admin, "select price_cents from article where sku = '" SKU "'"), 1250);
    cr_expect_eq(postgres_int(admin, "select count(*) from outbox.event"), 1);
    cr_expect_eq(
        postgres_int(admin, "select count(*) from outbox.event where topic = '" TOPIC "'"
                            " and key = convert_to('" SKU "', 'UTF8')"
                            " and payload = convert_to('{\"sku\":\"" SKU "\",\"price_cents\":1250}', 'UTF8')"
                            " and headers = '{\"content-type\": \"application/json\", \"editor\": \"Zoë\"}'"),
        1, "the event is not what was to be emitted");
}

static void
expect_all_or_nothing(const struct program *program)
{
    struct postgres *postgres = postgres_shared();
    const char *database = create_articles(postgres, program);
    int port = postgres_port(postgres);
    PGconn *admin = postgres_open(postgres, database, POSTGRES_ADMIN);

    reprice(program, port, database, "1250", "commit", 0);
    expect_one_price_and_its_event(admin);

    reprice(program, port, database, "900", "rollback", 0);
    expect_one_price_and_its_event(admin);

    postgres_exec(admin, "alter table outbox.event add constraint refuses_all check (false) not valid");
    reprice(program, port, database, "900", "commit", 1);
    expect_one_price_and_its_event(admin);

    reprice(program, scratch_port(), NOWHERE, "900", "commit", 69);

    PQfinish(admin);
    postgres_free(postgres);
}

Test(polyglot, in_go_a_price_and_its_event_are_committed_together_or_not_at_all__P1, .timeout = 400)
{
    expect_all_or_nothing(&go);
}

Test(polyglot, in_node_a_price_and_its_event_are_committed_together_or_not_at_all__P1, .timeout = 400)
{
    expect_all_or_nothing(&node);
}

Test(polyglot, in_java_a_price_and_its_event_are_committed_together_or_not_at_all__P1, .timeout = 400)
{
    expect_all_or_nothing(&java);
}

Test(polyglot, in_spring_a_price_and_its_event_are_committed_together_or_not_at_all__P1, .timeout = 400)
{
    expect_all_or_nothing(&spring);
}

Test(polyglot, wrong_arguments_exit_64, .timeout = 400)
{
    const struct program *programs[] = {&go, &java, &node};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        reprice(programs[i], 1, NOWHERE, "cheap", "commit", 64);
        reprice(programs[i], 1, NOWHERE, "-900", "commit", 64);
        reprice(programs[i], 1, NOWHERE, "9000000000", "commit", 64);
        reprice(programs[i], 1, NOWHERE, "900", "perhaps", 64);
    }
}

Test(polyglot, what_go_java_and_node_emit_arrives_in_kafka_as_it_was_committed__P1, .timeout = 400)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const struct program *programs[] = {&go, &java, &node, &spring}; /* their table is the same */
    const char *database = create_articles(postgres, &go), *topics[] = {TOPIC, NULL};
    broker_create_topic(broker, TOPIC, 3, NULL);
    struct daemon *relay = example_relay(postgres, database, broker);

    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        reprice(programs[i], postgres_port(postgres), database, "1250", "commit", 0);

    cr_expect_eq(example_expect_published(relay, postgres, database, broker, topics), 4,
                 "one for each commit");
    broker_free(broker);
    postgres_free(postgres);
}
