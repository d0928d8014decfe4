/* drain.c: one timed drain (drain.h). */
#include "drain.h"

#include "base/clock.h"
#include "support/scratch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_US 20000
#define DRAIN_MS 120000
#define EXIT_MS 60000

double
process_cpu_s(pid_t pid)
{
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
        test_fail("process %d: no processor time to be read", (int)pid);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

struct look {
    int64_t at_us, events;
    double cpu_s, backend_cpu_s;
};

/* Resident memory now, in the sample that belongs to the share that is done. */
static void
sample_rss(double samples[RSS_SAMPLES], pid_t pid, int64_t done, int64_t events)
{
    int64_t index = done * RSS_SAMPLES / events;
    samples[index < RSS_SAMPLES ? index : RSS_SAMPLES - 1] = (double)process_status_kib(pid, "VmRSS:") / 1024;
}

static struct look
look(rd_kafka_t *client, pid_t pid, pid_t backend)
{
    struct look look = {.events = venue_end(client, STAGE_DRAIN_TOPIC), .at_us = clock_monotonic_us()};
    look.cpu_s = process_cpu_s(pid);
    look.backend_cpu_s = backend != 0 ? process_cpu_s(backend) : 0;
    return look;
}

/* From the first new event on the broker until all are there. */
static struct drained
watch(rd_kafka_t *client, int64_t before, int64_t events, pid_t pid, struct outbox *outbox)
{
    struct look first = {0}, last;
    struct drained drained = {0};
    pid_t backend = 0;
    int64_t end_us = clock_monotonic_us() + DRAIN_MS * INT64_C(1000);
    for (bool begun = false;; usleep(LOOK_EVERY_US)) {
        last = look(client, pid, backend);
        if (!begun && last.events > before) {
            backend = outbox != NULL ? outbox_relay_backend(outbox) : 0;
            first = last = look(client, pid, backend);
            begun = true;
        }
        sample_rss(drained.rss_mib, pid, last.events - before, events);
        if (last.events >= before + events)
            break;
        int exit_code;
        if (process_ended(pid, &exit_code))
            test_fail("ended with %d after %" PRId64 " events", exit_code, last.events - before);
        if (last.at_us > end_us)
            test_fail("only %" PRId64 " events after %d s", last.events - before, DRAIN_MS / 1000);
    }
    double counted = (double)(last.events - first.events);
    if (counted < 1)
        test_fail("everything was there at the first look: too few events for a measurement");
    drained.events_per_s = counted / ((double)(last.at_us - first.at_us) / 1e6);
    drained.cpu_us = (last.cpu_s - first.cpu_s) * 1e6 / counted;
    drained.backend_cpu_us = (last.backend_cpu_s - first.backend_cpu_s) * 1e6 / counted;
    return drained;
}

static struct drained
drain(struct outbox *outbox, struct venue *venue, const char *const *overrides, int64_t events,
      int64_t ends_most, struct daemon **relay)
{
    const struct daemon_options options = {.conninfo = outbox_conninfo(outbox, POSTGRES_RELAY),
                                           .bootstrap = venue_bootstrap(venue),
                                           .overrides = overrides};
    rd_kafka_t *client = venue_client(venue, RD_KAFKA_PRODUCER, NULL, NULL);
    int64_t before = venue_end(client, STAGE_DRAIN_TOPIC);
    *relay = daemon_start(&options);
    struct drained drained = watch(client, before, events, daemon_pid(*relay), outbox);
    drained.peak_rss_mib = (double)daemon_peak_rss_kib(*relay) / 1024;
    int exit_code = daemon_terminate(*relay);
    int64_t published = venue_end(client, STAGE_DRAIN_TOPIC) - before;
    rd_kafka_destroy(client);
    if (exit_code != 0 || published < events || published > events + ends_most)
        test_fail("the relay ended with %d and published %" PRId64 " events instead of %" PRId64 ":\n%s",
                  exit_code, published, events, daemon_log(*relay));
    return drained;
}

struct drained
drain_relay(struct outbox *outbox, struct venue *venue, const char *const *overrides, int64_t events,
            struct daemon **relay)
{
    return drain(outbox, venue, overrides, events, 0, relay);
}

struct drained
drain_exact(struct outbox *outbox, struct venue *venue, int64_t events)
{
    struct daemon *relay;
    struct drained drained =
        drain(outbox, venue, (const char *[]){"delivery=exactly-once", NULL}, events, events / 100, &relay);
    daemon_free(relay);
    return drained;
}

struct drained
drain_bare(struct venue *venue, const char *config, int64_t events)
{
    char count[24];
    snprintf(count, sizeof count, "%" PRId64, events);
    const char *argv[] = {"/proc/self/exe", "--bare", config, count, NULL};
    struct process_options options = {.argv = argv, .death_signal = SIGKILL};
    rd_kafka_t *client = venue_client(venue, RD_KAFKA_PRODUCER, NULL, NULL);
    int64_t before = venue_end(client, STAGE_DRAIN_TOPIC);
    pid_t pid = process_start(&options);
    struct drained drained = watch(client, before, events, pid, NULL);
    kill(pid, SIGKILL);
    process_wait(pid, EXIT_MS);
    rd_kafka_destroy(client);
    return drained;
}
