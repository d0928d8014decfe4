/* options.c: what the commands have in common: --config, --help, one switch, loading the configuration, saying why not. */
#include "command/command.h"

#include "kafka/properties.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of NAME=VALUE: the value may be a password. */
static int
name_size(const char *word)
{
    size_t size = strcspn(word, "=");
    return size < 60 ? (int)size : 60;
}

/* An unknown long option leaves no letter; one in a cluster of letters is not an argument of its own. */
const char *
command_bad_option(int argc, char **argv, int met)
{
    static char text[128];
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    if (met == ':')
        snprintf(text, sizeof text, "%.60s needs a value", word);
    else if (optopt > 0 && strncmp(word, "--", 2) != 0)
        snprintf(text, sizeof text, "unknown option -%c", optopt);
    else
        snprintf(text, sizeof text, "unknown option %.*s", name_size(word), word);
    return text;
}

const char *
command_bad_argument(const char *argument)
{
    static char text[128];
    snprintf(text, sizeof text, "unexpected argument %.*s%s", name_size(argument), argument,
             strchr(argument, '=') != NULL ? "=..; quote what has blanks in it" : "");
    return text;
}

int
command_misused(const char *command, const char *what)
{
    fprintf(stderr, "outboxd %s: %s\nTry 'outboxd %s --help'.\n", command, what, command);
    return error_exit_code(ERROR_USAGE);
}

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
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:h", longs, NULL)) != -1;) {
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
            *exit_code = command_misused(argv[0], command_bad_option(argc, argv, option));
            return false;
        }
    }
    if (optind < argc) {
        *exit_code = command_misused(argv[0], command_bad_argument(argv[optind]));
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

void
command_waits(void *command, const char *what)
{
    fprintf(stderr, "outboxd %s: %s\n", (const char *)command, what);
}

bool
command_load(const char *path, struct settings **settings, int *exit_code)
{
    struct error error;
    bool good = settings_load(settings, path, stderr, &error);
    if (!good)
        *exit_code = command_failed("configuration", &error);
    if (access(path, F_OK) != 0)
        fputs("--config FILE names another one; config.yaml.example shows every key\n", stderr);
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
