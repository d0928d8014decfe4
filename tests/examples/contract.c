/* contract.c: the contract example, one contract at a time, against a real HTTP server that answers slowly, wrongly, too late or not at
 * all: what is stored is right and whole, everything else has a name. The jobs are in contract_jobs.c. */
#include "contract_world.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* `contract fetch ARGUMENTS` exits with this code and says this. */
static void
expect_fetch(const struct world *world, const char *arguments, int code, const char *says)
{
    struct run run = world_fetch(world, arguments);
    cr_expect_eq(run.code, code, "fetch %s: exit %d, not %d: %s", arguments, run.code, code, run.output);
    cr_expect(strstr(run.output, says) != NULL, "fetch %s: \"%s\" is not in: %s", arguments, says,
              run.output);
    run_free(&run);
}

/* ---- what is stored ---- */

Test(contract, is_stored_with_all_pages_of_its_items_and_one_event)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 7, 5, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1/items?page=3"), 1);
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract where id = 'C-1' and version = 7"
                                            " and etag = '\"C-1-v7\"' and customer = 'Hafen AG'"
                                            " and currency = 'EUR' and total::text = '1250.00'"),
                 1);
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract_item where contract_id = 'C-1'"
                                            " and product = 'rope ' || line and quantity = 7"
                                            " and unit_price::text = '13.5' || line"),
                 5);
    cr_expect_eq(postgres_int(world->admin,
                              "select count(*) from outbox.event where topic = 'contract.stored'"
                              " and key = 'C-1' and convert_from(payload, 'UTF8')::jsonb ="
                              " '{\"contract_id\": \"C-1\", \"version\": 7, \"item_count\": 5}'"),
                 1);
    world_expect_whole(world);
    world_end(world);
}

Test(contract, an_answer_that_comes_slowly_is_waited_for)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "{'path': '/contracts/C-1*', 'do': 'slow', 'ms': 600}");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    world_expect_whole(world);
    world_end(world);
}

Test(contract, a_contract_without_items_is_one)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 0, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    cr_expect_eq(world_count_rows(world, "contract"), 1);
    world_expect_whole(world);
    world_end(world);
}

/* ---- again ---- */

Test(contract, running_again_asks_with_the_etag_and_writes_nothing)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    int64_t written = postgres_int(world->admin, "select xmin::text::bigint from contract");
    expect_fetch(world, "C-1", 0, "C-1 unchanged\n");
    cr_expect_eq(world_count(world, "answers", "/contracts/C-1 304"), 1, "it was not asked by its ETag");
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1/items?page=1"), 1);
    cr_expect_eq(postgres_int(world->admin, "select xmin::text::bigint from contract"), written);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    world_end(world);
}

Test(contract, without_an_etag_running_again_converges_all_the_same)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "");
    for (int i = 0; i < 3; i++) {
        expect_fetch(world, "C-1", 0, i == 0 ? "C-1 stored\n" : "C-1 unchanged\n");
        postgres_exec(world->admin, "update contract set etag = null");
    }
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1/items?page=2"), 3);
    cr_expect_eq(world_count_rows(world, "contract"), 1);
    cr_expect_eq(world_count_rows(world, "contract_item"), 3);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    expect_fetch(world, "C-1", 0, "C-1 unchanged\n");
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract where etag = '\"C-1-v1\"'"), 1,
                 "the ETag of a version that is there was not kept");
    world_end(world);
}

Test(contract, a_new_version_replaces_the_items_as_a_set)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 5, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    world_say_one(world, "C-1", 2, 3, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    cr_expect_eq(world_count_rows(world, "contract_item"), 3,
                 "what has vanished from the contract is still there");
    world_say_one(world, "C-1", 3, 9, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    cr_expect_eq(world_count_rows(world, "contract_item"), 9);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 3);
    world_expect_whole(world);
    world_end(world);
}

Test(contract, an_older_answer_that_comes_late_does_not_overwrite_a_newer_one)
{
    struct world *world = world_start();
    const char *late[] = {"fetch", "C-1", NULL};
    char *output = must_format("%s/late", world->directory);
    world_say_one(world, "C-1", 1, 2, "{'path': '/contracts/C-1/items*', 'do': 'hold', 'times': 1}");
    pid_t pid = world_start_program(world, late, output);
    world_wait_asked(world, "/contracts/C-1/items?page=1");
    world_say_one(world, "C-1", 2, 4, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    world_release(world);
    cr_expect_eq(process_wait(pid, 20000), 0);
    char *said = scratch_read_file(output);
    cr_expect_str_eq(said, "C-1 unchanged\n");
    cr_expect_eq(postgres_int(world->admin, "select version from contract"), 2);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
    world_expect_whole(world);
    free(said);
    free(output);
    world_end(world);
}

/* A byte that no text of Postgres takes, one that it takes and no header should have, one too many: then all is fetched each time. */
Test(contract, an_etag_that_is_not_printable_ascii_or_too_long_is_not_kept_and_breaks_nothing)
{
    char *long_one = must_format("%0250d", 0);
    const char *etags[] = {"caf\\u00e9", "a\\u0001b", "a\\tb", "\\u00c3\\u00a9", long_one};
    for (size_t i = 0; i < sizeof etags / sizeof *etags; i++) {
        struct world *world = world_start();
        char *etag = must_format(", 'etag': '%s'", etags[i]), *contract = world_contract("C-1", 1, 3, etag);
        world_say(world, contract, "");
        expect_fetch(world, "C-1", 0, "C-1 stored\n");
        expect_fetch(world, "C-1", 0, "C-1 unchanged\n");
        cr_expect_eq(world_count(world, "requests", "/contracts/C-1 -"), 2, "%s was sent back", etags[i]);
        cr_expect_eq(postgres_int(world->admin, "select count(*) from contract where etag is null"), 1);
        world_expect_whole(world);
        free(contract);
        free(etag);
        world_end(world);
    }
    free(long_one);
}

Test(contract, an_etag_that_somebody_wrote_into_the_table_cannot_add_a_header)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    postgres_exec(world->admin, "update contract set etag = E'x\\r\\nIf-None-Match: y'");
    expect_fetch(world, "C-1", 0, "C-1 unchanged\n");
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1 -"), 2, "it was sent");
    world_end(world);
}

/* ---- a contract that moves ---- */

Test(contract, one_that_changes_between_header_and_items_is_fetched_anew)
{
    static const char *const moments[] = {"/contracts/C-1", "/contracts/C-1/items[?]page=1"};
    for (size_t i = 0; i < 2; i++) {
        struct world *world = world_start();
        char *after = world_contract("x", 2, 6, ""),
             *fault = must_format("{'path': '%s', 'do': 'change', 'times': 1, 'id': 'C-1', 'contract': %s}",
                                  moments[i], strchr(after, '{'));
        world_say_one(world, "C-1", 1, 5, fault);
        expect_fetch(world, "C-1", 0, "C-1 stored\n");
        cr_expect_eq(postgres_int(world->admin, "select version from contract"), 2);
        cr_expect_eq(world_count(world, "requests", "/contracts/C-1"), 2);
        cr_expect_eq(world_count_rows(world, "outbox.event"), 1);
        world_expect_whole(world);
        free(fault);
        free(after);
        world_end(world);
    }
}

Test(contract, one_that_never_holds_still_is_left_for_later)
{
    struct world *world = world_start();
    world_say_one(
        world, "C-1", 1, 1,
        "{'path': '/contracts/C-1', 'do': 'change', 'times': 1, 'id': 'C-1', 'contract': {'version': 2}},"
        "{'path': '/contracts/C-1', 'do': 'change', 'times': 1, 'id': 'C-1', 'contract': {'version': 3}},"
        "{'path': '/contracts/C-1', 'do': 'change', 'times': 1, 'id': 'C-1', 'contract': {'version': 4}}");
    expect_fetch(world, "C-1", 1, "C-1 timeout: C-1: changed each of the 3 times that it was read\n");
    cr_expect_eq(world_count_rows(world, "contract"), 0);
    world_end(world);
}

/* ---- answers that cannot be right ---- */

struct nonsense {
    const char *further; /* fields of the contract: 'header' and 'page' replace those of the answers */
    const char *fault;
    const char *says;
};

#define ITEM(fields) ", 'page': {'items': [{'contract_id': 'C-1', 'product': 'rope', " fields "}]}"
#define RAW(path, body) "{'path': '" path "', 'do': 'raw', 'body': '" body "'}"

static const struct nonsense nonsenses[] = {
    {"", RAW("/contracts/C-1", "<html>"), "C-1: header: is not JSON at line 1, column"},
    {"", RAW("/contracts/C-1", ""), "C-1: header: is not JSON"},
    {"", RAW("/contracts/C-1", "[]"), "C-1: header: is not a JSON object"},
    {"", RAW("/contracts/C-1", "{} {}"), "C-1: header: is not JSON"},
    {"", RAW("/contracts/C-1", "{\\\\u0022id\\\\u0022: 1}"), "C-1: header: is not JSON"},
    {"", RAW("/contracts/C-1/items*", "{"), "C-1: page 1: is not JSON"},
    {"", RAW("/contracts/C-1/items*", "{\\u0022version\\u0022: 1, \\u0022version\\u0022: 1}"),
     "C-1: page 1: is not JSON"},
    {"", RAW("/contracts/C-1/items*", "{\\u0022version\\u0022: \\u0022\\u00c3(\\u0022}"),
     "C-1: page 1: is not JSON"},
    {", 'header': {'id': 'C-2'}", "", "C-1: header.id: must be the id of this contract"},
    {", 'header': {'id': null}", "", "C-1: header.id: must be"},
    {", 'header': {'version': '1'}", "", "C-1: header.version: must be a whole number from 1 to"},
    {", 'header': {'version': 0}", "", "C-1: header.version: must be"},
    {", 'header': {'version': 9223372036854775808}", "", "C-1: header: is not JSON"},
    {", 'header': {'customer': ''}", "", "C-1: header.customer: must be a text of 1 to 200 bytes"},
    {", 'header': {'customer': {'name': 'Hafen AG'}}", "", "C-1: header.customer: must be"},
    {", 'header': {'customer': 'a\\u0000b'}", "", "C-1: header: is not JSON"},
    {", 'header': {'currency': 'eur'}", "", "C-1: header.currency: must be three capital letters"},
    {", 'header': {'total': 12.5}", "", "C-1: header.total: must be an amount as text"},
    {", 'header': {'total': '-1.00'}", "", "C-1: header.total: must be"},
    {", 'header': {'total': '1.'}", "", "C-1: header.total: must be"},
    {", 'header': {'total': '1e3'}", "", "C-1: header.total: must be"},
    {", 'header': {'total': '1234567890123'}", "", "C-1: header.total: must be"},
    {", 'header': {'item_count': -1}", "", "C-1: header.item_count: must be"},
    {", 'header': {'item_count': 10001}", "",
     "C-1: header.item_count: must be a whole number from 0 to 10000"},
    {", 'header': {'item_count': 2}", "", "C-1: page 1.next_page: must be null on the last page"},
    {", 'header': {'item_count': 1}", "", "C-1: page 1: items[1]: the header says that there are 1 items"},
    {", 'header': {'item_count': 4}", "", "C-1: page 2.next_page: must be a whole number from 3 to 3"},
    {", 'page': {'items': {}}", "", "C-1: page 1.items: must be a list that is not empty"},
    {", 'page': {'items': []}", "", "C-1: page 1.items: must be a list that is not empty"},
    {", 'page': {'items': [1]}", "", "C-1: page 1: items[0].contract_id: must be the id of this contract"},
    {", 'page': {'next_page': 1}", "", "C-1: page 1.next_page: must be a whole number from 2 to 2"},
    {", 'page': {'items': [{'contract_id': 'C-2', 'line': 1, 'product': 'rope', 'quantity': 1,"
     " 'unit_price': '1'}]}",
     "", "C-1: page 1: items[0].contract_id: must be the id of this contract"},
    {ITEM("'quantity': 1, 'unit_price': '1'"), "", "C-1: page 1: items[0].line: must be"},
    {ITEM("'line': 1, 'unit_price': '1'"), "", "C-1: page 1: items[0].quantity: must be"},
    {ITEM("'line': 1, 'quantity': -4, 'unit_price': '1'"), "",
     "C-1: page 1: items[0].quantity: must be a whole number from 1 to 2147483647"},
    {ITEM("'line': 1, 'quantity': 2.0, 'unit_price': '1'"), "", "C-1: page 1: items[0].quantity: must be"},
    {ITEM("'line': 1, 'quantity': 2147483648, 'unit_price': '1'"), "",
     "C-1: page 1: items[0].quantity: must be"},
    {ITEM("'line': 1, 'quantity': 1, 'unit_price': '0.00001'"), "",
     "C-1: page 1: items[0].unit_price: must be"},
    {", 'page_size': 3, 'page': {'items': ["
     "{'contract_id': 'C-1', 'line': 8, 'product': 'rope', 'quantity': 1, 'unit_price': '1'},"
     "{'contract_id': 'C-1', 'line': 9, 'product': 'rope', 'quantity': 1, 'unit_price': '1'},"
     "{'contract_id': 'C-1', 'line': 8, 'product': 'rope', 'quantity': 1, 'unit_price': '1'}]}",
     "", "C-1: items: line 8 comes twice"},
};

Test(contract, an_answer_that_cannot_be_right_is_bad_data_whose_place_is_named_and_nothing_is_written)
{
    struct world *world = world_start();
    size_t count = sizeof nonsenses / sizeof *nonsenses;
    for (size_t i = 0; i < count; i++) {
        char *contract = world_contract("C-1", 1, 3, nonsenses[i].further);
        char *says = must_format("C-1 bad_data: %s", nonsenses[i].says);
        world_say(world, contract, nonsenses[i].fault);
        expect_fetch(world, "C-1", 1, says);
        free(says);
        free(contract);
    }
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1"), count, "nonsense was asked for again");
    cr_expect_eq(world_count_rows(world, "contract"), 0);
    cr_expect_eq(world_count_rows(world, "contract_item"), 0);
    cr_expect_eq(world_count_rows(world, "outbox.event"), 0);
    world_end(world);
}

Test(contract, bad_data_leaves_what_was_stored_before_as_it_was)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 5, "");
    expect_fetch(world, "C-1", 0, "C-1 stored\n");
    char *worse = world_contract("C-1", 2, 3, ", 'header': {'total': null}");
    world_say(world, worse, "");
    expect_fetch(world, "C-1", 1, "C-1 bad_data: C-1: header.total");
    cr_expect_eq(postgres_int(world->admin, "select version from contract"), 1);
    world_expect_whole(world);
    free(worse);
    world_end(world);
}

/* ---- each its own unit ---- */

Test(contract, one_that_fails_takes_no_other_along)
{
    struct world *world = world_start();
    char *first = world_contract("C-1", 1, 3, ""), *last = world_contract("C-4", 1, 3, "");
    char *bad = world_contract("C-3", 1, 3, ", 'header': {'currency': 7}");
    char *all = must_format("%s, %s, %s", first, bad, last);
    world_say(world, all, "");
    struct run run = world_fetch(world, "C-1 C-2 C-3 C-4");
    cr_expect_eq(run.code, 1);
    cr_expect_str_eq(run.output, "C-1 stored\nC-2 not_found: /contracts/C-2: HTTP 404\n"
                                 "C-3 bad_data: C-3: header.currency: must be three capital letters, such as"
                                 " \"EUR\"\nC-4 stored\n");
    cr_expect_eq(postgres_int(world->admin, "select count(*) from contract where id in ('C-1', 'C-4')"), 2);
    cr_expect_eq(world_count_rows(world, "contract"), 2);
    world_expect_whole(world);
    run_free(&run);
    free(all);
    free(bad);
    free(last);
    free(first);
    world_end(world);
}

Test(contract, an_event_that_is_refused_takes_header_and_items_along)
{
    struct world *world = world_start();
    world_say_one(world, "C-1", 1, 3, "");
    postgres_exec(world->admin,
                  "alter table outbox.event add constraint refuses_all check (false) not valid");
    expect_fetch(world, "C-1", 1, "C-1 refused: C-1: SQLSTATE 23514: ");
    cr_expect_eq(world_count_rows(world, "contract"), 0);
    cr_expect_eq(world_count_rows(world, "contract_item"), 0);
    world_end(world);
}

/* ---- the command line ---- */

Test(contract, wrong_options_exit_64_and_no_postgres_exits_69)
{
    struct world *world = world_start();
    static const char *const wrong[] = {"",
                                        "C_1/../x",
                                        "C-1 --attempts 0",
                                        "C-1 --api ftp://127.0.0.1/",
                                        "C-1 --api file:///etc/hostname",
                                        "C-1 --deadline-ms 1s",
                                        "C-1 --unknown"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_fetch(world, wrong[i], 64, "contract: ");
    expect_fetch(world, "C-1 --conninfo postgresql://app@127.0.0.1:1/none", 69, "contract: cannot connect");
    cr_expect_eq(world_count(world, "requests", "/contracts/C-1"), 0);
    world_end(world);
}
