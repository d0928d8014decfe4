/* walk.c: see walk.h. Reads only. */
#include "postgres/walk.h"

#include "postgres/cells.h"
#include "postgres/oneshot.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>

#define LEAST_WIDTH 1000
#define QUICK_US (INT64_C(20) * 1000)
#define SLOW_US (INT64_C(100) * 1000)

/* An id is drawn before its event's time is taken, and clocks are set: so far the two may be out of step. */
#define CLOCK_SLACK_US (INT64_C(60) * 1000000)

int64_t
walk_width(int64_t width, int64_t took_us)
{
    if (took_us > SLOW_US && width > LEAST_WIDTH)
        return width / 4;
    return took_us < QUICK_US && width < INT64_MAX / 8 ? width * 4 : width;
}

bool
walk_find(struct session *session, int64_t since_us, int64_t low, int64_t high, int64_t *id,
          struct error *error)
{
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        char after[24];
        const char *values[] = {after};
        struct oneshot_statement statement = {"outboxd_walk_at", 1, values, false};
        PGresult *result = NULL;
        snprintf(after, sizeof after, "%" PRId64, middle);
        if (!oneshot_run(session, &statement, &result, error))
            return false;
        int64_t found = PQntuples(result) == 1 ? cell_number(result, 0, 0) : INT64_MAX;
        bool early = found <= high && cell_number(result, 0, 1) < since_us - CLOCK_SLACK_US;
        PQclear(result);
        if (early)
            low = found;
        else
            high = middle;
    }
    *id = low;
    return true;
}
