/* relay_story_judge.c: how a story ended: what was committed against what Kafka has (relay_story.h). */
#include "e2e/relay_story.h"

#include "support/evidence.h"
#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct verdict
compare(struct story *story, struct expected_events *events, struct records *records)
{
    consumer_read_all(records, broker_bootstrap(story->broker), story->topics, true);
    struct verdict verdict = checker_judge(events, records, story->source);
    if (!verdict_clean(&verdict))
        verdict_print(&verdict, stderr);
    fprintf(stderr, "story: events=%zu duplicates=%zu in runs=%zu\n", verdict.expected, verdict.duplicates,
            verdict.duplicate_runs);
    return verdict;
}

struct verdict
story_compare(struct story *story, struct expected_events *events)
{
    struct records records = {0};
    struct verdict verdict = compare(story, events, &records);
    records_free(&records);
    return verdict;
}

static void
keep_evidence(PGconn *admin, const struct expected_events *events, const struct records *records)
{
    char *directory = scratch_directory("evidence");
    evidence_keep(directory, events, records, admin);
    free(directory);
}

struct verdict
story_judge(struct story *story)
{
    struct expected_events events = {0};
    struct records records = {0};
    PGconn *admin = story_admin(story);
    load_read_ledger(&events, admin);
    struct verdict verdict = compare(story, &events, &records);
    if (!verdict_clean(&verdict) || (story->exact && verdict.duplicates > 0))
        keep_evidence(admin, &events, &records);
    PQfinish(admin);
    records_free(&records);
    expected_free(&events);
    cr_expect(verdict_clean(&verdict), "lost %zu phantom %zu reordered %zu changed %zu", verdict.lost,
              verdict.phantom, verdict.reordered, verdict.changed);
    return verdict;
}
