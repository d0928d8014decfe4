/* dead.c: `outboxd dead list | show | retry | discard`: the dead letters of a relay. Called by main. Its options are parsed in
 * dead_options.c; retries and discards are dead_ask.c's. */
#include "command/dead_ask.h"
#include "command/dead_print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a payload on a terminal: some screens. */
#define SHOWN_BYTES 16384

static bool
list(struct asking *asking, const struct dead_options *options, struct error *error)
{
    struct dead_list dead;
    bool good = dead_read_list(asking->session, asking->settings->relay, options->topic, options->limit,
                               &dead, error);
    if (good && options->json)
        dead_print_list_json(&dead, stdout);
    else if (good)
        dead_print_list(&dead, stdout);
    dead_list_free(&dead);
    return good;
}

static bool
show(struct asking *asking, const struct dead_options *options, struct error *error)
{
    struct dead_letter letter;
    struct requests requests = {0};
    const char *relay = asking->settings->relay;
    bool good = dead_read_letter(asking->session, relay, options->ids[0], &letter, error) &&
                requests_read_event(asking->session, relay, options->ids[0], &requests, error);
    if (good && options->json)
        dead_print_letter_json(&letter, &requests, stdout);
    else if (good)
        dead_print_letter(&letter, &requests, isatty(STDOUT_FILENO) ? SHOWN_BYTES : SIZE_MAX, stdout);
    requests_free(&requests);
    dead_letter_free(&letter);
    return good;
}

static bool
act(const struct settings *settings, const struct dead_options *options, struct error *error)
{
    struct asking asking;
    bool reads = options->action == DEAD_LIST || options->action == DEAD_SHOW;
    bool good = asking_open(&asking, "dead", settings, reads, error) && dead_prepare(asking.session, error) &&
                requests_prepare(asking.session, error);
    if (good && options->action == DEAD_LIST)
        good = list(&asking, options, error);
    else if (good && options->action == DEAD_SHOW)
        good = show(&asking, options, error);
    else if (good)
        good = dead_ask_leader(&asking, options, error);
    asking_close(&asking);
    if (fflush(stdout) != 0 && good)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good;
}

int
command_dead(int argc, char **argv)
{
    struct dead_options options;
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (dead_options_parse(argc, argv, &options, &exit_code) &&
        command_load(options.config, &settings, &exit_code)) {
        exit_code = act(settings, &options, &error) ? 0 : command_failed("dead", &error);
        settings_free(settings);
    }
    free(options.ids);
    return exit_code;
}
