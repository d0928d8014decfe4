/* options.h: the command line of the story example. */
#ifndef EXAMPLE_STORY_OPTIONS_H
#define EXAMPLE_STORY_OPTIONS_H

#include <stdbool.h>

enum { EXIT_USAGE = 64, EXIT_NO_POSTGRES = 69, THREADS_MAX = 64 };

enum command { COMMAND_JOIN, COMMAND_WRITE, COMMAND_LOAD };

struct options {
    const char *conninfo;
    enum command command;
    const char *name;                          /* join */
    const char *member, *title;                /* write */
    long count, threads, members, spoil_every; /* load */
};

/* False: the command line is wrong, and stderr says why. Ends the process after --help. */
bool options_parse(struct options *options, int argc, char **argv);

#endif
