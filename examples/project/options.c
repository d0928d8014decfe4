/* options.c: see options.h. Nothing to copy here but the habit of saying everything that is wrong. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void
usage(FILE *to)
{
    fputs(
        "usage: project create --conninfo CONNINFO --owner ID (--name NAME [--workflow NAME]..)..\n"
        "       project load   --conninfo CONNINFO [--count N] [--threads N] ..\n"
        "create: projects with their workflows, all that are named, or none. Prints their ids.\n"
        "  --owner ID         whose they are\n"
        "  --name NAME        of a project; what follows belongs to it, the next --name begins another one\n"
        "  --workflow NAME    of a workflow of that project; the first is the one that it begins with\n"
        "load: many, from several threads. Prints what came of them.\n"
        "  --count N          projects to try (100)\n"
        "  --first N          number of the first, of which the names are made (1)\n"
        "  --threads N        connections at work at the same time, 1 to 64 (1)\n"
        "  --owners N         owners 1 to N take turns (1)\n"
        "  --clash-every N    every N-th takes the name of the one before it, and the one after it names a\n"
        "                     workflow twice; 3 or more, 0 is never (0)\n"
        "both:\n"
        "  --conninfo TEXT    libpq keywords or URI; the role needs what `outboxd migrate --writer` grants\n"
        "  --timeout-ms N     how long one transaction may take, tried again or not (10000)\n"
        "  --help             this text\n"
        "Exit code: 0 when all were created (load: or refused as --clash-every wants it), 1 when not,\n"
        "64 for wrong options, 69 when Postgres cannot be reached.\n",
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
    fprintf(stderr, "project: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
    return false;
}

static bool
add_project(struct create_options *create, const char *name)
{
    if (create->count == PROJECTS_MAX) {
        fprintf(stderr, "project: --name %s: at most %d projects at once\n", name, PROJECTS_MAX);
        return false;
    }
    size_t at = create->count++;
    create->requests[at] = (struct project_request){.name = name, .workflows = create->workflows[at]};
    return true;
}

static bool
add_workflow(struct create_options *create, const char *name)
{
    if (create->count == 0 || create->requests[create->count - 1].workflow_count == WORKFLOWS_MAX) {
        fprintf(stderr, "project: --workflow %s: it follows the --name of its project, at most %d of them\n",
                name, WORKFLOWS_MAX);
        return false;
    }
    size_t at = create->count - 1;
    create->workflows[at][create->requests[at].workflow_count++] = name;
    return true;
}

static bool
parse_option(struct options *options, int option, const char *name)
{
    struct load_options *with = &options->with;
    long owner;
    switch (option) {
    case 'c':
        options->conninfo = optarg;
        return true;
    case 'o':
        options->create.owner = optarg;
        return parse_number(name, optarg, 1, LONG_MAX, &owner);
    case 'm':
        return add_project(&options->create, optarg);
    case 'w':
        return add_workflow(&options->create, optarg);
    case 'n':
        return parse_number(name, optarg, 0, INT_MAX, &with->count);
    case 'f':
        return parse_number(name, optarg, 1, INT_MAX, &with->first);
    case 't':
        return parse_number(name, optarg, 1, THREADS_MAX, &with->threads);
    case 'O':
        return parse_number(name, optarg, 1, INT_MAX, &with->owners);
    case 'x':
        return parse_number(name, optarg, 0, INT_MAX, &with->clash_every);
    case 'T':
        return parse_number(name, optarg, 1, INT_MAX, &options->timeout_ms);
    case 'h':
        usage(stdout);
        exit(0);
    default:
        return false; /* getopt_long has said why */
    }
}

static bool
check(const struct options *options)
{
    const char *wrong = NULL;
    long every = options->with.clash_every;
    if (options->conninfo == NULL)
        wrong = "--conninfo is missing";
    else if (!options->load && options->create.owner == NULL)
        wrong = "--owner is missing";
    else if (!options->load && options->create.count == 0)
        wrong = "--name is missing: nothing to create";
    else if (every == 1 || every == 2)
        wrong = "--clash-every takes 0, or 3 or more";
    if (wrong != NULL)
        fprintf(stderr, "project: %s\n", wrong);
    return wrong == NULL;
}

static bool
parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"conninfo", required_argument, NULL, 'c'},
                                          {"owner", required_argument, NULL, 'o'},
                                          {"name", required_argument, NULL, 'm'},
                                          {"workflow", required_argument, NULL, 'w'},
                                          {"count", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"owners", required_argument, NULL, 'O'},
                                          {"clash-every", required_argument, NULL, 'x'},
                                          {"timeout-ms", required_argument, NULL, 'T'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    bool good = true;
    int option, at = 0;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1)
        good &= parse_option(options, option, names[at].name);
    const char *command = optind < argc ? argv[optind] : "";
    options->load = strcmp(command, "load") == 0;
    if (!options->load && strcmp(command, "create") != 0) {
        fprintf(stderr, "project: \"%s\" is no command; create and load are\n", command);
        good = false;
    } else if (optind + 1 < argc) {
        fprintf(stderr, "project: unexpected argument \"%s\"\n", argv[optind + 1]);
        good = false;
    }
    return good;
}

bool
options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.with = {.count = 100, .first = 1, .threads = 1, .owners = 1}};
    if (!parse(options, argc, argv) || !check(options)) {
        usage(stderr);
        return false;
    }
    for (size_t i = 0; i < options->create.count; i++)
        options->create.requests[i].owner_id = options->create.owner;
    return true;
}
