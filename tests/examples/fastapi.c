/* fastapi.c: the FastAPI example, judged by its own tests (pytest, through HTTP, examples/fastapi/tests) while the relay
 * publishes what it commits; then Kafka is compared with the outbox. */
#include "fixture.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#define SIGNED_UP "shop.user.signed_up"
#define REDEEMED "shop.voucher.redeemed"

static void
set_url(const char *variable, const char *scheme, const char *user, struct postgres *postgres,
        const char *database)
{
    char *url = must_format("%s://%s@127.0.0.1:%d/%s", scheme, user, postgres_port(postgres), database);
    if (setenv(variable, url, 1) != 0)
        test_fail("cannot set %s", variable);
    free(url);
}

/* Runs the example's tests; what they print is part of this one's output when they fail. */
static void
run_pytest(struct postgres *postgres, const char *database)
{
    char *directory = example_prepare("fastapi"), *scratch = scratch_directory("fastapi");
    char *python = must_format("%s/venv/bin/python", directory), *output = must_format("%s/pytest", scratch);
    set_url("DATABASE_URL", "postgresql+psycopg", POSTGRES_WRITER, postgres, database);
    set_url("ADMIN_DATABASE_URL", "postgresql", POSTGRES_ADMIN, postgres, database);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    const char *argv[] = {python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/fastapi/tests",
                          NULL};
    int code = process_run(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGKILL}, 150000);
    if (code != 0)
        test_fail("pytest exits with %d: %s", code, scratch_read_file(output));
    free(output), free(python), free(scratch), free(directory);
}

Test(fastapi, its_sign_ups_are_all_or_nothing_and_arrive_in_kafka_as_they_were_committed__P1, .timeout = 500)
{
    struct postgres *postgres = postgres_shared();
    struct broker *broker = broker_shared();
    const char *topics[] = {SIGNED_UP, REDEEMED, NULL};
    const char *database =
        example_database(postgres, "fastapi",
                         "grant select, insert, update on account, app_user, redemption to " POSTGRES_WRITER
                         "; grant select on voucher to " POSTGRES_WRITER);
    broker_create_topic(broker, SIGNED_UP, 3, NULL);
    broker_create_topic(broker, REDEEMED, 3, NULL);
    struct daemon *relay = example_relay(postgres, database, broker);

    run_pytest(postgres, database);

    cr_expect_gt(example_expect_published(relay, postgres, database, broker, topics), 60);
    broker_free(broker);
    postgres_free(postgres);
}
