/* bare.h: the yardstick of the drain: a program that only produces. It reads the same events out of the same outbox into
 * memory first, then sends them with librdkafka and nothing else: the relay's own properties (from the relay's configuration
 * file), the same keys, payloads, headers and timestamps. */
#ifndef OUTBOXD_TESTS_BENCH_BARE_H
#define OUTBOXD_TESTS_BENCH_BARE_H

/* `bench_relay --bare CONFIG EVENTS`. When all is acknowledged it waits to be killed, so that its processor time can be read. */
_Noreturn void bare_main(const char *config, const char *events);

#endif
