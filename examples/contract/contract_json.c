/* contract_json.c: see contract_json.h; by jansson, which refuses bytes that are not UTF-8, NUL in a text, and numbers that fit into
 * nothing. Errors quote no value: they end up in a table and in logs, and a contract is nobody's business. */
#include "contract_json.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One object of the answer, and what to call it when something in it is wrong. */
struct part {
    const json_t *object;
    char place[CONTRACT_ID_MAX + 48]; /* "C-1: page 2: items[0]" */
    struct result *result;
};

static bool
wrong(const struct part *part, const char *name, const char *want)
{
    return result_fail(part->result, OUTCOME_BAD_DATA, "%s.%s: must be %s", part->place, name, want);
}

static bool
take_integer(const struct part *part, const char *name, int64_t least, int64_t most, int64_t *value)
{
    const json_t *field = json_object_get(part->object, name);
    *value = json_integer_value(field);
    if (json_is_integer(field) && *value >= least && *value <= most)
        return true;
    char want[80];
    snprintf(want, sizeof want, "a whole number from %lld to %lld", (long long)least, (long long)most);
    return wrong(part, name, want);
}

static bool
take_text(const struct part *part, const char *name, size_t most, char *text)
{
    const json_t *field = json_object_get(part->object, name);
    size_t size = json_string_length(field);
    if (size >= 1 && size <= most) {
        memcpy(text, json_string_value(field), size + 1);
        return true;
    }
    char want[80];
    snprintf(want, sizeof want, "a text of 1 to %zu bytes", most);
    return wrong(part, name, want);
}

/* "1250", "13.5": 1 to 12 digits, and 1 to 4 behind a point. A JSON number is refused: it would have been a float on the way. */
static bool
take_amount(const struct part *part, const char *name, char amount[CONTRACT_AMOUNT_MAX + 1])
{
    static const char digits[] = "0123456789";
    const char *text = json_string_value(json_object_get(part->object, name));
    size_t whole = text != NULL ? strspn(text, digits) : 0;
    size_t behind = whole > 0 && text[whole] == '.' ? strspn(text + whole + 1, digits) : 0;
    size_t size = whole + (behind > 0 ? behind + 1 : 0);
    if (whole < 1 || whole > 12 || behind > 4 || text[size] != '\0')
        return wrong(part, name, "an amount as text, such as \"1250.00\"");
    memcpy(amount, text, size + 1);
    return true;
}

static bool
take_currency(const struct part *part, const char *name, char currency[4])
{
    const char *text = json_string_value(json_object_get(part->object, name));
    if (text == NULL || strlen(text) != 3 || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
        return wrong(part, name, "three capital letters, such as \"EUR\"");
    memcpy(currency, text, 4);
    return true;
}

/* Ours, and nobody else's: a cache or a proxy may mix up answers. */
static bool
is_of(const struct part *part, const char *name, const char *id)
{
    const char *text = json_string_value(json_object_get(part->object, name));
    return (text != NULL && strcmp(text, id) == 0) || wrong(part, name, "the id of this contract");
}

/* A name that comes twice in one object is refused: nobody knows which one is meant. The caller releases it. */
static json_t *
parse(const char *place, const char *body, size_t size, struct result *result)
{
    json_error_t error;
    json_t *root = json_loadb(body != NULL ? body : "", size, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(root))
        return root;
    if (root != NULL)
        result_fail(result, OUTCOME_BAD_DATA, "%s: is not a JSON object", place);
    else
        result_fail(result, OUTCOME_BAD_DATA, "%s: is not JSON at line %d, column %d", place, error.line,
                    error.column);
    json_decref(root);
    return NULL;
}

bool
contract_json_header(struct contract *contract, const char *id, const char *body, size_t size,
                     struct result *result)
{
    struct part part = {.result = result};
    int64_t item_count = 0;
    snprintf(contract->id, sizeof contract->id, "%s", id);
    snprintf(part.place, sizeof part.place, "%s: header", id);
    json_t *root = parse(part.place, body, size, result);
    part.object = root;
    bool done = root != NULL && is_of(&part, "id", id) &&
                take_integer(&part, "version", 1, INT64_MAX, &contract->version) &&
                take_text(&part, "customer", CONTRACT_TEXT_MAX, contract->customer) &&
                take_currency(&part, "currency", contract->currency) &&
                take_amount(&part, "total", contract->total) &&
                take_integer(&part, "item_count", 0, CONTRACT_ITEMS_MAX, &item_count);
    json_decref(root);
    if (!done)
        return false;
    contract->item_count = (size_t)item_count;
    contract->items = calloc(contract->item_count + 1, sizeof *contract->items);
    return contract->items != NULL || result_fail(result, OUTCOME_TIMEOUT, "no memory for the items");
}

static bool
add_item(struct contract *contract, const struct part *part)
{
    int64_t line = 0, quantity = 0;
    if (contract->items_read == contract->item_count)
        return result_fail(part->result, OUTCOME_BAD_DATA, "%s: the header says that there are %zu items",
                           part->place, contract->item_count);
    struct contract_item *item = &contract->items[contract->items_read];
    if (!is_of(part, "contract_id", contract->id) || !take_integer(part, "line", 1, INT_MAX, &line) ||
        !take_text(part, "product", CONTRACT_TEXT_MAX, item->product) ||
        !take_integer(part, "quantity", 1, INT_MAX, &quantity) ||
        !take_amount(part, "unit_price", item->unit_price))
        return false;
    item->line = (int)line;
    item->quantity = (int)quantity;
    contract->items_read++;
    return true;
}

static bool
add_items(struct contract *contract, int page, const json_t *items, struct result *result)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct part part = {.object = json_array_get(items, i), .result = result};
        snprintf(part.place, sizeof part.place, "%s: page %d: items[%zu]", contract->id, page, i);
        if (!add_item(contract, &part))
            return false;
    }
    return true;
}

/* Another page follows if and only if items are missing: otherwise header and pages speak of different contracts. */
static bool
check_next_page(const struct contract *contract, int page, const struct part *part)
{
    int64_t next;
    if (contract->items_read < contract->item_count)
        return take_integer(part, "next_page", page + 1, page + 1, &next);
    return json_is_null(json_object_get(part->object, "next_page")) ||
           wrong(part, "next_page", "null on the last page");
}

bool
contract_json_page(struct contract *contract, int page, const char *body, size_t size, bool *moved,
                   struct result *result)
{
    struct part part = {.result = result};
    int64_t version = 0;
    *moved = false;
    snprintf(part.place, sizeof part.place, "%s: page %d", contract->id, page);
    json_t *root = parse(part.place, body, size, result);
    part.object = root;
    bool done = root != NULL && take_integer(&part, "version", 1, INT64_MAX, &version);
    *moved = done && version != contract->version;
    if (done && !*moved) {
        const json_t *items = json_object_get(root, "items");
        done = (json_array_size(items) > 0 || wrong(&part, "items", "a list that is not empty")) &&
               add_items(contract, page, items, result) && check_next_page(contract, page, &part);
    }
    json_decref(root);
    return done;
}
