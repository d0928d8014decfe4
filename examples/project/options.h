/* options.h: the command line of the project example. */
#ifndef EXAMPLE_PROJECT_OPTIONS_H
#define EXAMPLE_PROJECT_OPTIONS_H

#include "create_project.h"

enum { EXIT_USAGE = 64, EXIT_NO_POSTGRES = 69, PROJECTS_MAX = 16, WORKFLOWS_MAX = 16, THREADS_MAX = 64 };

/* `project create` */
struct create_options {
    const char *owner;
    struct project_request requests[PROJECTS_MAX];
    const char *workflows[PROJECTS_MAX][WORKFLOWS_MAX];
    size_t count;
};

/* `project load`: creations are numbered, and everything about one is made of its number. */
struct load_options {
    long first, count, threads;
    long owners; /* owners 1 to this one take turns */
    long clash_every;
};

struct options {
    const char *conninfo;
    long timeout_ms; /* of a transaction; 0: the scope's own limit */
    bool load;       /* else create */
    struct create_options create;
    struct load_options with;
};

/* False: the command line is wrong, and stderr says why. Ends the process after --help. */
bool options_parse(struct options *options, int argc, char **argv);

#endif
