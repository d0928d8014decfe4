/* results_service.c: what the relay costs others, and how long nobody publishes (results.h). */
#include "results.h"

/* This project's design: per cent of a core, shares of the rate without a relay, and what a user waits for. */
#define GOAL_IDLE_PERCENT 2.0
#define GOAL_BESIDE_MOCK 0.97
#define GOAL_BESIDE_KAFKA 0.90
#define GOAL_KILLED_MS 4000.0
#define GOAL_RELEASED_MS 500.0
#define GOAL_STARTED_MS 1000.0

static json_t *
pack_takeover(const struct takeover *took)
{
    return json_pack("{s:f, s:f, s:f}", "after_kill", results_round(took->killed, 1), "after_sigterm",
                     results_round(took->released, 1), "after_start", results_round(took->started, 1));
}

void
results_add_service(json_t *results, const char *broker, const struct service_results *found)
{
    double ratio[ROUNDS_MAX];
    json_t *ratios = json_array();
    bool mock = broker[0] == 'm';
    for (int i = 0; i < found->count; i++) {
        ratio[i] = found->beside[i] / found->alone[i];
        json_array_append_new(ratios, json_real(results_round(ratio[i], 0.001)));
    }
    json_t *line = json_pack(
        "{s:s, s:f, s:{s:f, s:f, s:f, s:o, s:f}, s:o, s:{s:f, s:f, s:f, s:f}}", "broker", broker,
        "idle_cpu_percent", results_round(found->idle_cpu_percent, 0.01), "sign_ups", "alone_per_s",
        results_round(results_median(found->alone, found->count), 1), "beside_relay_per_s",
        results_round(results_median(found->beside, found->count), 1), "ratio",
        results_round(results_median(ratio, found->count), 0.001), "ratios", ratios, "goal",
        mock ? GOAL_BESIDE_MOCK : GOAL_BESIDE_KAFKA, "first_event_ms", pack_takeover(&found->takeover),
        "goals", "idle_cpu_percent", GOAL_IDLE_PERCENT, "after_kill_ms", GOAL_KILLED_MS, "after_sigterm_ms",
        GOAL_RELEASED_MS, "after_start_ms", GOAL_STARTED_MS);
    if (!mock)
        json_object_set_new(line, "exactly_once_first_event_ms", pack_takeover(&found->exact_takeover));
    json_array_append_new(json_object_get(results, "service"), line);
}

static void
print_line(const json_t *line, FILE *to, const char *what, double found, const char *unit,
           const char *compared, double goal)
{
    fprintf(to, "%-7s%-52s%10.2f %-12s(goal %s %.2f)\n", results_text(line, "broker"), what, found, unit,
            compared, goal);
}

/* first_event_ms, or its twin. */
static void
print_takeover(const json_t *line, FILE *to, const json_t *first, const char *delivered)
{
    static const struct {
        const char *key, *what;
        double goal;
    } rows[] = {{"after_kill", "leader killed -> first event of the standby", GOAL_KILLED_MS},
                {"after_sigterm", "leader gets SIGTERM -> first event of it", GOAL_RELEASED_MS},
                {"after_start", "start after a clean stop -> first event", GOAL_STARTED_MS}};
    char what[80];
    for (size_t i = 0; first != NULL && i < sizeof rows / sizeof *rows; i++) {
        snprintf(what, sizeof what, "%s%s", delivered, rows[i].what);
        print_line(line, to, what, results_number(first, rows[i].key), "ms", "<", rows[i].goal);
    }
}

void
results_print_service(const json_t *results, FILE *to)
{
    const json_t *line;
    size_t i;
    fprintf(to, "\nservice\n");
    json_array_foreach(json_object_get(results, "service"), i, line)
    {
        const json_t *ups = json_object_get(line, "sign_ups");
        char what[80];
        snprintf(what, sizeof what, "sign-ups beside the relay, %.0f/s of %.0f/s alone",
                 results_number(ups, "beside_relay_per_s"), results_number(ups, "alone_per_s"));
        print_line(line, to, what, results_number(ups, "ratio"), "", ">=", results_number(ups, "goal"));
        print_line(line, to, "idle relay", results_number(line, "idle_cpu_percent"), "% of a core", "<",
                   GOAL_IDLE_PERCENT);
        print_takeover(line, to, json_object_get(line, "first_event_ms"), "");
        print_takeover(line, to, json_object_get(line, "exactly_once_first_event_ms"), "exact: ");
    }
}
