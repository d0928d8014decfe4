/* commands_secrets.c: what a person writes in the wrong place, or forgets to quote, is often a password: no message repeats it
 * (row 83). The real binary, without servers. */
#include "support/relay.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

TestSuite(commands_secrets, .timeout = 120);

#define SECRET "hunted-6b1"

static void
hunt(struct outboxd_result *result, const char *what)
{
    cr_expect(strstr(result->out, SECRET) == NULL && strstr(result->err, SECRET) == NULL, "of %s:\n%s%s",
              what, result->out, result->err);
    cr_expect_neq(result->exit_code, 0, "%s", what);
    outboxd_result_free(result);
}

/* Blanks, quotes, slashes, question marks and @ in a password, not escaped as libpq wants it; names that are misspelt. */
static const char *const conninfos[] = {
    "host=127.0.0.1 port=1 password=my " SECRET,
    "host=127.0.0.1 port=1 password=my\\\" " SECRET "\\\" too",
    "host=127.0.0.1 port=1 password = '" SECRET,
    "host=127.0.0.1 port=1 password=my " SECRET "=x",
    "host=127.0.0.1 port=1 password:" SECRET,
    "host=127.0.0.1 port=1 pasword=" SECRET,
    "host=127.0.0.1 port=1 password=" SECRET,
    "host=127.0.0.1 port=70000 password=" SECRET,
    "postgresql://relay:" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "@[::1/shop",
    "postgresql://relay:" SECRET "@[::1]x/shop",
    "postgresql://relay:" SECRET "%zz@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "%00@127.0.0.1:1/shop",
    "postgresql://relay:" SECRET "/more@127.0.0.1:1/shop",
    "postgresql://relay:my/" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:my@" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay:my?" SECRET "@127.0.0.1:1/shop",
    "postgresql://relay@127.0.0.1:1/shop?password=" SECRET "&sslmod=1",
    "postgresql://relay@127.0.0.1:1/shop?password=" SECRET "=",
    "postgresql://relay@127.0.0.1:1/shop?pasword=" SECRET,
    "127.0.0.1 " SECRET,
    SECRET,
};

Test(commands_secrets, a_conninfo_with_a_mistake_in_it_is_not_repeated__row_83)
{
    char *directory = scratch_directory("secret"), *path = must_format("%s/config.yaml", directory);
    for (size_t i = 0; i < sizeof conninfos / sizeof *conninfos; i++) {
        const char *conninfo = conninfos[i];
        char *text = must_format("source: test\npostgres:\n  conninfo: \"%s\"\n"
                                 "kafka:\n  bootstrap.servers: \"127.0.0.1:1\"\n",
                                 conninfo);
        scratch_write_file(path, text);
        cr_assert_eq(chmod(path, 0600), 0);
        struct outboxd_result result = outboxd_run((const char *[]){"status", "--config", path, NULL});
        hunt(&result, conninfo);
        result = outboxd_run((const char *[]){"migrate", "--conninfo", conninfo, NULL});
        hunt(&result, conninfo);
        free(text);
    }
    free(path), free(directory);
}

/* A line is one of a configuration that is otherwise right. */
static const struct {
    const char *postgres, *kafka, *more;
} files[] = {
    {"password_file: " SECRET, "", ""},
    {"password: " SECRET, "", ""},
    {"password_file: [" SECRET "]", "", ""},
    {"conninfo: \"host=127.0.0.1 password=" SECRET, "", ""},
    {"conninfo: {password: " SECRET "}", "", ""},
    {"conninfo: host=127.0.0.1 password=" SECRET ": x", "", ""},
    {"", "sasl.password_file: " SECRET, ""},
    {"", "sasl.pasword: " SECRET, ""},
    {"", "sasl.password: [" SECRET "]", ""},
    {"", "sasl.password: &a " SECRET "\n  sasl.mechanisms: none-such", ""},
    {"", "sasl.jaas.config: \"username=u password=" SECRET "\"", ""},
    {"", "ssl.key.password: " SECRET "\n  ssl.key.location: /nonexistent", ""},
    {"", "ssl.key.pem: " SECRET, ""},
    {"", "", "password: " SECRET},
    {"", "", SECRET},
    {"", "", "log: {level: info, pasword: " SECRET "}"},
    {"", "", "\tpassword: " SECRET},
};

Test(commands_secrets, a_password_in_the_wrong_place_of_the_configuration_is_not_repeated__row_83)
{
    char *directory = scratch_directory("secret"), *path = must_format("%s/config.yaml", directory);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bool conninfo = strncmp(files[i].postgres, "conninfo", 8) == 0;
        char *text =
            must_format("source: test\npostgres:\n  %s\n  %s\nkafka:\n  bootstrap.servers: \"\"\n  %s\n%s\n",
                        conninfo ? "" : "conninfo: \"host=127.0.0.1 port=1\"", files[i].postgres,
                        files[i].kafka, files[i].more);
        scratch_write_file(path, text);
        cr_assert_eq(chmod(path, 0600), 0);
        struct outboxd_result result = outboxd_run((const char *[]){"run", "--config", path, NULL});
        cr_expect_eq(result.exit_code, 78, "%s: %s", text, result.err);
        hunt(&result, text);
        free(text);
    }
    free(path), free(directory);
}

Test(commands_secrets, an_argument_that_was_not_quoted_is_not_repeated__row_83)
{
    static const char *const lines[][6] = {
        {"migrate", "--conninfo", "host=127.0.0.1", "password=" SECRET, NULL},
        {"migrate", "--pasword=" SECRET, NULL},
        {"rebase", "--conninfo", "host=127.0.0.1", "password=" SECRET, NULL},
        {"check", "password=" SECRET, NULL},
        {"status", "--password=" SECRET, NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct outboxd_result result = outboxd_run(lines[i]);
        cr_expect_eq(result.exit_code, 64, "%s", result.err);
        hunt(&result, lines[i][0]);
    }
}
