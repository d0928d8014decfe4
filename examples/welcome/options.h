/* options.h: the command line of the mailer. Called by main.c. */
#ifndef EXAMPLE_WELCOME_OPTIONS_H
#define EXAMPLE_WELCOME_OPTIONS_H

#include <stdbool.h>

enum { PROPERTIES_MAX = 32, TIMEOUT_MOST_S = 120 };

struct options {
    const char *conninfo, *brokers, *group, *topic, *source, *smtp, *from;
    const char *resend;                     /* NULL: be the mailer */
    const char *properties[PROPERTIES_MAX]; /* of librdkafka, NAME=VALUE */
    int property_count;
    int timeout_s, patience_s, copies, remember_days;
    bool help;
};

/* Fills in the defaults and reads the arguments, whose texts it keeps. False after saying on stderr all that is wrong. */
bool options_read(struct options *options, int argc, char **argv);

void options_print_help(bool to_stderr);

#endif
