/* confirm.c: asks before something that cannot be taken back. Called by the commands that do such things. */
#include "command/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
command_confirm(const char *command, const char *question, bool yes, struct error *error)
{
    return command_confirm_on(stdout, command, question, yes, error);
}

bool
command_confirm_on(FILE *to, const char *command, const char *question, bool yes, struct error *error)
{
    char answer[16] = "";
    if (yes)
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(fileno(to)))
        return error_set(error, ERROR_USAGE, "not done: without a terminal to ask on, %s needs --yes",
                         command);
    fprintf(to, "%s Type \"yes\": ", question);
    fflush(to);
    if (fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0)
        return true;
    return error_set(error, ERROR_USAGE, "not done: the answer was not \"yes\"");
}
