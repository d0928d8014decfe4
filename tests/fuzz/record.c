/* record.c: the position record, and what else of the journal is parsed. What is taken is exactly what would be written: one position
 * has one text, and nothing that somebody else wrote is believed by half. */
#include "relay/record.h"

#include "fuzz/fuzz.h"
#include "postgres/tick.h"

#include <stdlib.h>
#include <string.h>

static void
check_chain(const struct record *record)
{
    struct record_chain chain = record->chain;
    CHECK(chain.count >= 1 && chain.count <= RECORD_CHAIN);
    if (chain.names[0].seq == INT64_MAX)
        return;
    record_chain_add(&chain, (struct journal_name){.seq = chain.names[0].seq + 1, .nonce = 1});
    CHECK(chain.count <= RECORD_CHAIN && chain.names[1].seq == record->chain.names[0].seq);
    for (size_t i = 1; i < chain.count; i++)
        CHECK(chain.names[i - 1].seq > chain.names[i].seq);
}

int
fuzz_record(const uint8_t *bytes, size_t size)
{
    struct record record;
    struct error error;
    char written[RECORD_TEXT_SIZE], *text = fuzz_text(bytes, size);
    if (record_parse(&record, text, &error)) {
        record_format(&record, written);
        CHECK(strcmp(text, written) == 0);
        CHECK(record_compare(record.at, record.at) == 0);
        check_chain(&record);
    } else {
        CHECK(error.kind == ERROR_CONFIG);
    }
    CHECK(tick_late_count(text) <= (int)size + 1);
    free(text);
    return 0;
}
