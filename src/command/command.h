/* command.h: the commands of the outboxd binary. Each parses its own options (argv[0] is the command's name), does its work,
 * and returns the process's exit code: 0, 64 usage, 69 unusable, 70 internal, 78 configuration. */
#ifndef OUTBOXD_COMMAND_COMMAND_H
#define OUTBOXD_COMMAND_COMMAND_H

#include "base/error.h"
#include "config/settings.h"

#include <stdio.h>

#define COMMAND_DEFAULT_CONFIG "/etc/outboxd/config.yaml"

/* The daemon, in the foreground. */
int command_run(int argc, char **argv);

/* Installs or upgrades the schema; one line on stdout for each thing done. */
int command_migrate(int argc, char **argv);

/* Finds everything that could stop `run` from working. */
int command_check(int argc, char **argv);

/* What is going on, from the database's point of view. */
int command_status(int argc, char **argv);

/* The registry of relays: list, add, retire. */
int command_relay(int argc, char **argv);

/* The events of the outbox: those that are there, and with -f those that come. */
int command_tail(int argc, char **argv);

/* Dead letters: list, show, retry, discard. */
int command_dead(int argc, char **argv);

/* Publishes again what was published. */
int command_replay(int argc, char **argv);

/* Stop and continue publishing a topic, or all of a relay. */
int command_pause(int argc, char **argv);
int command_resume(int argc, char **argv);

/* Lets relays go on in a database in which their journals mean nothing any more. */
int command_rebase(int argc, char **argv);

/* ---- for the commands themselves (command/options.c, since.c, confirm.c) ---- */

/* Values of an option that may be given several times; the caller frees `texts`. */
struct command_list {
    const char **texts;
    size_t count;
};

/* An option of a command's own: it sets a flag, or its value is kept as text, put on a list, or looked at by `take`. A value in which a
 * password may be is taken out of argv, where other users could read it; the caller frees it with secrets_wipe(). */
struct command_option {
    const char *name;
    bool *flag;
    const char **text;
    char **secret;
    struct command_list *list;
    bool (*take)(void *context, const char *value, struct error *error); /* ERROR_USAGE */
    bool pattern; /* of topics: what could match none is refused */
    bool given;   /* was met */
    char letter;  /* its short form; 0: none */
};

/* What a command takes beside --config FILE and --help. */
struct command_line {
    const char *help;
    struct command_option *options; /* ended by a NULL name; NULL: none */
    void *context;                  /* of `take` */
    int operands_most;
    /* what was given */
    const char *config; /* or the default */
    char **operands;
    int operand_count;
};

/* Parses argv. Returns true to go on; false with *exit_code set when help was asked for (0, printed on stdout) or the usage
 * was wrong (64, said on stderr). */
MUST_CHECK bool command_parse(int argc, char **argv, struct command_line *line, int *exit_code);

/* An action of a command that has several, its first operand: its name, and which of the command's options it takes, each with a blank
 * around it. */
struct command_action {
    const char *name, *options;
};

/* Which of them has this name; `count`: none. */
size_t command_find_action(const char *name, const struct command_action *actions, size_t count);

/* Of the options that were given, is each one of the action's? ERROR_USAGE names the first that is not. */
MUST_CHECK bool command_judge_action(const struct command_action *action, const struct command_option *own,
                                     struct error *error);

/* Says what is wrong with the command line on stderr; 64. */
int command_misused(const char *command, const char *what);

/* Loads the configuration and the librdkafka properties in it, all mistakes on stderr; false with *exit_code set. */
MUST_CHECK bool command_load(const char *path, struct settings **settings, int *exit_code);

/* Before something that cannot be taken back: true when `yes` was given, or when a person on the terminal answers yes. What it
 * is about has been printed. ERROR_USAGE: not agreed, or nobody to ask. */
MUST_CHECK bool command_confirm(const char *command, const char *question, bool yes, struct error *error);
/* Asks on standard error, where standard output is for a program. */
MUST_CHECK bool command_confirm_on(FILE *to, const char *command, const char *question, bool yes,
                                   struct error *error);

/* An admin_listener whose context is the command's name: what it waits for, on stderr. */
void command_waits(void *command, const char *what);

/* Says why a command ends on stderr and gives its exit code. */
int command_failed(const char *command, const struct error *error);

#endif
