/* effect.c: what the statements of src/postgres/statements.h do that append a row of the journal and something more: only together with
 * that row. Called by statement.c when it commits. */
#include "simulator/statement.h"

#include "simulator/tables.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of those parameters that are not of every row. */
#define MORE 10

static const char *
value(const struct request *request, int at)
{
    return request->values[MORE + at];
}

static int64_t
number(const struct request *request, int at)
{
    return request_number(request, MORE + 1 + at);
}

static json_t *
parsed(const char *text)
{
    json_t *root = text != NULL ? json_loads(text, 0, NULL) : NULL;
    CHECK(text == NULL || root != NULL);
    return root;
}

static void
put_aside(const struct request *request)
{
    json_t *aside = parsed(value(request, 0));
    tables_put_aside(aside);
    json_decref(aside);
}

static void
settle(const struct request *request)
{
    json_t *refused = parsed(value(request, 4));
    tables_request_settle(number(request, 0), number(request, 1), number(request, 2), value(request, 3),
                          refused);
    json_decref(refused);
}

const char *
effect_run(const struct request *request)
{
    char text[24];
    if (strcmp(request->name, "outboxd_put_aside") == 0)
        put_aside(request);
    else if (strcmp(request->name, "outboxd_settle") == 0)
        settle(request);
    else if (strcmp(request->name, "outboxd_apply") == 0)
        tables_apply(number(request, 0), number(request, 1));
    if (strcmp(request->name, "outboxd_settle_topic") != 0)
        return "";
    int64_t now_number =
        tables_topic_settle(number(request, 0), number(request, 1), number(request, 2), value(request, 3));
    if (now_number == 0)
        return NULL;
    snprintf(text, sizeof text, "%" PRId64, now_number);
    return world_text(text);
}
