/* commands_fixture.c: see commands_fixture.h. */
#include "commands_fixture.h"

#include "base/clock.h"
#include "command/command.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
command_config(const struct outbox *outbox, const char *user, const char *more)
{
    char *directory = scratch_directory("command");
    char *path = must_format("%s/config.yaml", directory);
    char *text = must_format(
        "source: shop\npostgres:\n  conninfo: \"%s\"\nkafka:\n  bootstrap.servers: \"127.0.0.1:1\"\n%s",
        postgres_conninfo(outbox->server, outbox->database, user),
        more != NULL ? more : "lease: 1m\n"); /* longer than any stall of the machine */
    scratch_write_file(path, text);
    free(text);
    free(directory);
    return path;
}

struct ran
run_command(int (*command)(int argc, char **argv), const char *const *arguments)
{
    char *directory = scratch_directory("ran"), *argv[16] = {NULL};
    char *out = must_format("%s/out", directory), *err = must_format("%s/err", directory);
    int argc = 0;
    for (; arguments[argc] != NULL; argc++) {
        cr_assert_lt((size_t)argc + 1, sizeof argv / sizeof *argv);
        argv[argc] = must_strdup(arguments[argc]);
    }
    cr_assert(freopen(out, "w", stdout) != NULL && freopen(err, "w", stderr) != NULL);
    struct ran ran = {.exit_code = command(argc, argv)};
    fflush(stdout);
    fflush(stderr);
    ran.out = scratch_read_file(out);
    ran.err = scratch_read_file(err);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    free(err);
    free(out);
    free(directory);
    return ran;
}

struct ran
run_with(int (*command)(int argc, char **argv), const char *name, const char *config,
         const char *const *arguments)
{
    const char *all[16] = {name, "--config", config};
    for (size_t i = 0; arguments[i] != NULL; i++)
        all[3 + i] = arguments[i];
    return run_command(command, all);
}

void
expect_ran(struct ran ran, int exit_code, const char *out, const char *err)
{
    cr_assert_eq(ran.exit_code, exit_code, "exit code %d: %s%s", ran.exit_code, ran.out, ran.err);
    cr_assert(out == NULL || strstr(ran.out, out) != NULL, "\"%s\" is not in: %s", out, ran.out);
    cr_assert(err == NULL || strstr(ran.err, err) != NULL, "\"%s\" is not in: %s", err, ran.err);
    ran_free(&ran);
}

struct ran
run_status(const char *config, bool json)
{
    return run_command(command_status,
                       (const char *[]){"status", "--config", config, json ? "--json" : NULL, NULL});
}

void
ran_free(struct ran *ran)
{
    free(ran->out);
    free(ran->err);
    *ran = (struct ran){0};
}

json_t *
status_object(const struct outbox *outbox)
{
    char *config = command_config(outbox, POSTGRES_RELAY, NULL);
    struct ran ran = run_status(config, true);
    cr_assert_eq(ran.exit_code, 0, "%s", ran.err);
    json_error_t error;
    json_t *object = json_loads(ran.out, 0, &error);
    cr_assert(json_is_object(object), "%s in: %s", error.text, ran.out);
    ran_free(&ran);
    free(config);
    return object;
}

json_t *
status_relay_of(const json_t *object)
{
    json_t *relays = json_object_get(object, "relays");
    cr_assert_eq(json_array_size(relays), 1);
    return json_array_get(relays, 0);
}

json_t *
status_slot_of(const struct outbox *outbox, const json_t *object)
{
    int64_t slot = postgres_int(outbox->admin, "select slot from outbox.event order by id desc limit 1");
    json_t *slots = json_object_get(object, "slots");
    cr_assert_eq(json_array_size(slots), 12);
    return json_array_get(slots, (size_t)slot);
}

int64_t
status_integer(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s is no integer", key);
    return json_integer_value(value);
}

const char *
status_text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    cr_assert(value != NULL, "%s is no text", key);
    return value;
}

double
status_real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_real(value), "%s is no number", key);
    return json_real_value(value);
}

void
emit_events(PGconn *writer, const char *topic, int64_t count)
{
    postgres_exec(writer,
                  "insert into outbox.event (topic, key, payload) select '%s', 'k', 'payload' from "
                  "generate_series(1, %lld)",
                  topic, (long long)count);
}

struct driver *
lead_outbox(const struct outbox *outbox)
{
    return driver_open(postgres_conninfo(outbox->server, outbox->database, POSTGRES_RELAY), "main");
}

void
confirm_tick(struct driver *driver, int64_t seq, int64_t id, bool release)
{
    struct error error;
    struct journal_stepped stepped = {0};
    driver->confirmed = (struct journal_position){seq, id};
    const struct journal_exact exact = {0};
    const struct journal_row_next next = {&driver->self, driver->confirmed, &exact};
    journal_ask_confirm(driver->session, &next, release, clock_monotonic_us());
    driver_wait(driver);
    cr_assert(journal_read_confirm(driver->session, &driver->self, &stepped, &error), "%s", error.message);
    cr_assert(stepped.appended);
    journal_stepped_clear(&stepped);
}
