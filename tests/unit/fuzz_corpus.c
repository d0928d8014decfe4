/* fuzz_corpus.c: feeds each target of tests/fuzz its corpus, a file at a time, as `make fuzz` does at its start: what once broke one
 * never does again, and the corpora stay alive. Run in the root of the repository. */
#include "fuzz/fuzz.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORPUS "tests/fuzz/corpus/"

static const struct {
    const char *name;
    fuzz_target *target;
} targets[] = {
    {"broker", fuzz_broker},     {"commands", fuzz_commands},     {"config", fuzz_config},
    {"conninfo", fuzz_conninfo}, {"headers", fuzz_headers},       {"log", fuzz_log},
    {"options", fuzz_options},   {"record", fuzz_record},         {"row", fuzz_row},
    {"snapshot", fuzz_snapshot}, {"statistics", fuzz_statistics}, {"topic", fuzz_topic},
    {"units", fuzz_units},
};
enum { TARGETS = sizeof targets / sizeof *targets, SIZE_MOST = 65536 };

static const char *fed; /* the file */

static void
name_the_file(int signal_number)
{
    static const char said[] = "the target broke at ";
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
    (void)!write(STDERR_FILENO, fed, strlen(fed));
    (void)!write(STDERR_FILENO, "\n", 1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void
feed(fuzz_target *target, const char *path)
{
    static uint8_t room[SIZE_MOST];
    FILE *from = fopen(path, "r");
    cr_assert_not_null(from, "%s", path);
    size_t size = fread(room, 1, sizeof room, from);
    fclose(from);
    cr_assert_lt(size, sizeof room, "%s is no small input", path);
    uint8_t *bytes = malloc(size > 0 ? size : 1); /* a sanitizer watches its end */
    cr_assert_not_null(bytes);
    memcpy(bytes, room, size);
    fed = path;
    cr_expect_eq(target(bytes, size), 0);
    free(bytes);
}

ParameterizedTestParameters(fuzz_corpus, no_input_breaks_its_target)
{
    static size_t indexes[TARGETS];
    for (size_t i = 0; i < TARGETS; i++)
        indexes[i] = i;
    return cr_make_param_array(size_t, indexes, TARGETS);
}

ParameterizedTest(size_t *index, fuzz_corpus, no_input_breaks_its_target)
{
    char pattern[100];
    glob_t found;
    snprintf(pattern, sizeof pattern, CORPUS "%s/*", targets[*index].name);
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "%s", pattern);
    cr_expect_geq(found.gl_pathc, 4, "%s: hardly a corpus", pattern);
    signal(SIGABRT, name_the_file);
    for (size_t i = 0; i < found.gl_pathc; i++)
        feed(targets[*index].target, found.gl_pathv[i]);
    globfree(&found);
}

Test(fuzz_corpus, each_corpus_has_a_target)
{
    glob_t found;
    cr_assert_eq(glob(CORPUS "*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t known = 0;
        while (known < TARGETS && strcmp(targets[known].name, found.gl_pathv[i] + strlen(CORPUS)) != 0)
            known++;
        cr_expect_lt(known, TARGETS, "%s is fed to nobody", found.gl_pathv[i]);
    }
    cr_expect_eq(found.gl_pathc, TARGETS);
    globfree(&found);
}
