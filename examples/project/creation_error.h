/* creation_error.h: why a project was not created, in the domain's words: what Postgres says, translated. */
#ifndef EXAMPLE_CREATION_ERROR_H
#define EXAMPLE_CREATION_ERROR_H

#include <outbox.h>

enum project_creation_kind {
    PROJECT_NAME_TAKEN, /* the owner has a project of that name */
    PROJECT_NAME_EMPTY,
    PROJECT_OWNER_UNKNOWN,
    PROJECT_QUOTA_SPENT,      /* the owner may not create another one */
    PROJECT_WITHOUT_WORKFLOW, /* found at COMMIT */
    PROJECT_WORKFLOW_TWICE,
    PROJECT_WORKFLOW_EMPTY,
    PROJECT_RULE_BROKEN,     /* a rule of the database that the domain has no word for: see `constraint` */
    PROJECT_FAILED,          /* no rule was broken: Postgres could not do it; again later, perhaps */
    PROJECT_OUTCOME_UNKNOWN, /* the connection broke during COMMIT: look for the project's name */
};

/* After each kind but the last nothing is created. */
struct project_creation_error {
    enum project_creation_kind kind;
    /* its name; of a NOT NULL, which has none, TABLE.COLUMN; "" when no rule was broken */
    char constraint[132];
    char message[512]; /* for the log */
};

void project_creation_error_fill(struct project_creation_error *to, const struct outbox_error *from);

/* "name_taken": stable, for people and scripts. */
const char *project_creation_kind_name(enum project_creation_kind kind);

#endif
