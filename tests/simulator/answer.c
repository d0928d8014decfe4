/* answer.c: see answer.h. Filled by statement.c and query.c, taken by session.c. Formats: PostgreSQL manual, "COPY", Binary Format. */
#include "simulator/answer.h"

#include "simulator/model.h"

#include <endian.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MOST 24
#define COPY_ROW_SIZE (64 * 1024)
/* 2000-01-01 in microseconds since 1970-01-01: the epoch of timestamptz. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

void
answer_bytes(struct answer *answer, const void *data, size_t size)
{
    struct cell *cell = world_alloc(sizeof *cell);
    if (data != NULL)
        *cell = (struct cell){memcpy(world_alloc(size + 1), data, size), size};
    answer->cells = world_grow(answer->cells, answer->count, &answer->capacity);
    answer->cells[answer->count++] = cell;
}

void
answer_text(struct answer *answer, const char *text)
{
    answer_bytes(answer, text, text != NULL ? strlen(text) : 0);
}

void
answer_number(struct answer *answer, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    answer_text(answer, text);
}

void
answer_flag(struct answer *answer, bool flag)
{
    answer_text(answer, flag ? "t" : "f");
}

void
answer_null(struct answer *answer)
{
    answer_bytes(answer, NULL, 0);
}

void
answer_int64(struct answer *answer, int64_t number)
{
    uint64_t big = htobe64((uint64_t)number);
    answer_bytes(answer, &big, sizeof big);
}

void
answer_event(struct answer *answer, const struct row *row, const char *topic, const char *headers, bool large)
{
    static const char payload[MODEL_PAYLOAD_MOST] = {0};
    char jsonb[128];
    answer_int64(answer, row->id);
    answer_int64(answer, row->created_at_us - POSTGRES_EPOCH_US);
    answer_text(answer, topic != NULL ? topic : model_topic_name(row->topic));
    answer_text(answer, model_key_name(row->key));
    answer_bytes(answer, large ? NULL : payload, row->payload_size);
    snprintf(jsonb, sizeof jsonb, "\1%s", headers != NULL ? headers : "");
    answer_text(answer, headers != NULL ? jsonb : NULL);
    answer_bytes(answer, large ? "\1" : NULL, 1);
}

struct pg_result *
answer_result(const struct answer *answer, bool binary)
{
    static char name[] = "column";
    PGresAttDesc columns[COLUMNS_MOST] = {0};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    CHECK(result != NULL && answer->columns <= COLUMNS_MOST);
    if (answer->columns == 0)
        return result;
    CHECK(answer->count % answer->columns == 0);
    for (size_t i = 0; i < answer->columns; i++)
        columns[i] = (PGresAttDesc){.name = name, .format = binary};
    CHECK(PQsetResultAttrs(result, (int)answer->columns, columns));
    for (size_t i = 0; i < answer->count; i++) {
        const struct cell *cell = answer->cells[i];
        CHECK(PQsetvalue(result, (int)(i / answer->columns), (int)(i % answer->columns),
                         (char *)(uintptr_t)cell->data, cell->data != NULL ? (int)cell->size : -1));
    }
    return result;
}

static size_t
put(char *to, size_t used, const void *data, size_t size)
{
    CHECK(used + size <= COPY_ROW_SIZE);
    memcpy(to + used, data, size);
    return used + size;
}

void
answer_copy(const struct answer *answer, session_row_sink *sink, void *context)
{
    static char row[COPY_ROW_SIZE];
    static const char head[19] = "PGCOPY\n\377\r\n";
    uint16_t columns = htobe16((uint16_t)answer->columns), end = UINT16_MAX;
    bool wanted = sink(context, head, sizeof head);
    for (size_t i = 0; wanted && i < answer->count;) {
        size_t used = put(row, 0, &columns, sizeof columns);
        for (size_t column = 0; column < answer->columns; column++, i++) {
            const struct cell *cell = answer->cells[i];
            uint32_t size = htobe32(cell->data != NULL ? (uint32_t)cell->size : UINT32_MAX);
            used = put(row, used, &size, sizeof size);
            if (cell->data != NULL)
                used = put(row, used, cell->data, cell->size);
        }
        wanted = sink(context, row, used);
    }
    if (wanted)
        (void)sink(context, (const char *)&end, sizeof end);
}
