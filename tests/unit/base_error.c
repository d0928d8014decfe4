/* base_error.c: errors carry their kind and their context, and a broken invariant ends the process. */
#include "base/error.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

Test(base_error, setting_returns_false_and_forgets_the_old_error)
{
    struct error error = {.kind = ERROR_FENCED, .sqlstate = "40001", .message = "old"};
    cr_assert_not(error_set(&error, ERROR_RETRY, "broker %d is away", 3));
    cr_assert_eq(error.kind, ERROR_RETRY);
    cr_assert_str_eq(error.sqlstate, "");
    cr_assert_str_eq(error.message, "broker 3 is away");
}

Test(base_error, context_goes_in_front_and_the_kind_stays)
{
    struct error error;
    error_set(&error, ERROR_UNUSABLE, "no such table");
    strcpy(error.sqlstate, "42P01");
    cr_assert_not(error_prefix(&error, "step %d", 7));
    cr_assert_not(error_prefix(&error, "relay %s", "main"));
    cr_assert_str_eq(error.message, "relay main: step 7: no such table");
    cr_assert_eq(error.kind, ERROR_UNUSABLE);
    cr_assert_str_eq(error.sqlstate, "42P01");
}

Test(base_error, long_text_is_cut_and_ends_in_dots)
{
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    struct error error;
    error_set(&error, ERROR_RETRY, "%s", text);
    cr_assert_eq(strlen(error.message), sizeof error.message - 1);
    cr_assert_str_eq(error.message + sizeof error.message - 5, "x...");
    error_prefix(&error, "context");
    cr_assert_eq(strlen(error.message), sizeof error.message - 1);
    cr_assert_eq(strncmp(error.message, "context: xxx", 12), 0);
    cr_assert_str_eq(error.message + sizeof error.message - 4, "...");
    error_set(&error, ERROR_RETRY, "short");
    error_prefix(&error, "%s", text);
    cr_assert_str_eq(error.message + strlen(error.message) - strlen("x...: short"), "x...: short");
}

Test(base_error, every_kind_has_the_exit_code_of_the_manual)
{
    cr_assert_eq(error_exit_code(ERROR_NONE), 0);
    cr_assert_eq(error_exit_code(ERROR_USAGE), 64);
    cr_assert_eq(error_exit_code(ERROR_CONFIG), 78);
    cr_assert_eq(error_exit_code(ERROR_UNUSABLE), 69);
    cr_assert_eq(error_exit_code(ERROR_RETRY), 69);
    cr_assert_eq(error_exit_code(ERROR_FENCED), 69);
    cr_assert_eq(error_exit_code(ERROR_INTERNAL), 70);
}

Test(base_error, a_check_that_holds_does_nothing)
{
    CHECK(1 + 1 == 2);
}

Test(base_error, a_check_that_fails_ends_the_process, .signal = SIGABRT)
{
    CHECK(1 + 1 == 3);
}

Test(base_error, a_size_that_overflows_ends_the_process, .signal = SIGABRT)
{
    free(must_realloc(NULL, SIZE_MAX / 2, 4));
}

Test(base_error, memory_is_never_null)
{
    void *none = must_alloc(0), *cells = must_calloc(4, 8);
    cr_assert_not_null(none);
    for (size_t i = 0; i < 32; i++)
        cr_assert_eq(((char *)cells)[i], 0);
    none = must_realloc(none, 10, 10);
    memset(none, 1, 100);
    char *copy = must_strdup("text"), *made = must_format("%s-%d", copy, 7);
    cr_assert_str_eq(made, "text-7");
    free(none);
    free(cells);
    free(copy);
    free(made);
}
