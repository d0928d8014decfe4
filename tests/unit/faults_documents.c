/* faults_documents.c: docs/faults.md and the tests are of one mind: each row is there, each test that it names exists, and each test
 * whose name has a row (`row_8`, `rows_8_16`, `fault_84_`) is in it. Run in the root of the repository. */
#include "base/error.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE "docs/faults.md"
enum { ROWS = 88, LINES_MOST = 400, TESTS_MOST = 2000, NAME_SIZE = 200 };

struct test {
    char suite[NAME_SIZE], name[NAME_SIZE]; /* as the source says */
};

static struct test tests[TESTS_MOST];
static size_t test_count;
static char *page, *rows[ROWS + 1]; /* a row's line, by its number .. */
static char *lines[LINES_MOST];     /* .. and all of them, also those without one */
static size_t line_count;

static char *
read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s is missing", path);
    cr_assert_geq(getdelim(&text, &size, EOF, file), 0);
    fclose(file);
    return text;
}

/* "Test(suite, name" at the beginning of a line, however the rest is broken. */
static void
read_tests(const char *path)
{
    char *text = read_file(path);
    for (const char *at = text; (at = strstr(at, "\nTest(")) != NULL; at++) {
        cr_assert_lt(test_count, (size_t)TESTS_MOST);
        struct test *test = &tests[test_count];
        if (sscanf(at, "\nTest( %199[A-Za-z0-9_], %199[A-Za-z0-9_]", test->suite, test->name) == 2)
            test_count++;
    }
    free(text);
}

static void
read_all(void)
{
    glob_t sources;
    cr_assert_eq(glob("tests/*/*.c", 0, NULL, &sources), 0);
    for (size_t i = 0; i < sources.gl_pathc; i++)
        read_tests(sources.gl_pathv[i]);
    globfree(&sources);
    cr_assert_gt(test_count, 900);
    page = read_file(PAGE);
    char *rest = page;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        int number;
        if (line[0] != '|')
            continue;
        cr_assert_lt(line_count, (size_t)LINES_MOST);
        lines[line_count++] = line;
        if (sscanf(line, "| %d |", &number) != 1)
            continue;
        cr_assert(number >= 1 && number <= ROWS, "%d", number);
        cr_expect_null(rows[number], "row %d is there twice", number);
        rows[number] = line;
    }
}

static void
forget_all(void)
{
    free(page);
}

TestSuite(faults_documents, .init = read_all, .fini = forget_all);

/* What the page calls it: without the promises and rows behind "__". */
static char *
short_name(const struct test *test)
{
    const char *end = strstr(test->name, "__");
    return must_format("`%s/%.*s`", test->suite, (int)(end != NULL ? end - test->name : NAME_SIZE),
                       test->name);
}

static bool
exists(const char *name, size_t size)
{
    bool found = false;
    for (size_t i = 0; i < test_count && !found; i++) {
        char *known = short_name(&tests[i]);
        found = strlen(known) == size && memcmp(known, name, size) == 0;
        free(known);
    }
    return found;
}

/* How many tests the line names; all of them are to exist. */
static int
expect_tests_of(const char *line)
{
    int named = 0;
    for (const char *at = line; (at = strchr(at, '`')) != NULL;) {
        size_t size = strcspn(at + 1, "`") + 2;
        if (memchr(at, '/', size) != NULL && memmem(at, size, "tests/", 6) == NULL) {
            cr_expect(exists(at, size), "no test %.*s in: %.60s", (int)size, at, line);
            named++;
        }
        at += size;
    }
    return named;
}

Test(faults_documents, every_row_is_there_and_every_test_that_it_names_exists)
{
    for (int row = 1; row <= ROWS; row++)
        cr_assert_not_null(rows[row], "row %d is missing", row);
    for (size_t i = 0; i < line_count; i++) {
        bool is_head = strncmp(lines[i], "| row |", 7) == 0 || strncmp(lines[i], "|---", 4) == 0;
        int named = expect_tests_of(lines[i]);
        cr_expect(is_head || named > 0 || strstr(lines[i], "does not apply") != NULL ||
                      strstr(lines[i], "not covered") != NULL,
                  "held by nothing, and no reason: %.60s", lines[i]);
    }
}

/* The test is in the row of each number from `at` on. */
static void
expect_in_rows(const struct test *test, const char *at)
{
    char *name = short_name(test);
    while (isdigit((unsigned char)*at)) {
        char *end;
        long row = strtol(at, &end, 10);
        cr_assert(row >= 1 && row <= ROWS, "%s", test->name);
        cr_expect(rows[row] != NULL && strstr(rows[row], name) != NULL, "row %ld does not name %s", row,
                  name);
        at = *end == '_' ? end + 1 : end;
    }
    free(name);
}

Test(faults_documents, every_test_that_names_a_row_is_in_it)
{
    static const char *const signs[] = {"row_", "rows_", "fault_"};
    int found = 0;
    for (size_t i = 0; i < test_count; i++)
        for (size_t sign = 0; sign < sizeof signs / sizeof *signs; sign++) {
            const char *at = strstr(tests[i].name, signs[sign]);
            if (at != NULL && isdigit((unsigned char)at[strlen(signs[sign])])) {
                expect_in_rows(&tests[i], at + strlen(signs[sign]));
                found++;
            }
        }
    cr_expect_gt(found, 100);
}
