/* support.c: how targets take their input apart. Called by the targets; holds no property itself. */
#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
fuzz_text(const uint8_t *bytes, size_t size)
{
    char *text = must_alloc(size + 1);
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

char *
fuzz_line(char **at)
{
    char *line = *at;
    size_t size = line != NULL ? strcspn(line, "\n") : 0;
    if (line == NULL)
        return NULL;
    *at = line[size] == '\n' ? line + size + 1 : NULL;
    line[size] = '\0';
    return line;
}

bool
fuzz_is_utf8(const char *text, size_t size)
{
    uint32_t code;
    for (size_t at = 0, length; at < size; at += length)
        if ((length = utf8_next(text + at, size - at, &code)) == 0)
            return false;
    return true;
}

bool
fuzz_was_given(const struct fuzz_arguments *given, const char *word)
{
    bool found = false;
    for (int i = 0; i < given->count; i++) {
        const char *at = given->words[i];
        found = found || (word >= at && word <= at + strlen(at));
    }
    return found;
}

static void
check_said(int exit_code, const char *said, const char *printed)
{
    static const char try[] = "\nTry 'outboxd ";
    CHECK(exit_code == -1 || exit_code == 0 || exit_code == 64);
    CHECK((exit_code == 64) == (said[0] != '\0') && (exit_code == 0) == (printed[0] != '\0'));
    CHECK(exit_code != 64 || (strncmp(said, "outboxd ", 8) == 0 && strstr(said, try) != NULL));
}

/* With both streams in memory. */
static void
run(int (*parse)(struct fuzz_arguments *given), struct fuzz_arguments *given)
{
    char *said = NULL, *printed = NULL;
    size_t said_size, printed_size;
    FILE *real_error = stderr, *real_output = stdout;
    stderr = open_memstream(&said, &said_size);
    stdout = open_memstream(&printed, &printed_size);
    CHECK(stderr != NULL && stdout != NULL);
    int exit_code = parse(given);
    CHECK(fclose(stderr) == 0 && fclose(stdout) == 0);
    stderr = real_error;
    stdout = real_output;
    check_said(exit_code, said, printed);
    free(said);
    free(printed);
}

void
fuzz_command(const char *name, int (*parse)(struct fuzz_arguments *given), const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size), *at = text, *own = must_strdup(name);
    struct fuzz_arguments given = {.count = 1, .words = {own}};
    while (given.count < FUZZ_ARGUMENTS_MOST && (given.words[given.count] = fuzz_line(&at)) != NULL)
        given.count++;
    given.words[given.count] = NULL;
    run(parse, &given);
    free(own);
    free(text);
}
