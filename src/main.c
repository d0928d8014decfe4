/* main.c: closes the process to others, finds the command and calls it; its exit code is the process's. Decides nothing else. */
#include "base/log.h"
#include "base/spelling.h"
#include "command/command.h"
#include "postgres/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", command_run},         {"migrate", command_migrate}, {"check", command_check},
    {"status", command_status},   {"tail", command_tail},       {"relay", command_relay},
    {"dead", command_dead},       {"replay", command_replay},   {"pause", command_pause},
    {"resume", command_resume},   {"rebase", command_rebase},   {"help", command_help},
    {"version", command_version},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const char help[] =
    "Usage: outboxd [COMMAND] [OPTION]..\n"
    "\n"
    "outboxd publishes the committed rows of a Postgres outbox to Kafka, in order,\n"
    "at least once or exactly once.\n"
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
    "  help       this text, or that of a command\n"
    "  version    version of this binary\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG "); migrate reads none, rebase\n"
    "                      one with --position and --phantoms only\n"
    "      --version       version of this binary\n"
    "  -h, --help          this text; 'outboxd COMMAND --help' for a command's own\n"
    "\n"
    "Manual: outboxd(8), outboxd.yaml(5)\n";

static const struct command *
find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int
refuse(const char *word)
{
    const char *nearest = NULL;
    size_t nearest_distance = SPELLING_FAR;
    for (size_t i = 0; i < COMMANDS; i++) {
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

static bool
is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `outboxd help COMMAND` is `outboxd COMMAND --help`. */
static int
command_help(int argc, char **argv)
{
    char option[] = "--help";
    char *asked[] = {argc > 1 ? argv[1] : NULL, option, NULL};
    bool own = argc < 2 || is_help(argv[1]);
    const struct command *command = own ? NULL : find(argv[1]);
    if (!own && command == NULL)
        return refuse(argv[1]);
    if (command != NULL && command->run != command_help && command->run != command_version)
        return command->run(2, asked);
    fputs(help, stdout);
    return 0;
}

static int
command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    puts("outboxd " OUTBOXD_VERSION);
    return 0;
}

/* 2: -c FILE; 1: --config=FILE; 0: another word. */
static int
config_words(const char *word)
{
    if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0)
        return 2;
    return strncmp(word, "-c", 2) == 0 || strncmp(word, "--config=", 9) == 0;
}

/* The command's name stands behind options: where, or 0. */
static int
find_behind(int argc, char **argv)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-')
        at += config_words(argv[at]) == 2 ? 2 : 1;
    return at < argc && find(argv[at]) != NULL ? at : 0;
}

/* Of the other words only the configuration is repeated: there may be a password in them. */
static int
refuse_order(int argc, char **argv, int at)
{
    int others = argc - 1 - at;
    fprintf(stderr, "outboxd: the command comes before its options: outboxd %s", argv[at]);
    for (int i = 1, words; i < at; i += words) {
        words = config_words(argv[i]);
        if (words > 0)
            fprintf(stderr, " %s", argv[i]);
        if (words == 2)
            fprintf(stderr, " %s", argv[i + 1]);
        others += words == 0;
        words += words == 0;
    }
    fprintf(stderr, "%s\nTry 'outboxd %s --help'.\n", others > 0 ? " .." : "", argv[at]);
    return error_exit_code(ERROR_USAGE);
}

static int
find_and_call(int argc, char **argv)
{
    char run[] = "run", *first = argc > 1 ? argv[1] : run;
    if (is_help(first))
        return command_help(1, argv);
    if (strcmp(first, "--version") == 0)
        return command_version(1, argv);
    if (argc > 1 && find(first) != NULL)
        return find(first)->run(argc - 1, argv + 1);
    if (argc > 1 && first[0] != '-')
        return refuse(first);
    int behind = find_behind(argc, argv);
    if (behind > 0)
        return refuse_order(argc, argv, behind);
    argv[0] = run; /* no command: `outboxd --config FILE` */
    return command_run(argc, argv);
}

/* Payloads and passwords do not belong in a core file, nor where other processes may look, whatever the command is. */
static void
keep_secrets(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    prctl(PR_SET_DUMPABLE, 0);
    session_hide_environment();
}

/* Both outputs in one file keep the order in which they were written, so standard output goes out line by line. A line that was lost
 * on the way is no success, even where the last one was written. */
int
main(int argc, char **argv)
{
    log_guard_descriptors();
    keep_secrets();
    setvbuf(stdout, NULL, _IOLBF, 0);
    int exit_code = find_and_call(argc, argv);
    if (exit_code == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        fputs("outboxd: cannot write to standard output\n", stderr);
        return error_exit_code(ERROR_UNUSABLE);
    }
    return exit_code;
}
