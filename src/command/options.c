/* options.c: what the commands have in common: their command lines, loading the configuration, saying why not. */
#include "command/command.h"

#include "base/spelling.h"
#include "config/secrets.h"
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

/* The long option that `word`, "--name" or "--name=value", was probably meant to be; NULL: it resembles none. */
static const char *
nearest_option(const char *word, const struct option *longs)
{
    char name[60];
    const char *nearest = NULL;
    size_t nearest_distance = SPELLING_FAR;
    if (strncmp(word, "--", 2) != 0)
        return NULL;
    snprintf(name, sizeof name, "%.*s", name_size(word) - 2, word + 2);
    for (; longs->name != NULL; longs++) {
        size_t far = spelling_distance(name, longs->name);
        if (far < nearest_distance)
            nearest = longs->name, nearest_distance = far;
    }
    return nearest;
}

/* getopt_long has met '?' or ':'. An unknown long option leaves no letter, one that takes no value its own; one in a cluster of
 * letters is not an argument of its own. */
static bool
bad_option(int argc, char **argv, int met, const struct option *longs, struct error *error)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
    bool is_long = strncmp(word, "--", 2) == 0;
    if (met == ':')
        return error_set(error, ERROR_USAGE, "%.60s needs a value", word);
    if (optopt > 0 && !is_long)
        return error_set(error, ERROR_USAGE, "unknown option -%c", optopt);
    if (optopt > 0)
        return error_set(error, ERROR_USAGE, "%.*s takes no value", name_size(word), word);
    const char *nearest = nearest_option(word, longs);
    return error_set(error, ERROR_USAGE, "unknown option %.*s%s%s%s", name_size(word), word,
                     nearest ? "; did you mean --" : "", nearest ? nearest : "", nearest ? "?" : "");
}

static bool
bad_argument(const char *argument, struct error *error)
{
    return error_set(error, ERROR_USAGE, "unexpected argument %.*s%s", name_size(argument), argument,
                     strchr(argument, '=') != NULL ? "=..; quote what has blanks in it" : "");
}

int
command_misused(const char *command, const char *what)
{
    fprintf(stderr, "outboxd %s: %s\nTry 'outboxd %s --help'.\n", command, what, command);
    return error_exit_code(ERROR_USAGE);
}

/* Their values in getopt's terms: no letters. */
#define OWN_FIRST 256
#define OWN_MOST 16

/* Appends them to `longs` and `letters`, which are zero behind what they have. */
static void
add_own(struct option *longs, char *letters, const struct command_option *options)
{
    for (int i = 0; options != NULL && options[i].name != NULL; i++) {
        CHECK(i < OWN_MOST);
        bool is_flag = options[i].flag != NULL;
        longs[i] =
            (struct option){options[i].name, is_flag ? no_argument : required_argument, NULL, OWN_FIRST + i};
        if (options[i].letter != 0)
            letters += sprintf(letters, "%c%s", options[i].letter, is_flag ? "" : ":");
    }
}

/* What getopt_long has met, among them; NULL: none of them. */
static struct command_option *
find_own(struct command_option *options, int met)
{
    if (met >= OWN_FIRST)
        return &options[met - OWN_FIRST];
    for (; options != NULL && options->name != NULL; options++)
        if (options->letter == met)
            return options;
    return NULL;
}

/* More values than arguments cannot be given. */
static void
append(struct command_list *list, const char *value, int most)
{
    if (list->texts == NULL)
        list->texts = must_calloc((size_t)most, sizeof *list->texts);
    list->texts[list->count++] = value;
}

/* ps(1) shows argv as it is in our memory: ".." from now on. */
static void
take_out(char **secret, char *value)
{
    size_t size = strlen(value);
    secrets_wipe(*secret);
    *secret = must_strdup(value);
    explicit_bzero(value, size);
    memset(value, '.', size < 2 ? size : 2);
}

static bool
take(struct command_option *option, void *context, int argc, char *value, struct error *error)
{
    option->given = true;
    if (option->pattern && !settings_is_pattern(value))
        return error_set(error, ERROR_USAGE, "--%s: '%.300s' matches no legal topic name", option->name,
                         value);
    if (option->flag != NULL)
        *option->flag = true;
    else if (option->text != NULL)
        *option->text = value;
    else if (option->secret != NULL)
        take_out(option->secret, value);
    else if (option->list != NULL)
        append(option->list, value, argc);
    else
        return option->take(context, value, error);
    return true;
}

bool
command_parse(int argc, char **argv, struct command_line *line, int *exit_code)
{
    struct option longs[2 + OWN_MOST + 1] = {{"config", required_argument, NULL, 'c'},
                                             {"help", no_argument, NULL, 'h'}};
    char letters[4 + 2 * OWN_MOST + 1] = ":c:h";
    struct error error;
    bool good = true;
    add_own(longs + 2, letters + 4, line->options);
    line->config = COMMAND_DEFAULT_CONFIG;
    optind = 0; /* main looked at the options before; 0 makes glibc start afresh */
    opterr = 0;
    for (int met; good && (met = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        if (met == 'h') {
            fputs(line->help, stdout);
            *exit_code = 0;
            return false;
        }
        struct command_option *own = find_own(line->options, met);
        if (met == 'c')
            line->config = optarg;
        else if (own == NULL)
            good = bad_option(argc, argv, met, longs, &error);
        else
            good = take(own, line->context, argc, optarg, &error);
    }
    line->operands = argv + optind;
    line->operand_count = argc - optind;
    if (good && line->operand_count > line->operands_most)
        good = bad_argument(line->operands[line->operands_most], &error);
    if (!good)
        *exit_code = command_misused(argv[0], error.message);
    return good;
}

size_t
command_find_action(const char *name, const struct command_action *actions, size_t count)
{
    size_t found = 0;
    while (found < count && strcmp(name, actions[found].name) != 0)
        found++;
    return found;
}

bool
command_judge_action(const struct command_action *action, const struct command_option *own,
                     struct error *error)
{
    for (; own->name != NULL; own++) {
        char word[32];
        snprintf(word, sizeof word, " %s ", own->name);
        if (own->given && strstr(action->options, word) == NULL)
            return error_set(error, ERROR_USAGE, "%s takes no --%s", action->name, own->name);
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
