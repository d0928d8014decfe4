/* main.c: finds the command and calls it; its exit code is the process's. Decides nothing else. */
#include "base/log.h"
#include "base/spelling.h"
#include "command/command.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*command)(int argc, char **argv);
} commands[] = {
    {"run", command_run},       {"migrate", command_migrate}, {"check", command_check},
    {"status", command_status}, {"tail", command_tail},       {"relay", command_relay},
    {"dead", command_dead},     {"replay", command_replay},   {"pause", command_pause},
    {"resume", command_resume}, {"rebase", command_rebase},
};

static const char help[] =
    "Usage: outboxd [COMMAND] [OPTION]..\n"
    "\n"
    "outboxd publishes the committed rows of a Postgres outbox to Kafka, in order and at least once.\n"
    "\n"
    "Commands:\n"
    "  run        the daemon, in the foreground (also when no command is given)\n"
    "  migrate    installs or upgrades the schema `outbox` in a database\n"
    "  check      finds everything that could stop `run` from working; --create makes missing topics\n"
    "  status     what is going on and what is stuck; --json for scripts\n"
    "  tail       the events of the outbox; -f follows, --json for scripts\n"
    "  dead       events that Kafka refused: list, show, retry, discard\n"
    "  replay     publishes again what is still retained; lists and cancels replays\n"
    "  pause      publishes nothing of a topic, or nothing at all\n"
    "  resume     ends a pause\n"
    "  relay      the relays of a database: list, add, retire\n"
    "  rebase     lets relays go on in a restored, cloned or upgraded database\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE   configuration of all but migrate and rebase (default " COMMAND_DEFAULT_CONFIG ")\n"
    "      --version       version of this binary\n"
    "  -h, --help          this text; 'outboxd COMMAND --help' for a command's own\n"
    "\n"
    "Manual: outboxd(8), outboxd.yaml(5)\n";

static int
refuse(const char *word)
{
    const char *nearest = NULL;
    size_t nearest_distance = SPELLING_FAR;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        size_t far = spelling_distance(word, commands[i].name);
        if (far < nearest_distance)
            nearest = commands[i].name, nearest_distance = far;
    }
    fprintf(stderr, "outboxd: unknown command '%s'", word);
    if (nearest != NULL)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fputs("\nTry 'outboxd --help'.\n", stderr);
    return error_exit_code(ERROR_USAGE);
}

int
main(int argc, char **argv)
{
    log_guard_descriptors();
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("outboxd " OUTBOXD_VERSION);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].command(argc - 1, argv + 1);
    if (argc > 1 && argv[1][0] != '-')
        return refuse(argv[1]);
    argv[0] = "run"; /* no command: `outboxd --config FILE` */
    return command_run(argc, argv);
}
