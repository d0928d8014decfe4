/* ambient.c: what the kernel and the log are to the relay: clocks, random numbers, lines. All of it is the world's, so that a seed says
 * everything. Linked instead of src/base/clock.c, log.c, and getrandom(2). */
#include "base/clock.h"
#include "base/log.h"
#include "simulator/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

int64_t
clock_monotonic_us(void)
{
    return turning != NULL ? process_clock_us(turning) : world.now_us;
}

int64_t
clock_wall_us(void)
{
    return world.now_us + WORLD_WALL_US;
}

ssize_t
getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t done = 0; done < length; done += sizeof(uint64_t)) {
        uint64_t bits = world_random();
        memcpy((char *)buffer + done, &bits, length - done < sizeof bits ? length - done : sizeof bits);
    }
    return (ssize_t)length;
}

void
log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    char line[600];
    int used = 0;
    (void)level;
    if (!world.traced)
        return;
    line[0] = '\0';
    for (; fields->kind != LOG_FIELD_END && used < (int)sizeof line - 120; fields++) {
        if (fields->kind == LOG_FIELD_STR)
            used += snprintf(line + used, 110, " %.20s=%.80s", fields->key, fields->string);
        else
            used += snprintf(line + used, 110, " %.20s=%" PRId64, fields->key, fields->integer);
    }
    trace("process %d: log: %s%s", turning != NULL ? turning->number : -1, message, line);
}

uint64_t
log_dropped(void)
{
    return 0;
}
