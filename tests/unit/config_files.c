/* config_files.c: which files are read at all, and where secrets may stand. */
#include "unit/config_fixture.h"

#include "config/secrets.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config_files, .init = config_fixture_enter, .fini = config_fixture_leave, .timeout = 20);

static void
expect_load(const char *lines)
{
    struct config_loaded loaded;
    config_fixture_load(&loaded);
    cr_expect_str_eq(loaded.printed, lines, "got:\n%s", loaded.printed);
    settings_free(loaded.settings);
}

static void
write_text(const char *path, const char *text, mode_t mode)
{
    config_fixture_write(path, text, strlen(text), mode);
}

Test(config_files, refuses_what_is_no_regular_file_without_hanging)
{
    expect_load("c.yaml: cannot be opened: No such file or directory\n");
    cr_assert_eq(mkdir("c.yaml", 0700), 0);
    expect_load("c.yaml: is a directory, not a file\n");
    cr_assert_eq(rmdir("c.yaml"), 0);
    cr_assert_eq(mkfifo("c.yaml", 0600), 0);
    expect_load("c.yaml: is not a regular file\n");
    cr_assert_eq(unlink("c.yaml"), 0);
    cr_assert_eq(symlink("/dev/zero", "c.yaml"), 0);
    expect_load("c.yaml: is not a regular file\n");
}

Test(config_files, refuses_100_megabytes_unread)
{
    write_text("c.yaml", CONFIG_LEAST, 0600);
    cr_assert_eq(truncate("c.yaml", 100 << 20), 0);
    expect_load("c.yaml: is larger than 1024 KiB\n");
}

Test(config_files, takes_one_mebibyte_and_not_a_byte_more)
{
    static char text[(1 << 20) + 1];
    memset(text, '#', sizeof text);
    memcpy(text, CONFIG_LEAST, sizeof CONFIG_LEAST - 1);
    config_fixture_write("c.yaml", text, sizeof text - 1, 0600);
    expect_load("");
    config_fixture_write("c.yaml", text, sizeof text, 0600);
    expect_load("c.yaml: is larger than 1024 KiB\n");
}

Test(config_files, follows_a_symbolic_link_to_the_configuration)
{
    write_text("real.yaml", CONFIG_LEAST, 0600);
    cr_assert_eq(symlink("real.yaml", "c.yaml"), 0);
    expect_load("");
}

Test(config_files, warns_when_everybody_may_write_the_configuration)
{
    write_text("c.yaml", CONFIG_LEAST, 0602);
    expect_load("c.yaml: warning: everybody may write to this file\n");
}

Test(config_files, refuses_a_secret_in_a_file_that_everybody_may_read)
{
    static const char TEXT[] = "source: shop\n"
                               "postgres: {conninfo: 'password=hunter2 dbname=shop'}\n"
                               "kafka:\n"
                               "  bootstrap.servers: localhost:9092\n"
                               "  sasl.password: hunter2\n"
                               "  sasl.username: outboxd\n"
                               "  ssl.key.password: hunter2\n";
    static const char LINES[] =
        "c.yaml:2: postgres.conninfo: holds a password in a file that everybody may read: "
        "chmod it to 0640, or use postgres.password_file\n"
        "c.yaml:5: kafka.sasl.password: is a secret in a file that everybody may read: chmod "
        "it to 0640, or use sasl.password_file\n"
        "c.yaml:7: kafka.ssl.key.password: is a secret in a file that everybody may read: "
        "chmod it to 0640, or use ssl.key.password_file\n";
    write_text("c.yaml", TEXT, 0644);
    expect_load(LINES);
    write_text("c.yaml", TEXT, 0604);
    expect_load(LINES);
    write_text("c.yaml", TEXT, 0640);
    expect_load("");
    write_text("c.yaml", CONFIG_LEAST, 0644);
    expect_load("");
}

/* A configuration that names "secret" in this directory twice. */
static void
write_with_secret_files(mode_t mode)
{
    char place[200], text[1000];
    cr_assert_not_null(getcwd(place, sizeof place));
    snprintf(text, sizeof text,
             "source: shop\n"
             "postgres:\n"
             "  conninfo: dbname=shop\n"
             "  password_file: %s/secret\n"
             "kafka:\n"
             "  bootstrap.servers: localhost:9092\n"
             "  sasl.password_file: %s/secret\n"
             "  client.id_file: %s/secret\n",
             place, place, place);
    write_text("c.yaml", text, mode);
}

Test(config_files, reads_secrets_from_files_of_their_own)
{
    struct config_loaded loaded;
    write_text("secret", "hunter2\n", 0400);
    write_with_secret_files(0644);
    config_fixture_load(&loaded);
    cr_assert_str_empty(loaded.printed);
    cr_assert_not_null(loaded.settings);
    cr_expect_str_eq(loaded.settings->postgres_password, "hunter2");
    cr_assert_eq(loaded.settings->kafka_count, 3);
    cr_expect_str_eq(loaded.settings->kafka[1].name, "sasl.password");
    cr_expect_str_eq(loaded.settings->kafka[1].value, "hunter2");
    cr_expect(loaded.settings->kafka[1].secret);
    cr_expect_str_eq(loaded.settings->kafka[2].name, "client.id");
    cr_expect(loaded.settings->kafka[2].secret, "whatever comes from a file of its own is a secret");
    settings_free(loaded.settings);
}

Test(config_files, names_the_line_of_a_secret_that_cannot_be_read)
{
    char place[200], lines[1200];
    write_with_secret_files(0600);
    cr_assert_not_null(getcwd(place, sizeof place));
    snprintf(lines, sizeof lines,
             "c.yaml:4: postgres.password_file: \"%s/secret\" cannot be opened: No such file or directory\n"
             "c.yaml:7: kafka.sasl.password_file: \"%s/secret\" cannot be opened: No such file or directory\n"
             "c.yaml:8: kafka.client.id_file: \"%s/secret\" cannot be opened: No such file or directory\n",
             place, place, place);
    expect_load(lines);
}

Test(config_files, refuses_a_password_that_is_given_twice)
{
    char place[200], text[1000];
    write_text("secret", "hunter2\n", 0400);
    cr_assert_not_null(getcwd(place, sizeof place));
    snprintf(text, sizeof text,
             "source: shop\n"
             "postgres: {conninfo: 'password=x', password_file: %s/secret}\n"
             "kafka:\n"
             "  bootstrap.servers: localhost:9092\n"
             "  sasl.password: hunter2\n"
             "  sasl.password_file: %s/secret\n",
             place, place);
    config_fixture_expect(
        text, "c.yaml:2: postgres.conninfo: holds a password, and so does postgres.password_file\n"
              "c.yaml:6: kafka.sasl.password_file: given twice, as value and as file; first on line 5\n");
}

static void
expect_secret(const char *expected)
{
    char place[200], path[300], *secret;
    struct error error;
    cr_assert_not_null(getcwd(place, sizeof place));
    snprintf(path, sizeof path, "%s/secret", place);
    cr_assert(secrets_read(&secret, path, &error), "%s", error.message);
    cr_expect_str_eq(secret, expected);
    secrets_wipe(secret);
}

static void
expect_no_secret(const char *reason)
{
    char place[200], path[300], message[600], *secret = path;
    struct error error;
    cr_assert_not_null(getcwd(place, sizeof place));
    snprintf(path, sizeof path, "%s/secret", place);
    snprintf(message, sizeof message, "\"%s\" %s", path, reason);
    cr_assert_not(secrets_read(&secret, path, &error));
    cr_expect_null(secret);
    cr_expect_eq(error.kind, ERROR_CONFIG);
    cr_expect_str_eq(error.message, message);
}

Test(config_files, strips_one_newline_from_a_secret_and_nothing_else)
{
    write_text("secret", "a b\n", 0600);
    expect_secret("a b");
    write_text("secret", "a\r\n", 0600);
    expect_secret("a");
    write_text("secret", " a\n\n", 0600);
    expect_secret(" a\n");
    write_text("secret", "a", 0640);
    expect_secret("a");
    write_text("secret", "a\r", 0440);
    expect_secret("a\r");
}

Test(config_files, refuses_secrets_without_content)
{
    write_text("secret", "", 0600);
    expect_no_secret("is empty");
    write_text("secret", "\n", 0600);
    expect_no_secret("is empty");
    config_fixture_write("secret", "a\0b", 3, 0600);
    expect_no_secret("holds a NUL byte");
    cr_assert_eq(truncate("secret", 65537), 0);
    expect_no_secret("is larger than 64 KiB");
}

Test(config_files, refuses_secrets_that_others_may_use)
{
    static const mode_t MODES[] = {0644, 0604, 0602, 0601, 0620, 0660, 0666, 0777};
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        char message[200];
        snprintf(message, sizeof message,
                 "has mode %04o: others may use it; chmod it to 0400, 0440, 0600 or 0640", MODES[i]);
        write_text("secret", "a", MODES[i]);
        expect_no_secret(message);
    }
}

Test(config_files, refuses_secrets_of_another_user)
{
    write_text("secret", "a", 0600);
    if (chown("secret", 4711, (gid_t)-1) != 0)
        cr_skip_test("only root can give files away");
    expect_no_secret("belongs to uid 4711, not to root or to the user who runs outboxd (uid 0)");
}

Test(config_files, refuses_secrets_that_are_no_regular_files_without_hanging)
{
    write_text("real", "a", 0600);
    cr_assert_eq(symlink("real", "secret"), 0);
    expect_no_secret("is a symbolic link; name the file that it points to");
    cr_assert_eq(unlink("secret"), 0);
    cr_assert_eq(mkfifo("secret", 0600), 0);
    expect_no_secret("is not a regular file");
    cr_assert_eq(unlink("secret"), 0);
    cr_assert_eq(mkdir("secret", 0700), 0);
    expect_no_secret("is a directory, not a file");
}

Test(config_files, refuses_a_relative_path_to_a_secret)
{
    struct error error;
    char *secret;
    cr_expect_not(secrets_read(&secret, "secret", &error));
    cr_expect_str_eq(error.message, "must be the absolute path of a file");
}

Test(config_files, knows_which_properties_are_secrets)
{
    static const char *const SECRET[] = {"sasl.password", "ssl.key.password", "ssl.keystore.password",
                                         "ssl.key.pem", "sasl.oauthbearer.client.secret"};
    static const char *const PLAIN[] = {"sasl.username", "ssl.ca.pem", "ssl.certificate.pem",
                                        "ssl.key.location", "bootstrap.servers"};
    for (size_t i = 0; i < 5; i++) {
        cr_expect(secrets_is_secret_property(SECRET[i]), "%s", SECRET[i]);
        cr_expect_not(secrets_is_secret_property(PLAIN[i]), "%s", PLAIN[i]);
    }
}

/* No message may show a value of a secret, whatever is wrong around it. */
Test(config_files, never_prints_a_secret)
{
    static const char *const TEXTS[] = {
        CONFIG_LEAST "  sasl.password: hunter2\n  sasl.password: hunter2\n",
        CONFIG_LEAST "  sasl.password: &a hunter2\n  ssl.key.password: [hunter2]\n",
        CONFIG_LEAST "  sasl.password: \"hunter2\nlease: 3s\n",
        "postgres: {conninfo: 'host=db.example.org password=hunter2'}\n",
        "postgres: {conninfo: 'postgresql://u:hunter2@db.example.org/x'}\n",
        "postgres: {conninfo: ['password=hunter2']}\n",
        "postgres: {password_file: hunter2}\n",
        CONFIG_LEAST "  sasl.password_file: hunter2\n",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        struct config_loaded loaded;
        write_text("c.yaml", TEXTS[i], 0644);
        config_fixture_load(&loaded);
        cr_expect_null(loaded.settings);
        cr_expect_null(strstr(loaded.printed, "hunter2"), "%s", loaded.printed);
        cr_expect_null(strstr(loaded.error.message, "hunter2"));
    }
}
