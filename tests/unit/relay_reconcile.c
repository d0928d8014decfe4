/* relay_reconcile.c: the truth table: which of Postgres and Kafka is believed, row by row. */
#include "relay/reconcile.h"

#include <criterion/criterion.h>
#include <string.h>

static struct record kafka;
static struct journal_row row;
static struct journal_name names[8];
static struct reconcile_facts facts;
static struct reconciled result;

/* k = (12, 0) with ticks 12, 11, 8; the journal has all of them, has seen (11, 0), and p = (11, 0). */
static void
agree(void)
{
    static const struct journal_name ticks[] = {{8, 80}, {11, 110}, {12, 120}};
    kafka = (struct record){
        .relay = "main", .at = {12, 0}, .place = {.sysid = 5, .timeline = 1, .dbid = 9}, .cluster = "here"};
    memset(&row, 0, sizeof row);
    row.here = row.place = kafka.place;
    row.exact = (struct journal_exact){.on = true, .position = {11, 0}, .nonce = 110};
    for (size_t i = 0; i < 3; i++) {
        record_chain_add(&kafka.chain, ticks[i]);
        names[2 - i] = ticks[i];
    }
    facts = (struct reconcile_facts){.relay = "main",
                                     .config = "/etc/shop.yaml",
                                     .kafka = &kafka,
                                     .cluster = "here",
                                     .row = &row,
                                     .confirmed = {11, 0},
                                     .known = {.sides = true, .names = names, .count = 3}};
}

static enum reconcile
verdict(void)
{
    reconcile(&facts, &result);
    return result.verdict;
}

static void
expect_start(int64_t seq, int64_t id)
{
    struct journal_position start = {seq, id};
    cr_expect_eq(verdict(), RECONCILE_GO_ON, "%s", result.why);
    cr_expect_eq(record_compare(result.start, start), 0, "starts after (%lld, %lld)",
                 (long long)result.start.seq, (long long)result.start.id);
}

TestSuite(relay_reconcile, .init = agree);

/* Source `a-b` and relay `c`, source `a` and relay `b-c`, of one database or of two. */
Test(relay_reconcile, a_position_of_a_relay_whose_names_run_into_ours_is_foreign_whatever_else_it_says)
{
    snprintf(kafka.relay, sizeof kafka.relay, "other-main");
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
    cr_expect_not_null(strstr(result.why, "of the relay other-main, this one is main"), "%s", result.why);
    row.exact.position.seq = JOURNAL_EXACT_ANEW;
    cr_expect_eq(verdict(), RECONCILE_FOREIGN, "an operator's word does not make it ours");
    row.exact.on = false;
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
}

Test(relay_reconcile, what_was_committed_and_not_yet_confirmed_is_not_sent_again)
{
    expect_start(12, 0);
}

/* p runs ahead over ticks without events of this relay. */
Test(relay_reconcile, empty_ticks_that_only_the_journal_knows_are_behind_us)
{
    facts.confirmed = (struct journal_position){20, 0};
    row.exact.position = (struct journal_position){12, 0};
    expect_start(20, 0);
}

Test(relay_reconcile, a_position_whose_tick_was_trimmed_is_known_by_what_the_newest_row_remembers)
{
    row.exact = (struct journal_exact){.on = true, .position = {12, 0}, .nonce = 120};
    facts.confirmed = (struct journal_position){90000, 0};
    facts.known.count = 0;
    expect_start(90000, 0);
    row.exact.nonce = 121;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
}

/* A rebase has confirmed tick 20, of which it knew that (11, 0) was in Kafka. */
Test(relay_reconcile, what_a_rebase_did_not_know_of_stops_it)
{
    facts.confirmed = row.confirmed = (struct journal_position){20, 0};
    facts.known.rebased = true;
    cr_expect_eq(verdict(), RECONCILE_REBASED);
    cr_expect_not_null(
        strstr(result.why, "`outboxd rebase --position main --conninfo ADMIN --config /etc/shop.yaml`"), "%s",
        result.why);
    row.place.sysid = row.here.sysid = 6; /* also in a restored dump, which has the ticks of the old place */
    cr_expect_eq(verdict(), RECONCILE_REBASED);
    row.exact = (struct journal_exact){.on = true, .position = {12, 0}, .nonce = 120};
    expect_start(20, 0);
}

Test(relay_reconcile,
     a_restored_database_knows_the_last_position_of_the_place_before_when_its_tick_is_trimmed)
{
    row.place.sysid = row.here.sysid = 6;
    row.exact = (struct journal_exact){.on = true, .position = {12, 0}, .nonce = 120};
    facts.confirmed = row.confirmed = (struct journal_position){20, 0};
    facts.known.count = 0;
    expect_start(20, 0);
    row.exact.nonce = 121;
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
}

Test(relay_reconcile, a_position_within_a_tick_is_judged_by_that_tick)
{
    kafka.at = (struct journal_position){11, 7000};
    expect_start(11, 7000);
    names[0].nonce = 121;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
}

Test(relay_reconcile, no_position_although_one_was_committed_is_a_loss_of_Kafka)
{
    facts.kafka = NULL;
    cr_expect_eq(verdict(), RECONCILE_KAFKA_LOST);
    cr_expect_not_null(strstr(result.why, "outboxd rebase"));
    cr_expect_not_null(strstr(result.why, "tick 11"));
}

Test(relay_reconcile, a_position_before_one_that_was_committed_is_a_loss_of_Kafka)
{
    row.exact = (struct journal_exact){.on = true, .position = {12, 5}, .nonce = 130};
    cr_expect_eq(verdict(), RECONCILE_KAFKA_LOST);
}

/* A dead letter was retried, say: the position stayed where it was. */
Test(relay_reconcile, a_transaction_before_our_last_one_is_a_loss_of_Kafka_though_the_position_is_the_same)
{
    struct record last = kafka;
    facts.last = &last;
    last.epoch = kafka.epoch = 7;
    last.commit = kafka.commit = 880;
    expect_start(12, 0);
    kafka.commit = 881; /* one in doubt has happened */
    expect_start(12, 0);
    kafka.commit = 879;
    cr_expect_eq(verdict(), RECONCILE_KAFKA_LOST);
    cr_expect_not_null(strstr(result.why, "transaction 879 of epoch 7 although transaction 880"), "%s",
                       result.why);
    kafka.epoch = 8; /* another process has led meanwhile */
    expect_start(12, 0);
}

Test(relay_reconcile,
     a_tick_of_the_same_number_in_another_history_is_a_loss_of_Postgres_up_to_the_last_common_one)
{
    names[0].nonce = 999; /* tick 12 again, after a promotion */
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    cr_expect_eq(result.common.seq, 11);
    names[1].nonce = 999;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    cr_expect_eq(result.common.seq, 8);
    facts.known.count = 0;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    cr_expect_eq(result.common.seq, -1, "no common tick is none");
}

Test(relay_reconcile, a_journal_that_delivered_at_least_once_is_the_truth_whatever_an_older_position_says)
{
    row.exact = (struct journal_exact){0};
    facts.confirmed = (struct journal_position){15, 0};
    facts.known.count = 0;
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect_eq(result.start.seq, 15);
    facts.kafka = NULL;
    cr_expect_eq(verdict(), RECONCILE_BASE);
}

/* The row that says "exactly once" is lost with the primary, too. */
Test(relay_reconcile,
     a_journal_that_delivered_at_least_once_and_is_behind_an_unknown_position_has_lost_rows__row_59)
{
    row.exact = (struct journal_exact){0};
    names[0].nonce = 999;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    facts.confirmed = (struct journal_position){12, 0};
    cr_expect_eq(verdict(), RECONCILE_BASE, "an old position, of a tick that was trimmed");
    cr_expect_eq(result.start.seq, 12);
}

/* .. and `outboxd rebase` lets it begin anew with a number above all that it has put aside, perhaps above the position. */
Test(relay_reconcile, a_rebase_without_a_journal_confirms_nothing_of_what_Kafka_has__P3)
{
    row.exact = (struct journal_exact){0};
    facts.confirmed = (struct journal_position){500, 0};
    facts.known.count = 0;
    facts.known.rebased = true;
    cr_expect_eq(verdict(), RECONCILE_REBASED);
    facts.kafka = NULL;
    cr_expect_eq(verdict(), RECONCILE_BASE);
}

/* `outboxd rebase` writes "at least once", and may do so when a commit was not yet confirmed. */
Test(relay_reconcile, a_known_position_is_not_fallen_behind_whatever_the_journal_delivered)
{
    row.exact = (struct journal_exact){0};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect_eq(result.start.seq, 12);
}

Test(relay_reconcile, an_old_primary_is_refused_once_its_successor_has_been_in_Kafka__row_60)
{
    kafka.place.timeline = 2;
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    cr_expect_not_null(strstr(result.why, "old primary"));
    row.exact = (struct journal_exact){0};
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    row.exact = (struct journal_exact){.on = true, .position = {JOURNAL_EXACT_ANEW, 0}};
    cr_expect_eq(verdict(), RECONCILE_BASE, "an operator decides");
}

Test(relay_reconcile, a_position_of_another_database_or_cluster_is_foreign_and_never_a_loss)
{
    facts.known.count = 0;
    kafka.place.sysid = 6;
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
    row.exact = (struct journal_exact){0};
    cr_expect_eq(verdict(), RECONCILE_FOREIGN, "the other outbox would be overwritten");
    agree();
    facts.known.count = 0;
    kafka.place.dbid = 10;
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
    agree();
    facts.cluster = "there";
    cr_expect_eq(verdict(), RECONCILE_FOREIGN);
    cr_expect_not_null(strstr(result.why, "another Kafka cluster"));
}

Test(relay_reconcile, after_a_rebase_a_position_of_the_place_before_is_ours_by_its_tick)
{
    kafka.place.sysid = 6;
    expect_start(12, 0);
    row.exact = (struct journal_exact){0};
    cr_expect_eq(verdict(), RECONCILE_BASE);
}

Test(relay_reconcile, an_operator_who_says_that_the_journal_is_right_is_believed_whatever_Kafka_says)
{
    row.exact = (struct journal_exact){.on = true, .position = {JOURNAL_EXACT_ANEW, 0}};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    kafka.at = (struct journal_position){3, 0};
    kafka.chain = (struct record_chain){.names = {{3, 30}}, .count = 1};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect_eq(result.start.seq, 11);
    kafka.place.sysid = 6;
    facts.known.count = 0;
    cr_expect_eq(verdict(), RECONCILE_BASE);
    facts.kafka = NULL;
    cr_expect_eq(verdict(), RECONCILE_BASE);
}

Test(relay_reconcile, when_an_operator_has_decided_what_both_know_is_not_repeated__row_59)
{
    row.exact = (struct journal_exact){.on = true, .position = {JOURNAL_EXACT_ANEW, 0}};
    facts.confirmed = (struct journal_position){7, 3};
    names[0].nonce = 999;
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 11 && result.start.id == 0,
              "all of tick 11 is in Kafka, and nothing of ours after it");
    names[0].nonce = 120;
    kafka.at = (struct journal_position){11, 7000};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 11 && result.start.id == 7000);
    facts.known.count = 0;
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 7 && result.start.id == 3);
    facts.known.count = 3;
    facts.cluster = "there";
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 7 && result.start.id == 3,
              "a copied topic says nothing about this cluster");
}

Test(relay_reconcile, a_new_timeline_of_the_same_history_is_no_obstacle__row_58)
{
    row.here.timeline = 2;
    expect_start(12, 0);
}

/* The row by which something was put aside has the number 12; the journal has it, or had it, or never did. */
Test(relay_reconcile, what_was_put_aside_in_a_row_that_is_lost_is_not_passed_over__P1)
{
    kafka.at = (struct journal_position){11, 0};
    kafka.chain = (struct record_chain){.names = {{11, 110}, {8, 80}}, .count = 2};
    kafka.aside = (struct journal_name){12, 120};
    expect_start(11, 0);
    kafka.aside.nonce = 121; /* that number again, after a promotion */
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    cr_expect_not_null(strstr(result.why, "row 12 of the journal"), "%s", result.why);
    cr_expect_not_null(strstr(result.why, "outboxd rebase --position main"), "%s", result.why);
    kafka.aside = (struct journal_name){15, 150}; /* no row has come as far */
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    facts.confirmed = (struct journal_position){20, 0}; /* trimmed since */
    expect_start(20, 0);
}

Test(relay_reconcile, when_an_operator_has_decided_what_both_know_is_passed_only_with_what_was_put_aside__P1)
{
    row.exact = (struct journal_exact){.on = true, .position = {JOURNAL_EXACT_ANEW, 0}};
    facts.confirmed = (struct journal_position){7, 3};
    kafka.aside = (struct journal_name){12, 120};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 12 && result.start.id == 0);
    kafka.aside = (struct journal_name){15, 150};
    cr_expect_eq(verdict(), RECONCILE_BASE);
    cr_expect(result.start.seq == 7 && result.start.id == 3,
              "what Kafka does not have, and no table, comes again");
}

Test(relay_reconcile,
     a_journal_that_delivered_at_least_once_does_not_follow_a_position_without_what_was_put_aside__P1)
{
    row.exact = (struct journal_exact){0};
    kafka.aside = (struct journal_name){15, 150};
    cr_expect_eq(verdict(), RECONCILE_POSTGRES_LOST);
    facts.confirmed = (struct journal_position){13, 0};
    cr_expect_eq(verdict(), RECONCILE_BASE, "an old position");
    cr_expect_eq(result.start.seq, 13);
}

/* It was catching up, and Kafka knows how far; the rebase has made its events unconfirmed ones, and forgotten it. */
Test(relay_reconcile, a_rebase_that_has_forgotten_a_topic_that_was_catching_up_stops_it__P3)
{
    row.exact = (struct journal_exact){.on = true, .position = {12, 0}, .nonce = 120};
    facts.confirmed = row.confirmed = (struct journal_position){20, 0};
    facts.known.rebased = true;
    expect_start(20, 0);
    facts.known.sides = false;
    cr_expect_eq(verdict(), RECONCILE_REBASED);
    facts.known.rebased = false;
    expect_start(20, 0);
}
