/* project_office.h: the database of the project example's tests, and what has to be true of it at any time. */
#ifndef OUTBOXD_TESTS_EXAMPLES_PROJECT_OFFICE_H
#define OUTBOXD_TESTS_EXAMPLES_PROJECT_OFFICE_H

#include "command.h"

#include "support/postgres.h"

#define PROJECT_TOPIC "project.created"

struct office {
    struct postgres *postgres;
    const char *database;
    const char *conninfo; /* of the application */
    char *serializable;   /* the same, all transactions serializable */
    PGconn *admin;
};

/* Eight owners, 1 to 8. The server becomes the office's. */
struct office office_open(struct postgres *postgres);
void office_close(struct office *office);

/* There are so many projects, and nothing is half: no project without its workflows and its event, no event without its
 * project, no owner who paid for nothing. */
void office_expect(const struct office *office, int64_t projects);

/* Starts `project WORD ARGUMENT..`, whose transactions have the tests' patience. */
struct command office_start(const char *word, const char *conninfo, const char *const *arguments);

/* `project create ARGUMENT..` ends with this code and says these words. */
void office_create(const struct office *office, int code, const char *words, const char *const *arguments);

#endif
