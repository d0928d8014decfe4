/* confirm.c: asks before something that cannot be taken back. Called by the commands that do such things. */
#include "command/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
command_confirm(const char *command, const char *question, bool yes, struct error *error)
{
    char answer[16] = "";
    if (yes)
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(error, ERROR_USAGE, "not done: without a terminal to ask on, %s needs --yes",
                         command);
    printf("%s Type \"yes\": ", question);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0)
        return true;
    return error_set(error, ERROR_USAGE, "not done: the answer was not \"yes\"");
}
