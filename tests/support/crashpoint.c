/* crashpoint.c: the environment that loads crashpoint.so into a process, and what it has left (crashpoint.h). */
#include "support/crashpoint.h"

#include "support/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct crashpoint {
    char *directory, *library, *log, *counts;
};

struct crashpoint *
crashpoint_new(void)
{
    char suite[4096], *slash;
    struct crashpoint *crashpoint = must_calloc(1, sizeof *crashpoint);
    ssize_t size = readlink("/proc/self/exe", suite, sizeof suite - 1);
    suite[size > 0 ? size : 0] = '\0';
    if ((slash = strstr(suite, "/tests/")) == NULL)
        test_fail("%s: not a suite's binary", suite);
    crashpoint->library = must_format("%.*s/tests/fault/crashpoint.so", (int)(slash - suite), suite);
    if (access(crashpoint->library, R_OK) != 0)
        test_fail("%s: %s; make it", crashpoint->library, strerror(errno));
    crashpoint->directory = scratch_directory("crashpoint");
    crashpoint->log = must_format("%s/calls.log", crashpoint->directory);
    crashpoint->counts = must_format("%s/counts", crashpoint->directory);
    return crashpoint;
}

void
crashpoint_free(struct crashpoint *crashpoint)
{
    free(crashpoint->counts);
    free(crashpoint->log);
    free(crashpoint->library);
    free(crashpoint->directory);
    free(crashpoint);
}

void
crashpoint_set(const struct crashpoint *crashpoint, const char *rules)
{
    setenv("LD_PRELOAD", crashpoint->library, 1);
    setenv("CRASHPOINT", rules, 1);
    setenv("CRASHPOINT_LOG", crashpoint->log, 1);
    setenv("CRASHPOINT_COUNTS", crashpoint->counts, 1);
}

void
crashpoint_unset(void)
{
    unsetenv("LD_PRELOAD");
    unsetenv("CRASHPOINT");
    unsetenv("CRASHPOINT_LOG");
    unsetenv("CRASHPOINT_COUNTS");
}

int
crashpoint_hits(const struct crashpoint *crashpoint, const char *text)
{
    char *log = scratch_read_file(crashpoint->log);
    int count = 0;
    for (const char *at = log; (at = strstr(at, text)) != NULL; at += strlen(text))
        count++;
    free(log);
    return count;
}

char *
crashpoint_counts(const struct crashpoint *crashpoint)
{
    return scratch_read_file(crashpoint->counts);
}

long
crashpoint_calls(const struct crashpoint *crashpoint, const char *function)
{
    char *counts = crashpoint_counts(crashpoint);
    size_t size = strlen(function);
    long calls = 0;
    for (const char *line = counts; line != NULL && calls == 0; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, function, size) == 0 && line[size] == ' ')
            calls = strtol(line + size, NULL, 10);
    }
    free(counts);
    return calls;
}
