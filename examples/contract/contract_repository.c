/* contract_repository.c: see contract_repository.h. A few statements, however many items there are. */
#include "contract_repository.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

bool
contract_find_etag(struct outbox_unit *unit, const char *id, char etag[CONTRACT_ETAG_MAX + 1],
                   struct outbox_error *error)
{
    const char *values[] = {id};
    PGresult *result;
    if (!outbox_query(unit, "select etag from contract where id = $1", 1, values, &result, error))
        return false;
    snprintf(etag, CONTRACT_ETAG_MAX + 1, "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return true;
}

/* The condition is looked at when the row is locked, so of two that come at the same time the newer one wins in either order. */
static bool
upsert_header(struct outbox_unit *unit, const struct contract *contract, bool *changed,
              struct outbox_error *error)
{
    char version[24], item_count[24];
    snprintf(version, sizeof version, "%lld", (long long)contract->version);
    snprintf(item_count, sizeof item_count, "%zu", contract->item_count);
    const char *values[] = {contract->id,
                            version,
                            *contract->etag ? contract->etag : NULL,
                            contract->customer,
                            contract->currency,
                            contract->total,
                            item_count};
    PGresult *result;
    if (!outbox_query(unit,
                      "insert into contract (id, version, etag, customer, currency, total, item_count)"
                      " values ($1, $2, $3, $4, $5, $6, $7)"
                      " on conflict (id) do update set version = excluded.version, etag = excluded.etag,"
                      "  customer = excluded.customer, currency = excluded.currency, total = excluded.total,"
                      "  item_count = excluded.item_count, stored_at = now()"
                      " where contract.version < excluded.version returning 1",
                      7, values, &result, error))
        return false;
    *changed = PQntuples(result) == 1;
    PQclear(result);
    return true;
}

/* The caller frees it; NULL: no memory. */
static char *
items_as_json(const struct contract *contract)
{
    json_t *list = json_array();
    for (size_t i = 0; i < contract->item_count; i++) {
        const struct contract_item *item = &contract->items[i];
        if (json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s}", "line", item->line, "product",
                                                  item->product, "quantity", item->quantity, "unit_price",
                                                  item->unit_price)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static bool
replace_items(struct outbox_unit *unit, const struct contract *contract, struct outbox_error *error)
{
    char *items = items_as_json(contract);
    if (items == NULL)
        return outbox_fail(error, "no memory for the items of a contract");
    const char *values[] = {contract->id, items};
    bool done = outbox_query(unit,
                             "delete from contract_item where contract_id = $1 and line not in"
                             " (select line from jsonb_to_recordset($2) as item (line integer))",
                             2, values, NULL, error) &&
                outbox_query(unit,
                             "insert into contract_item (contract_id, line, product, quantity, unit_price)"
                             " select $1, line, product, quantity, unit_price from jsonb_to_recordset($2)"
                             "  as item (line integer, product text, quantity integer, unit_price numeric)"
                             " on conflict (contract_id, line) do update set product = excluded.product,"
                             "  quantity = excluded.quantity, unit_price = excluded.unit_price",
                             2, values, NULL, error);
    free(items);
    return done;
}

/* The same version may come under another ETag, for it names the bytes of an answer; the next question needs the newest. */
static bool
remember_etag(struct outbox_unit *unit, const struct contract *contract, struct outbox_error *error)
{
    char version[24];
    snprintf(version, sizeof version, "%lld", (long long)contract->version);
    const char *values[] = {contract->id, version, *contract->etag ? contract->etag : NULL};
    return outbox_query(unit,
                        "update contract set etag = $3"
                        " where id = $1 and version = $2 and etag is distinct from $3",
                        3, values, NULL, error);
}

bool
contract_store(struct outbox_unit *unit, const struct contract *contract, bool *changed,
               struct outbox_error *error)
{
    if (!upsert_header(unit, contract, changed, error))
        return false;
    return *changed ? replace_items(unit, contract, error) : remember_etag(unit, contract, error);
}
