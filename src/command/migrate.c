/* migrate.c: `outboxd migrate`: installs or upgrades the schema as an administrator, or prints the SQL that
 * would do it. Called by main; decides nothing about the schema itself (src/postgres/schema.h). */
#include "command/command.h"

#include "config/units.h"
#include "postgres/schema.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd migrate --conninfo ADMIN [--writer LOGIN].. [--relay LOGIN].. [--owner ROLE]\n"
    "                       [--no-create-roles] [--slot-width DURATION] [--print]\n"
    "\n"
    "Installs the schema \"outbox\" in a database, or upgrades it; may be run again at any time.\n"
    "\n"
    "      --conninfo ADMIN    libpq connection string of an administrator: not necessarily a superuser,\n"
    "                          but with CREATEROLE and with CREATE on the database\n"
    "      --writer LOGIN      a role of the application, made a member of outbox_writer\n"
    "      --relay LOGIN       the role of the daemon, made a member of outbox_relay\n"
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
    "Exit codes: 0 done, 64 usage, 69 the database refuses or cannot be reached, 78 configuration.\n";

struct migrate_options {
    const char *conninfo;
    struct schema_wish wish;
    bool print;
    bool help;
};

static bool
parse_width(const char *text, int64_t *width_us, struct error *error)
{
    if (!units_parse_duration(text, width_us, error))
        return error_set(error, ERROR_USAGE, "--slot-width: '%s' is no duration, such as 3h", text);
    return *width_us > 0 || error_set(error, ERROR_USAGE, "--slot-width: '%s' is nothing", text);
}

/* Arrays of argc elements: more names than arguments cannot be given. */
static bool
parse_options(int argc, char **argv, struct migrate_options *options, const char **writers,
              const char **relays, struct error *error)
{
    static const struct option names[] = {{"conninfo", required_argument, NULL, 'a'},
                                          {"writer", required_argument, NULL, 'w'},
                                          {"relay", required_argument, NULL, 'r'},
                                          {"owner", required_argument, NULL, 'o'},
                                          {"no-create-roles", no_argument, NULL, 'n'},
                                          {"slot-width", required_argument, NULL, 's'},
                                          {"print", no_argument, NULL, 'p'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *options = (struct migrate_options){.wish = {.writers = writers, .relays = relays, .create_roles = true}};
    optind = 0; /* the command line may have been scanned before */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:h", names, NULL)) != -1;) {
        switch (option) {
        case 'a':
            options->conninfo = optarg;
            break;
        case 'w':
            writers[options->wish.writer_count++] = optarg;
            break;
        case 'r':
            relays[options->wish.relay_count++] = optarg;
            break;
        case 'o':
            options->wish.owner = optarg;
            break;
        case 'n':
            options->wish.create_roles = false;
            break;
        case 's':
            if (!parse_width(optarg, &options->wish.slot_width_us, error))
                return false;
            break;
        case 'p':
            options->print = true;
            break;
        case 'c':
            break;
        case 'h':
            options->help = true;
            return true;
        default:
            return error_set(error, ERROR_USAGE, "%s", command_bad_option(argc, argv, option));
        }
    }
    if (optind < argc)
        return error_set(error, ERROR_USAGE, "%s", command_bad_argument(argv[optind]));
    if (options->conninfo == NULL && !options->print)
        return error_set(error, ERROR_USAGE, "--conninfo is missing");
    return true;
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

int
command_migrate(int argc, char **argv)
{
    struct migrate_options options;
    struct error error = {.kind = ERROR_NONE};
    const char **writers = must_calloc((size_t)argc, sizeof *writers);
    const char **relays = must_calloc((size_t)argc, sizeof *relays);
    bool done = parse_options(argc, argv, &options, writers, relays, &error);
    if (done && options.help)
        fputs(help, stdout);
    else if (done && options.print)
        done = print_script(&options.wish, &error);
    else if (done)
        done = schema_migrate(options.conninfo, &options.wish, print_line, command_waits, "migrate", &error);
    free(writers);
    free(relays);
    if (done && fflush(stdout) != 0)
        done = error_set(&error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    if (done)
        return 0;
    return error.kind == ERROR_USAGE ? command_misused("migrate", error.message)
                                     : command_failed("migrate", &error);
}
