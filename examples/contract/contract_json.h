/* contract_json.h: the API's JSON becomes a contract, or an error that names the place. Fields that we do not know are ignored, so
 * that the API may grow; what we do use has to be of the right type and in its bounds. Pure: no network, no database.
 *
 * The version changes with the header and with the items, and so does the ETag, which only the header has.
 *
 *     GET /contracts/ID               {"id": "C-1", "version": 7, "customer": "Hafen AG", "currency": "EUR", "total": "40.50",
 *                                      "item_count": 3}
 *     GET /contracts/ID/items?page=1  {"version": 7, "next_page": 2, "items": [{"contract_id": "C-1", "line": 1,
 *                                      "product": "rope", "quantity": 3, "unit_price": "13.50"}, ..]} */
#ifndef EXAMPLE_CONTRACT_CONTRACT_JSON_H
#define EXAMPLE_CONTRACT_CONTRACT_JSON_H

#include "contract.h"

/* Fills all but the etag, for the contract `id`, with room for its items. Clear the contract in any case. */
bool contract_json_header(struct contract *contract, const char *id, const char *body, size_t size,
                          struct result *result);

/* Adds the items of page `page`. *moved: the page belongs to another version of the contract than the header; nothing was added. */
bool contract_json_page(struct contract *contract, int page, const char *body, size_t size, bool *moved,
                        struct result *result);

#endif
