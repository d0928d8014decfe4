/* statistics.c: librdkafka's statistics. What cannot be read changes nothing; what can gives numbers that a person may be shown. */
#include "kafka/statistics.h"

#include "base/error.h"
#include "fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int
fuzz_statistics(const uint8_t *bytes, size_t size)
{
    struct producer_statistics first, again, before;
    memset(&before, 0x5a, sizeof before);
    first = again = before;
    char *json = must_alloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(json, bytes, size);
    bool taken = statistics_read(&first, json, size);
    CHECK(statistics_read(&again, json, size) == taken && memcmp(&first, &again, sizeof first) == 0);
    if (taken) {
        CHECK(first.queue_messages >= 0 && first.queue_bytes >= 0 && first.brokers_up >= 0);
        CHECK(isfinite(first.broker_rtt_p99_seconds) && first.broker_rtt_p99_seconds >= 0);
        CHECK(first.instances == before.instances &&
              strncmp(first.away_why, before.away_why, sizeof first.away_why) == 0);
    } else {
        CHECK(memcmp(&first, &before, sizeof first) == 0);
    }
    free(json);
    return 0;
}
