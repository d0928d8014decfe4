/* creation_error.c: see creation_error.h. The only file that knows schema.sql's names of rules. */
#include "creation_error.h"

#include <stdio.h>

static const struct {
    const char *constraint;
    enum project_creation_kind kind;
} rules[] = {
    {"project_name_key", PROJECT_NAME_TAKEN},           {"project_name_given", PROJECT_NAME_EMPTY},
    {"project_owner_fkey", PROJECT_OWNER_UNKNOWN},      {"owner_projects_left", PROJECT_QUOTA_SPENT},
    {"project_has_workflow", PROJECT_WITHOUT_WORKFLOW}, {"workflow_name_key", PROJECT_WORKFLOW_TWICE},
    {"workflow_name_given", PROJECT_WORKFLOW_EMPTY},
};

static enum project_creation_kind
kind_of_rule(const char *constraint)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(constraint, rules[i].constraint) == 0)
            return rules[i].kind;
    return PROJECT_RULE_BROKEN;
}

void
project_creation_error_fill(struct project_creation_error *to, const struct outbox_error *from)
{
    memset(to, 0, sizeof *to);
    to->kind = from->kind == OUTBOX_ERROR_UNKNOWN ? PROJECT_OUTCOME_UNKNOWN : PROJECT_FAILED;
    snprintf(to->message, sizeof to->message, "%s", from->message);
    if (strncmp(from->sqlstate, "23", 2) != 0) /* class 23: integrity constraint violation */
        return;
    to->kind = kind_of_rule(from->constraint);
    if (from->constraint[0] != '\0')
        snprintf(to->constraint, sizeof to->constraint, "%s", from->constraint);
    else
        snprintf(to->constraint, sizeof to->constraint, "%s.%s", from->table, from->column);
}

const char *
project_creation_kind_name(enum project_creation_kind kind)
{
    switch (kind) {
    case PROJECT_NAME_TAKEN:
        return "name_taken";
    case PROJECT_NAME_EMPTY:
        return "name_empty";
    case PROJECT_OWNER_UNKNOWN:
        return "owner_unknown";
    case PROJECT_QUOTA_SPENT:
        return "quota_spent";
    case PROJECT_WITHOUT_WORKFLOW:
        return "without_workflow";
    case PROJECT_WORKFLOW_TWICE:
        return "workflow_twice";
    case PROJECT_WORKFLOW_EMPTY:
        return "workflow_empty";
    case PROJECT_RULE_BROKEN:
        return "rule_broken";
    case PROJECT_FAILED:
        return "failed";
    case PROJECT_OUTCOME_UNKNOWN:
        return "outcome_unknown";
    }
    return "?";
}
