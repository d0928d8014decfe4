/* load.h: creates many projects from several threads, as a web server would, and counts what came of it. */
#ifndef EXAMPLE_PROJECT_LOAD_H
#define EXAMPLE_PROJECT_LOAD_H

#include "options.h"

/* Prints the counts; the exit code of the program. */
int load_run(const char *conninfo, const struct load_options *options);

#endif
