/* status.c: `outboxd status`: what the database knows about its relays, their backlog and what holds it up. Reads only. What
 * it means is report.c's to say. */
#include "command/command.h"

#include "command/progress.h"
#include "command/report.h"
#include "postgres/oneshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: outboxd status [--config FILE] [--json]\n"
    "\n"
    "Says who leads and who stands by, how far behind it is, where it is stuck, what it has passed over\n"
    "(dead letters, paused topics), what was asked of it, and what keeps the outbox from being emptied, as\n"
    "the database knows it. The first line is the verdict.\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "      --json          one JSON object, for scripts\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 Postgres answered, whatever it said; 64 usage, 69 it did not, or has no outbox, 70 it\n"
    "gave an answer that must not be, 78 configuration.\n";

static bool
collect(const struct settings *settings, struct inspect_facts *facts, struct status *status,
        struct error *error)
{
    struct session *session;
    if (!oneshot_open(&session, settings, error))
        return false;
    bool good = oneshot_inspect(session, facts, error) && inspect_require_outbox(facts, error) &&
                status_read_relays(session, status, error) && status_read_aside(session, status, error) &&
                status_read_processes(session, status, error) && status_read_slots(session, status, error) &&
                status_read_oldest(session, status, error);
    session_free(session);
    return good;
}

static bool
print(const struct settings *settings, const struct inspect_facts *facts, const struct status *status,
      bool json, struct error *error)
{
    struct report report = report_make(settings, facts, status);
    if (json)
        report_print_json(&report, stdout);
    else
        report_print_text(&report, stdout);
    report_free(&report);
    if (fflush(stdout) != 0)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return true;
}

int
command_status(int argc, char **argv)
{
    bool json = false;
    struct command_option options[] = {{"json", .flag = &json}, {0}};
    struct command_line line = {.help = help, .options = options};
    struct settings *settings = NULL;
    struct inspect_facts facts = {0};
    struct status status = {0};
    struct error error;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    if (!command_load(line.config, &settings, &exit_code))
        return exit_code;
    struct progress *progress = json ? NULL : progress_begin("status", "asking Postgres");
    bool good = collect(settings, &facts, &status, &error);
    progress_end(progress);
    good = good && print(settings, &facts, &status, json, &error);
    exit_code = good ? 0 : command_failed(argv[0], &error);
    status_free(&status);
    inspect_facts_free(&facts);
    settings_free(settings);
    return exit_code;
}
