/* plan.c: what a seed says: each moment comes from the seed and its number, and from nothing else (faults.h). */
#include "chaos/faults.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define REST_FROM_MS 200
#define REST_TO_MS 4000
#define TWO_PERCENT 30
#define LEAD_TO_MS 2000

const struct fault_list *const fault_lists[FAULT_LISTS] = {&faults_relay, &faults_network, &faults_kafka,
                                                           &faults_postgres};

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t
draw(uint64_t *random)
{
    uint64_t z = (*random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int
draw_between(uint64_t *random, int from, int to)
{
    return from + (int)(draw(random) % (uint64_t)(to - from + 1));
}

/* ---- the words ---- */

/* The end of what is between braces that have been opened before `at`. */
static const char *
closing_brace(const char *at)
{
    for (int depth = 1;; at++) {
        CHECK(*at != '\0');
        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        if (depth == 0)
            return at;
    }
}

/* The bar behind the alternative that begins at `at`, or `end`. */
static const char *
bar(const char *at, const char *end)
{
    int depth = 0;
    for (; at < end; at++) {
        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        if (depth == 0 && *at == '|')
            return at;
    }
    return end;
}

static void draw_words(uint64_t *random, const char *from, const char *end, char words[STRIKE_WORDS]);

/* What stands between two braces: FROM..TO, or alternatives. */
static void
draw_choice(uint64_t *random, const char *from, const char *end, char words[STRIKE_WORDS])
{
    int low, high, count = 1;
    size_t used = strlen(words);
    if (bar(from, end) == end) {
        CHECK(sscanf(from, "%d..%d", &low, &high) == 2 && low <= high);
        snprintf(words + used, STRIKE_WORDS - used, "%d", draw_between(random, low, high));
        return;
    }
    for (const char *at = from; (at = bar(at, end)) < end; at++)
        count++;
    for (int skip = draw_between(random, 0, count - 1); skip > 0; skip--)
        from = bar(from, end) + 1;
    draw_words(random, from, bar(from, end), words);
}

static void
draw_words(uint64_t *random, const char *from, const char *end, char words[STRIKE_WORDS])
{
    while (from < end) {
        if (*from == '{') {
            const char *close = closing_brace(from + 1);
            draw_choice(random, from + 1, close, words);
            from = close + 1;
            continue;
        }
        size_t used = strlen(words);
        CHECK(used + 1 < STRIKE_WORDS);
        words[used] = *from++;
        words[used + 1] = '\0';
    }
}

/* ---- the faults ---- */

/* Of which faults: those of all places but `except` whose names are like `only`. */
struct choice {
    const struct fault_list *except;
    const char *only;
};

static int
weight(const struct choice *choice, const struct fault_list *place, size_t at)
{
    const struct fault *fault = &place->list[at];
    bool named = choice->only == NULL || fnmatch(choice->only, fault->name, 0) == 0;
    return named && place != choice->except ? fault->weight : 0;
}

/* Leaves the strike as it is when there is none. */
static void
choose_fault(struct strike *strike, uint64_t *random, const struct choice *choice)
{
    int weights = 0;
    for (size_t l = 0; l < FAULT_LISTS; l++)
        for (size_t i = 0; i < fault_lists[l]->count; i++)
            weights += weight(choice, fault_lists[l], i);
    if (weights == 0)
        return;
    int drawn = draw_between(random, 0, weights - 1);
    for (size_t l = 0; l < FAULT_LISTS; l++)
        for (size_t i = 0; i < fault_lists[l]->count; i++) {
            drawn -= weight(choice, fault_lists[l], i);
            if (drawn >= 0)
                continue;
            strike->place = fault_lists[l];
            strike->fault = &fault_lists[l]->list[i];
            return;
        }
}

static void
draw_strike(struct strike *strike, uint64_t *random, const struct choice *choice)
{
    choose_fault(strike, random, choice);
    const struct fault *fault = strike->fault;
    if (fault == NULL)
        return;
    strike->length_ms = draw_between(random, fault->from_ms, fault->to_ms);
    strike->hits = 1;
    strike->pick = (unsigned)(draw(random) >> 33);
    if (fault->words != NULL)
        draw_words(random, fault->words, fault->words + strlen(fault->words), strike->words);
}

void
plan_draw(struct moment *moment, uint64_t seed, uint64_t number, const char *only)
{
    uint64_t random = seed * UINT64_C(0xd1342543de82ef95) + number;
    *moment = (struct moment){.number = number};
    moment->rest_ms = draw_between(&random, REST_FROM_MS, REST_TO_MS);
    draw_strike(&moment->first, &random, &(struct choice){.only = only});
    moment->lead_ms = draw_between(&random, 0, LEAD_TO_MS);
    moment->first_heals_first = draw_between(&random, 0, 1) == 1;
    if (draw_between(&random, 1, 100) <= TWO_PERCENT)
        draw_strike(&moment->second, &random, &(struct choice){moment->first.place, only});
    moment->first.alone = moment->second.fault == NULL;
}
