/* migrate.c: `outboxd migrate`: installs or upgrades the schema as an administrator, or prints the SQL that
 * would do it. Called by main; decides nothing about the schema itself (src/postgres/schema.h). */
#include "command/command.h"

#include "config/secrets.h"
#include "config/units.h"
#include "postgres/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd migrate --conninfo ADMIN [--writer LOGIN].. [--relay LOGIN].. [--consumer LOGIN]..\n"
    "                       [--owner ROLE] [--no-create-roles] [--slot-width DURATION] [--print]\n"
    "\n"
    "Installs the schema \"outbox\" in a database, or upgrades it; may be run again at any time.\n"
    "\n"
    "      --conninfo ADMIN    libpq connection string of an administrator: not necessarily a superuser,\n"
    "                          but with CREATEROLE and with CREATE on the database\n"
    "      --writer LOGIN      a role of the application, made a member of outbox_writer\n"
    "      --relay LOGIN       the role of the daemon, made a member of outbox_relay\n"
    "      --consumer LOGIN    the role of a consumer that keeps its inbox in this database, made a\n"
    "                          member of outbox_consumer\n"
    "      --owner ROLE        the owner of the schema (outbox_owner); another one is\n"
    "                          said at each upgrade too\n"
    "      --no-create-roles   create no role: grant to the named LOGINs themselves, which must exist\n"
    "      --slot-width DURATION\n"
    "                          how long events go into one of the 12 slots (3h): ten times that is the\n"
    "                          longest retention. Only while the outbox is new\n"
    "      --print             print the SQL for psql instead of running it; needs no --conninfo\n"
    "  -c, --config FILE       accepted as by every command; no administrator is in it, so it is not read\n"
    "  -h, --help              this text\n"
    "\n"
    "Role names are taken as Postgres stores them, without quotes. Logins that do not exist are created,\n"
    "without a password. Privileges on the outbox that anybody else has are revoked.\n"
    "Exit codes: 0 done, 64 usage, 69 the database refuses or cannot be reached.\n";

static bool
take_width(void *context, const char *value, struct error *error)
{
    int64_t *width_us = context;
    if (!units_parse_duration(value, width_us, error))
        return error_set(error, ERROR_USAGE, "--slot-width: '%s' is no duration, such as 3h", value);
    return *width_us > 0 || error_set(error, ERROR_USAGE, "--slot-width: '%s' is nothing", value);
}

static void
print_line(void *context, const char *line)
{
    (void)context;
    puts(line);
}

static bool
print_script(const struct schema_wish *wish, struct error *error)
{
    char *script;
    if (!schema_script(&script, wish, error))
        return false;
    printf("-- outboxd %s migrate; for psql\n\\set ON_ERROR_STOP on\n%s", OUTBOXD_VERSION, script);
    free(script);
    return true;
}

static bool
act(const char *conninfo, bool print, const struct schema_wish *wish, struct error *error)
{
    if (conninfo == NULL && !print)
        return error_set(error, ERROR_USAGE, "--conninfo is missing");
    bool done = print ? print_script(wish, error)
                      : schema_migrate(conninfo, wish, print_line, command_waits, "migrate", error);
    if (done && fflush(stdout) != 0)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return done;
}

int
command_migrate(int argc, char **argv)
{
    struct command_list logins[SCHEMA_DUTIES] = {0};
    char *conninfo = NULL;
    const char *owner = NULL;
    bool no_create_roles = false, print = false;
    int64_t slot_width_us = 0;
    struct command_option options[] = {{"conninfo", .secret = &conninfo},
                                       {"writer", .list = &logins[SCHEMA_WRITERS]},
                                       {"relay", .list = &logins[SCHEMA_RELAYS]},
                                       {"consumer", .list = &logins[SCHEMA_CONSUMERS]},
                                       {"owner", .text = &owner},
                                       {"no-create-roles", .flag = &no_create_roles},
                                       {"slot-width", .take = take_width},
                                       {"print", .flag = &print},
                                       {0}};
    struct command_line line = {.help = help, .options = options, .context = &slot_width_us};
    struct error error;
    int exit_code;
    if (command_parse(argc, argv, &line, &exit_code)) {
        struct schema_wish wish = {
            .owner = owner, .create_roles = !no_create_roles, .slot_width_us = slot_width_us};
        for (int i = 0; i < SCHEMA_DUTIES; i++)
            wish.logins[i] = (struct schema_logins){logins[i].texts, logins[i].count};
        bool done = act(conninfo, print, &wish, &error);
        exit_code = done                        ? 0
                    : error.kind == ERROR_USAGE ? command_misused("migrate", error.message)
                                                : command_failed("migrate", &error);
    }
    secrets_wipe(conninfo);
    for (int i = 0; i < SCHEMA_DUTIES; i++)
        free(logins[i].texts);
    return exit_code;
}
