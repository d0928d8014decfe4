/* options.c: see options.h. Nothing to copy here. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
usage(FILE *to)
{
    fputs(
        "usage: story join  --conninfo CONNINFO --name NAME\n"
        "       story write --conninfo CONNINFO --member ID --title TITLE\n"
        "       story load  --conninfo CONNINFO [--count N] [--threads N] ..\n"
        "join: a new member. Prints the id.\n"
        "write: a story of a member. Prints its id, and how many the member has written now.\n"
        "load: many stories, from several threads. Prints what came of them.\n"
        "  --count N          stories to try (100)\n"
        "  --threads N        connections at work at the same time, 1 to 64 (1)\n"
        "  --members N        members 1 to N take turns (1)\n"
        "  --spoil-every N    every N-th has a title that Postgres refuses, after the member's count has\n"
        "                     gone up; 0 is never (0)\n"
        "all:\n"
        "  --conninfo TEXT    libpq keywords or URI; the role needs what `outboxd migrate --writer` grants\n"
        "  --help             this text\n"
        "Exit code: 0 when all was written (load: or spoiled on purpose), 1 when not, 64 for wrong options,\n"
        "69 when Postgres cannot be reached.\n",
        to);
}

static bool
parse_number(const char *option, const char *text, long least, long most, long *number)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && value >= least && value <= most) {
        *number = value;
        return true;
    }
    fprintf(stderr, "story: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
    return false;
}

static bool
parse_option(struct options *options, int option, const char *name)
{
    long id;
    switch (option) {
    case 'c':
        options->conninfo = optarg;
        return true;
    case 'a':
        options->name = optarg;
        return true;
    case 'm':
        options->member = optarg;
        return parse_number(name, optarg, 1, LONG_MAX, &id);
    case 'i':
        options->title = optarg;
        return true;
    case 'n':
        return parse_number(name, optarg, 0, INT_MAX, &options->count);
    case 't':
        return parse_number(name, optarg, 1, THREADS_MAX, &options->threads);
    case 'M':
        return parse_number(name, optarg, 1, INT_MAX, &options->members);
    case 's':
        return parse_number(name, optarg, 0, INT_MAX, &options->spoil_every);
    case 'h':
        usage(stdout);
        exit(0);
    default:
        return false; /* getopt_long has said why */
    }
}

static bool
parse_command(struct options *options, const char *word)
{
    static const char *const words[] = {
        [COMMAND_JOIN] = "join", [COMMAND_WRITE] = "write", [COMMAND_LOAD] = "load"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            options->command = (enum command)i;
            return true;
        }
    fprintf(stderr, "story: \"%s\" is no command; join, write and load are\n", word);
    return false;
}

static bool
check(const struct options *options)
{
    const char *missing = NULL;
    if (options->conninfo == NULL)
        missing = "--conninfo";
    else if (options->command == COMMAND_JOIN && options->name == NULL)
        missing = "--name";
    else if (options->command == COMMAND_WRITE && (options->member == NULL || options->title == NULL))
        missing = options->member == NULL ? "--member" : "--title";
    if (missing != NULL)
        fprintf(stderr, "story: %s is missing\n", missing);
    return missing == NULL;
}

bool
options_parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"conninfo", required_argument, NULL, 'c'}, {"name", required_argument, NULL, 'a'},
        {"member", required_argument, NULL, 'm'},   {"title", required_argument, NULL, 'i'},
        {"count", required_argument, NULL, 'n'},    {"threads", required_argument, NULL, 't'},
        {"members", required_argument, NULL, 'M'},  {"spoil-every", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    bool good = true;
    int option, at = 0;
    *options = (struct options){.count = 100, .threads = 1, .members = 1};
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1)
        good &= parse_option(options, option, names[at].name);
    good &= parse_command(options, optind < argc ? argv[optind] : "");
    if (optind + 1 < argc) {
        fprintf(stderr, "story: unexpected argument \"%s\"\n", argv[optind + 1]);
        good = false;
    }
    if (good && check(options))
        return true;
    usage(stderr);
    return false;
}
