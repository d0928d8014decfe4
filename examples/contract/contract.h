/* contract.h: a contract with its items, as the API tells it and the database keeps it. Knows neither of them. */
#ifndef EXAMPLE_CONTRACT_CONTRACT_H
#define EXAMPLE_CONTRACT_CONTRACT_H

#include "outcome.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CONTRACT_ID_MAX = 64,
    CONTRACT_TEXT_MAX = 200,   /* bytes of a name */
    CONTRACT_ETAG_MAX = 200,   /* a longer one is not kept: the contract is fetched whole each time then */
    CONTRACT_AMOUNT_MAX = 17,  /* 12 digits, a point, 4 digits */
    CONTRACT_ITEMS_MAX = 10000 /* what one unit should hold at most; more is taken for a mistake */
};

/* Amounts are decimal text from the API to the database's numeric, and never a float in between. */
struct contract_item {
    int line; /* its number in the contract: unique there */
    int quantity;
    char product[CONTRACT_TEXT_MAX + 1];
    char unit_price[CONTRACT_AMOUNT_MAX + 1];
};

struct contract {
    char id[CONTRACT_ID_MAX + 1];
    int64_t version;                  /* grows with every change */
    char etag[CONTRACT_ETAG_MAX + 1]; /* "": none */
    char customer[CONTRACT_TEXT_MAX + 1];
    char currency[4];
    char total[CONTRACT_AMOUNT_MAX + 1];
    struct contract_item *items;
    size_t item_count; /* as the header says: so many fit into `items` */
    size_t items_read; /* so many are there */
};

/* 1 to 64 of A-Z a-z 0-9 _ -: such an id is safe in a URL, and contract_job's constraint says the same. */
bool contract_id_is_legal(const char *id);

/* The contract is complete, and no line comes twice; sorts the items by their lines. */
bool contract_check_items(struct contract *contract, struct result *result);

/* Frees the items; the rest becomes zero. */
void contract_clear(struct contract *contract);

#endif
