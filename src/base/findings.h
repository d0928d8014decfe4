/* findings.h: a list of things found wrong, each with its cure: what `outboxd check` prints, and what makes `run` refuse
 * to start. */
#ifndef OUTBOXD_BASE_FINDINGS_H
#define OUTBOXD_BASE_FINDINGS_H

#include "base/error.h"

enum finding_level { FINDING_OK, FINDING_WARNING, FINDING_ERROR };

struct finding {
    enum finding_level level;
    enum error_kind kind; /* of an error: which exit code it stands for */
    char *what;           /* one sentence */
    char *cure;           /* what to do, a ready command where there is one; NULL for FINDING_OK */
};

struct findings {
    struct finding *list;
    size_t count, capacity;
};

void findings_ok(struct findings *findings, const char *format, ...) PRINTF_LIKE(2, 3);
/* `cure` is copied. */
void findings_add(struct findings *findings, enum finding_level level, enum error_kind kind, const char *cure,
                  const char *format, ...) PRINTF_LIKE(5, 6);

/* The first FINDING_ERROR, or NULL. */
const struct finding *findings_first_error(const struct findings *findings);
void findings_free(struct findings *findings);

#endif
