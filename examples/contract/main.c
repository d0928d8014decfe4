/* main.c: options, connections and exit codes; everything worth copying is in the other files. */
#include "stop.h"
#include "worker.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_NOT_ALL = 1, EXIT_USAGE = 64, EXIT_UNAVAILABLE = 69 };

struct options {
    const char *conninfo;
    struct api_options api;
    struct sync_options sync;
    bool run; /* the loop; else the contracts below, once */
    char **ids;
    int id_count;
};

static void
usage(FILE *to)
{
    fputs(
        "usage: contract fetch --api URL --conninfo CONNINFO [OPTION].. ID..\n"
        "       contract run   --api URL --conninfo CONNINFO [OPTION]..\n"
        "Brings contracts from another company's API into the database, header and items in one transaction, "
        "with\n"
        "the event contract.stored. fetch: these, now. run: the jobs in contract_job, until SIGTERM.\n"
        "  --api URL                of http or https; /contracts/ID is appended\n"
        "  --conninfo TEXT          libpq keywords or URI; the role needs what `outboxd migrate --writer` "
        "grants\n"
        "  --request-timeout-ms N   of one request, 1 to 600000 (10000)\n"
        "  --attempts N             of one request, 1 to 20, with growing pauses (4)\n"
        "  --deadline-ms N          for all requests of one contract, pauses included, 1 to 600000 (60000)\n"
        "  --retry-ms N             run: before a contract is tried again, doubling, 1 to 3600000 (60000)\n"
        "  --refresh-ms N           run: before a stored one is looked at again; 0 is never (0)\n"
        "  --help                   this text\n"
        "Exit code: 0 when SIGTERM ended run, or every contract was stored or unchanged; 1 when one was "
        "not;\n"
        "64 for wrong options; 69 when Postgres cannot be reached at the start.\n",
        to);
}

static bool
complain(const char *what, const char *about)
{
    fprintf(stderr, "contract: %s%s\n", what, about);
    return false;
}

static bool
parse_number(const char *option, const char *text, long least, long most, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && *number >= least && *number <= most)
        return true;
    fprintf(stderr, "contract: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
    return false;
}

static bool
parse_option(struct options *options, int option, const char *name)
{
    long number = 0;
    bool good = true;
    if (option == 'a')
        options->api.url = optarg;
    else if (option == 'c')
        options->conninfo = optarg;
    else if (option == 't' && (good = parse_number(name, optarg, 1, 600000, &number)))
        options->api.request_timeout_ms = (int)number;
    else if (option == 'n' && (good = parse_number(name, optarg, 1, 20, &number)))
        options->api.attempts = (int)number;
    else if (option == 'd' && (good = parse_number(name, optarg, 1, 600000, &number)))
        options->sync.deadline_ms = (int)number;
    else if (option == 'r' && (good = parse_number(name, optarg, 1, 3600000, &number)))
        options->sync.retry_ms = number;
    else if (option == 'f' && (good = parse_number(name, optarg, 0, 604800000, &number)))
        options->sync.refresh_ms = number;
    return good && option != '?'; /* getopt_long has said why */
}

static bool
check_arguments(struct options *options, int argc, char **argv)
{
    bool good = true;
    if (options->api.url == NULL)
        good = complain("--api is missing", "");
    if (options->conninfo == NULL)
        good = complain("--conninfo is missing", "");
    const char *command = optind < argc ? argv[optind] : "";
    options->run = strcmp(command, "run") == 0;
    options->ids = argv + optind + 1;
    options->id_count = argc - optind - 1;
    if (!options->run && strcmp(command, "fetch") != 0)
        return complain("the command is fetch or run, not ", *command != '\0' ? command : "nothing");
    if (options->run && options->id_count > 0)
        good =
            complain("run takes its contracts from the table contract_job, not from here: ", options->ids[0]);
    if (!options->run && options->id_count == 0)
        good = complain("fetch which contract?", "");
    for (int i = 0; i < options->id_count; i++)
        if (!contract_id_is_legal(options->ids[i]))
            good = complain("an id has 1 to 64 of A-Z a-z 0-9 _ -: ", options->ids[i]);
    return good;
}

static bool
parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"api", required_argument, NULL, 'a'},
                                          {"conninfo", required_argument, NULL, 'c'},
                                          {"request-timeout-ms", required_argument, NULL, 't'},
                                          {"attempts", required_argument, NULL, 'n'},
                                          {"deadline-ms", required_argument, NULL, 'd'},
                                          {"retry-ms", required_argument, NULL, 'r'},
                                          {"refresh-ms", required_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    bool good = true;
    int option, at = 0;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
        if (option == 'h') {
            usage(stdout);
            exit(0);
        }
        good &= parse_option(options, option, names[at].name);
    }
    return good && check_arguments(options, argc, argv);
}

/* One after the other, each a unit of its own: what fails takes no other along. */
static int
fetch_all(PGconn *db, struct api *api, const struct options *options)
{
    int code = 0;
    for (int i = 0; i < options->id_count && !stop_within(0); i++) {
        struct result result;
        struct outbox_error error;
        const char *id = options->ids[i];
        if (PQstatus(db) != CONNECTION_OK)
            PQreset(db);
        bool done = sync_contract(db, api, id, &options->sync, &result, &error);
        if (done)
            worker_print(id, &result);
        else
            fprintf(stderr, "contract: %s: %s; run it again\n", id, error.message);
        if (!done || (result.outcome != OUTCOME_STORED && result.outcome != OUTCOME_UNCHANGED))
            code = EXIT_NOT_ALL;
    }
    return stop_within(0) ? EXIT_NOT_ALL : code;
}

static int
execute(const struct options *options)
{
    struct result result;
    struct api *api = api_open(&options->api, &result);
    if (api == NULL) {
        complain("--api: ", result.why);
        return EXIT_USAGE;
    }
    int code = 0;
    PGconn *db = PQconnectdb(options->conninfo);
    if (PQstatus(db) != CONNECTION_OK) {
        fprintf(stderr, "contract: cannot connect: %s", PQerrorMessage(db));
        code = EXIT_UNAVAILABLE;
    } else if (options->run) {
        worker_run(db, api, &options->sync);
    } else {
        code = fetch_all(db, api, options);
    }
    PQfinish(db);
    api_close(api);
    return code;
}

int
main(int argc, char **argv)
{
    struct options options = {.api = {.request_timeout_ms = 10000, .attempts = 4},
                              .sync = {.deadline_ms = 60000, .retry_ms = 60000}};
    if (!parse_options(&options, argc, argv)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    stop_prepare();
    return execute(&options);
}
