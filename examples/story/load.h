/* load.h: writes many stories from several threads, as a web server would, and counts what came of it. */
#ifndef EXAMPLE_STORY_LOAD_H
#define EXAMPLE_STORY_LOAD_H

#include "options.h"

/* Prints the counts; the exit code of the program. */
int load_run(const struct options *options);

#endif
