/* story_domain.c: the story example's domain on its own: a store that only writes down what it is asked for shows that the use
 * case controls one transaction, ends it once, and needs no Postgres. */
#include "story/domain/member.h"
#include "story/domain/write_story.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct transaction {
    bool failed;
};

struct store {
    struct transaction transaction;
    char log[128];       /* what was asked for, in order */
    const char *failing; /* the step that fails; NULL: none */
    bool silent;         /* at the commit */
    long count;          /* of the member; -1: there is none */
};

static struct store *asked; /* the functions that end a transaction do not get the store */

static void
note(struct store *store, const char *step)
{
    strncat(store->log, step, sizeof store->log - strlen(store->log) - 1);
    if (store->failing != NULL && strcmp(store->failing, step) == 0)
        store->transaction.failed = true;
}

static struct transaction *
use(struct store *store, struct transaction *given, const char *step)
{
    if (given == NULL)
        note(store, "begin ");
    else
        cr_assert_eq(given, &store->transaction, "another transaction than the one that was returned");
    note(store, step);
    return &store->transaction;
}

struct transaction *
member_count_story(struct store *store, struct transaction *transaction, const char *member_id, long *count)
{
    (void)member_id;
    *count = store->count + 1;
    return use(store, transaction, "count ");
}

struct transaction *
story_insert(struct store *store, struct transaction *transaction, struct story *story)
{
    strcpy(story->id, "7");
    return use(store, transaction, "insert ");
}

struct transaction *
story_announce(struct store *store, struct transaction *transaction, const struct story *story, long count)
{
    cr_assert_str_eq(story->id, "7");
    cr_assert_eq(count, store->count + 1);
    return use(store, transaction, "announce ");
}

bool
transaction_failed(const struct transaction *transaction)
{
    return transaction->failed;
}

bool
transaction_commit(struct transaction *transaction, struct transaction_report *report)
{
    note(asked, "commit");
    *report = (struct transaction_report){.unknown = asked->silent};
    return !transaction->failed && !asked->silent;
}

void
transaction_abort(struct transaction *transaction)
{
    (void)transaction;
    note(asked, "abort");
}

static enum write_story_result
write_titled(struct store *store, const char *title)
{
    struct story story = {.member_id = "1", .title = title};
    struct transaction_report report;
    long count;
    asked = store;
    return write_story(store, &story, &count, &report);
}

Test(story_domain, a_story_is_counted_inserted_and_announced_in_one_transaction)
{
    struct store store = {.count = 3};
    cr_assert_eq(write_titled(&store, "a walk"), STORY_WRITTEN);
    cr_assert_str_eq(store.log, "begin count insert announce commit");
}

Test(story_domain, the_transaction_is_ended_once_whatever_fails)
{
    static const char *const steps[] = {"begin ", "count ", "insert ", "announce "};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct store store = {.failing = steps[i], .count = 3};
        cr_assert_eq(write_titled(&store, "a walk"), TRANSACTION_ABORTED);
        cr_assert_str_eq(store.log, "begin count insert announce commit");
    }
    struct store silent = {.silent = true};
    cr_assert_eq(write_titled(&silent, "a walk"), TRANSACTION_UNKNOWN);
}

Test(story_domain, a_failure_to_count_is_not_taken_for_an_unknown_member)
{
    struct store failing = {.failing = "count ", .count = -1}, nobody = {.count = -1};
    cr_assert_eq(write_titled(&failing, "a walk"), TRANSACTION_ABORTED);
    cr_assert_eq(write_titled(&nobody, "a walk"), MEMBER_UNKNOWN);
    cr_assert_str_eq(nobody.log, "begin count abort");
}

Test(story_domain, a_story_without_a_title_begins_nothing)
{
    struct store store = {0};
    cr_assert_eq(write_titled(&store, ""), STORY_UNTITLED);
    cr_assert_str_eq(store.log, "");
}

/* ---- what the domain includes ---- */

#define DOMAIN "examples/story/domain/"

static bool
is_allowed(const char *include)
{
    static const char *const standard[] = {"<stdbool.h>", "<stddef.h>"};
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        if (strcmp(include, standard[i]) == 0)
            return true;
    char *path = must_format(DOMAIN "%.*s", (int)strcspn(include + 1, "\""), include + 1);
    char *text = scratch_read_file(path);
    bool own = include[0] == '"' && strchr(include + 1, '/') == NULL && *text != '\0';
    free(text);
    free(path);
    return own;
}

static int
check_includes(const char *name)
{
    int count = 0;
    char *path = must_format(DOMAIN "%s", name), *text = scratch_read_file(path), *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char include[128];
        if (sscanf(line, " # include %127s", include) != 1)
            continue;
        cr_expect(is_allowed(include), "%s: %s", path, line);
        count++;
    }
    free(text);
    free(path);
    return count;
}

Test(story_domain, no_header_of_postgres_or_of_the_outbox_is_included)
{
    int includes = 0;
    DIR *domain = opendir(DOMAIN);
    cr_assert(domain != NULL, DOMAIN " is not below the working directory");
    for (const struct dirent *entry; (entry = readdir(domain)) != NULL;)
        includes += check_includes(entry->d_name);
    closedir(domain);
    cr_assert_gt(includes, 5, "otherwise nothing was read");
}
