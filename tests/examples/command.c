/* command.c: see command.h. */
#include "command.h"

#include "fixture.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct command
command_start(const char *name, const char *word, const char *conninfo, const char *const *arguments)
{
    char *path = example_path(name), *directory = scratch_directory(name);
    struct command command = {.output_path = must_format("%s/out", directory)};
    const char *argv[32] = {path, word, "--conninfo", conninfo};
    for (size_t count = 4; *arguments != NULL; arguments++) {
        cr_assert_lt(count, sizeof argv / sizeof *argv - 1);
        argv[count++] = *arguments;
    }
    command.pid = process_start(
        &(struct process_options){.argv = argv, .output_path = command.output_path, .death_signal = SIGKILL});
    free(directory);
    free(path);
    return command;
}

void
command_wait_until_said(const struct command *command, const char *words)
{
    wait_for(scratch_file_contains(command->output_path, words), 20000);
}

char *
command_output(struct command *command)
{
    char *output = scratch_read_file(command->output_path);
    free(command->output_path);
    command->output_path = NULL;
    return output;
}

void
command_restart_server(const struct command *command, struct postgres *postgres)
{
    command_wait_until_said(command, "cannot connect, tries again");
    process_pause(command->pid);
    postgres_up(postgres);
    process_continue(command->pid);
}

int
command_end(struct command *command, char **output)
{
    int code = process_wait(command->pid, 90000);
    *output = command_output(command);
    return code;
}

void
command_expect(struct command *command, int code, const char *words)
{
    char *output;
    int ended = command_end(command, &output);
    cr_expect_eq(ended, code, "exit code %d, not %d: %s", ended, code, output);
    cr_expect(strstr(output, words) != NULL, "no \"%s\" in: %s", words, output);
    free(output);
}

long
command_number(const char *output, const char *word)
{
    const char *at = strstr(output, word);
    if (at == NULL)
        test_fail("no %s in what the program said: %s", word, output);
    return strtol(at + strlen(word), NULL, 10);
}
