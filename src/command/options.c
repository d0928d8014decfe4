/* options.c: what the commands have in common: --config, --help, one switch, loading the configuration, saying why not. */
#include "command/command.h"

#include "kafka/properties.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

bool
command_parse(int argc, char **argv, const char *flag, const char *help, struct command_options *options,
              int *exit_code)
{
    const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                   {"help", no_argument, NULL, 'h'},
                                   {flag, no_argument, NULL, 'f'},
                                   {NULL, 0, NULL, 0}};
    *options = (struct command_options){.config = COMMAND_DEFAULT_CONFIG};
    optind = 0; /* main looked at the options before; 0 makes glibc start afresh */
    for (int option; (option = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
        switch (option) {
        case 'c':
            options->config = optarg;
            break;
        case 'f':
            options->flag = true;
            break;
        case 'h':
            fputs(help, stdout);
            *exit_code = 0;
            return false;
        default:
            fprintf(stderr, "Try 'outboxd %s --help'.\n", argv[0]);
            *exit_code = error_exit_code(ERROR_USAGE);
            return false;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "outboxd %s: unexpected argument '%s'\nTry 'outboxd %s --help'.\n", argv[0],
                argv[optind], argv[0]);
        *exit_code = error_exit_code(ERROR_USAGE);
        return false;
    }
    return true;
}

int
command_failed(const char *command, const struct error *error)
{
    fprintf(stderr, "outboxd %s: %s\n", command, error->message);
    return error_exit_code(error->kind);
}

bool
command_load(const char *path, struct settings **settings, int *exit_code)
{
    struct error error;
    bool good = settings_load(settings, path, stderr, &error);
    if (!good)
        *exit_code = command_failed("configuration", &error);
    if ((*settings)->kafka_count > 0 && !properties_check(*settings, stderr, &error)) {
        *exit_code = command_failed("configuration", &error);
        good = false;
    }
    if (good)
        return true;
    settings_free(*settings);
    *settings = NULL;
    return false;
}
