/* kafka_barred.c: which topic Kafka did not take into a transaction, out of librdkafka's log. */
#include "kafka/barred.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(kafka_barred);

Test(kafka_barred, the_topic_that_may_not_be_written_is_named_and_those_beside_it_are_not)
{
    struct outcome why;
    barred_hear("TxnCoordinator/1: Failed to add partition \"orders.v-1_a\" [0] to transaction: "
                "Broker: Topic authorization failed");
    barred_hear("TxnCoordinator/1: Failed to add partition \"invoices\" [2] to transaction: "
                "Broker: Operation not attempted");
    cr_assert(barred_find("orders.v-1_a", &why));
    cr_expect_eq(why.kind, OUTCOME_TOPIC);
    cr_expect_str_eq(why.name, "TOPIC_AUTHORIZATION_FAILED");
    cr_expect_not(barred_find("invoices", &why), "nobody has refused it");
    cr_expect_not(barred_find("orders", &why));
    barred_forget();
    cr_expect_not(barred_find("orders.v-1_a", &why), "that was another instance");
}

Test(kafka_barred, what_is_no_topics_fault_or_no_such_line_bars_nothing)
{
    struct outcome why;
    barred_hear(
        "TxnCoordinator/1: Failed to add partition \"t\" [0] to transaction: Broker: Producer fenced");
    barred_hear("TxnCoordinator/1: Failed to add partition \"t\" [0] to transaction: what nobody knows");
    barred_hear("TxnCoordinator/1: Failed to add partition \"t\" [0]");
    barred_hear("Failed to add partition \"\" [0] to transaction: Broker: Topic authorization failed");
    barred_hear("");
    cr_expect_not(barred_find("t", &why));
    cr_expect_not(barred_find("", &why));
}

Test(kafka_barred, more_topics_than_it_has_room_for_do_no_harm)
{
    struct outcome why;
    char text[200];
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text,
                 "Failed to add partition \"t%d\" [0] to transaction: Broker: Topic authorization failed", i);
        barred_hear(text);
    }
    cr_expect(barred_find("t0", &why));
    cr_expect_not(barred_find("t999", &why));
}
