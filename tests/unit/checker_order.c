/* checker_order.c: the checker finds events that stand in Kafka in another order than they committed (P2), and keeps replays
 * apart; what ran side by side may come in any order. */
#include "checker_fixture.h"

#include "base/error.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(checker_order, .fini = planted_forget);

/* P2: events of one (topic, key) whose counter was advanced under the row's lock. */
Test(checker_order, finds_an_inversion_by_the_counter)
{
    planted_add(1, "k")->counter = 2;
    planted_add(2, "k")->counter = 1;
    planted_add(3, "k")->counter = 3;
    planted_publish(1), planted_publish(2), planted_publish(3);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.reordered, 1);
    cr_assert_not(verdict_clean(&verdict));
}

Test(checker_order, judges_order_on_first_copies_only)
{
    planted_add(1, "k")->counter = 1;
    planted_add(2, "k")->counter = 2;
    planted_publish(1), planted_publish(2), planted_publish(1);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.reordered, 0);
    cr_assert_eq(verdict.duplicates, 1);
}

Test(checker_order, does_not_compare_different_keys_or_topics)
{
    planted_add(1, "k")->counter = 2;
    planted_add(2, "l")->counter = 1;
    struct expected_event *elsewhere = planted_add(3, "k");
    elsewhere->counter = 1;
    free(elsewhere->topic);
    elsewhere->topic = must_strdup("customers");
    planted_publish(1), planted_publish(2), planted_publish(3);
    cr_assert_eq(planted_judge().reordered, 0);
}

Test(checker_order, does_not_judge_the_order_of_events_without_a_key)
{
    planted_add(1, NULL)->counter = 2;
    planted_add(2, NULL)->counter = 1;
    planted_publish(1), planted_publish(2);
    struct verdict verdict = planted_judge();
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

/* P2: inside one transaction, the order of the inserts. */
Test(checker_order, finds_an_inversion_inside_one_transaction)
{
    planted_add(1, "k")->xid = 5;
    planted_add(2, "k")->xid = 5;
    planted_add(3, "k")->xid = 5;
    planted_publish(1), planted_publish(3), planted_publish(2);
    cr_assert_eq(planted_judge().reordered, 1);
}

/* P2: what had committed before the insert comes first. Transaction 1002 is visible in 1001's snapshot. */
Test(checker_order, finds_an_inversion_by_the_snapshot)
{
    planted_add(1, "k")->snapshot = must_strdup("1003:1003:");
    planted_add(2, "k");
    planted_publish(1), planted_publish(2);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.reordered, 1);
    cr_assert(strstr(verdict.examples, "an earlier commit") != NULL, "%s", verdict.examples);
}

Test(checker_order, finds_it_between_running_transactions_too)
{
    planted_add(1, "k")->snapshot = must_strdup("900:1010:900,1001,1009");
    planted_add(2, "k");
    planted_publish(1), planted_publish(2);
    cr_assert_eq(planted_judge().reordered, 1);
}

Test(checker_order, allows_any_order_of_transactions_that_ran_side_by_side)
{
    planted_add(1, "k")->snapshot = must_strdup("1002:1010:1002,1009");
    planted_add(2, "k")->snapshot = must_strdup("1001:1010:1001");
    planted_add(20, "k")->snapshot = must_strdup("1001:1002:1001");
    planted_publish(20), planted_publish(1), planted_publish(2);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.reordered, 0, "%s", verdict.examples);
}

Test(checker_order, does_not_take_a_transactions_own_events_for_earlier_commits)
{
    for (int64_t id = 1; id <= 2; id++) {
        struct expected_event *event = planted_add(id, "k");
        event->xid = 1001;
        event->snapshot = must_strdup("1005:1005:");
    }
    planted_publish(1), planted_publish(2);
    cr_assert_eq(planted_judge().reordered, 0);
}

Test(checker_order, keeps_replays_apart)
{
    planted_three();
    planted_publish(1), planted_publish(2), planted_publish(3);
    record_add_header(planted_publish(1), "replay", "1", 1);
    struct verdict verdict = planted_judge();
    cr_assert_eq(verdict.replayed, 1);
    cr_assert_eq(verdict.duplicates, 0);
    cr_assert(verdict_clean(&verdict), "%s", verdict.examples);
}

Test(checker_order, judges_the_bytes_of_replays)
{
    planted_three();
    planted_publish(1), planted_publish(2), planted_publish(3);
    struct record *replayed = planted_publish(1);
    record_add_header(replayed, "replay", "1", 1);
    replayed->value.data[0] ^= 1;
    cr_assert_eq(planted_judge().changed, 1);
}

Test(checker_order, does_not_count_a_replay_as_the_event_itself)
{
    planted_add(1, "k");
    record_add_header(planted_publish(1), "replay", "1", 1);
    cr_assert_eq(planted_judge().lost, 1);
}
