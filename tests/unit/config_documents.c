/* config_documents.c: config.yaml.example and the list in outboxd.yaml(5) say what the table of settings says. Run
 * in the root of the repository. After a change of the table, OUTBOXD_WRITE_DOCUMENTS=1 in the environment makes
 * these tests write both again. */
#include "config/settings.h"
#include "config/settings_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE "config.yaml.example"
#define MANUAL "docs/man/outboxd.yaml.5"
#define LIST_BEGINS ".\\\" begin of the list of keys\n"
#define LIST_ENDS ".\\\" end of the list of keys\n"
#define HINT "differs from the table of settings: see the head of tests/unit/config_documents.c"

static char *
generate(void (*write)(FILE *to))
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    cr_assert_not_null(to);
    write(to);
    fclose(to);
    return text;
}

static char *
read_file(const char *path)
{
    char *text = calloc(1, 100000);
    FILE *from = fopen(path, "r");
    cr_assert_not_null(from, "%s is missing", path);
    cr_assert_lt(fread(text, 1, 100000, from), 100000);
    fclose(from);
    return text;
}

static void
write_file(const char *path, const char *before, size_t before_size, const char *list, const char *after)
{
    FILE *to = fopen(path, "w");
    cr_assert_not_null(to);
    fprintf(to, "%.*s%s%s", (int)before_size, before, list, after);
    fclose(to);
}

Test(config_documents, the_example_is_what_the_table_says)
{
    char *expected = generate(settings_write_example);
    if (getenv("OUTBOXD_WRITE_DOCUMENTS") != NULL)
        write_file(EXAMPLE, "", 0, expected, "");
    char *actual = read_file(EXAMPLE);
    cr_expect(strcmp(actual, expected) == 0, EXAMPLE " " HINT);
    free(actual);
    free(expected);
}

Test(config_documents, the_manual_is_what_the_table_says)
{
    char *expected = generate(settings_write_manual), *page = read_file(MANUAL);
    char *begin = strstr(page, LIST_BEGINS), *end = strstr(page, LIST_ENDS);
    cr_assert(begin != NULL && end != NULL);
    begin += strlen(LIST_BEGINS);
    if (getenv("OUTBOXD_WRITE_DOCUMENTS") != NULL)
        write_file(MANUAL, page, (size_t)(begin - page), expected, end);
    else
        cr_expect(strlen(expected) == (size_t)(end - begin) && memcmp(expected, begin, strlen(expected)) == 0,
                  MANUAL " " HINT);
    cr_expect(strchr(expected, '`') == NULL, "a `literal` of the table is marked up in the manual");
    free(page);
    free(expected);
}

/* Whatever the user's environment adds: the example names a host, with verify-full. */
Test(config_documents, the_example_loads_without_a_word)
{
    char printed[4000] = "";
    struct settings *settings = NULL;
    struct error error;
    FILE *errors = fmemopen(printed, sizeof printed, "w");
    cr_expect(settings_load(&settings, EXAMPLE, errors, &error));
    fclose(errors);
    cr_expect_str_empty(printed);
    settings_free(settings);
}

Test(config_documents, the_table_explains_every_setting)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        size_t size = strlen(setting->help);
        cr_expect(size > 0 && setting->help[size - 1] == '.', "%s: the help is made of sentences",
                  setting->path);
        cr_expect(setting->type == SETTING_SECTION || setting->fallback != NULL || setting->shown != NULL,
                  "%s: the example has something to show", setting->path);
    }
}
