/* contract.c: see contract.h. */
#include "contract.h"

#include <stdlib.h>
#include <string.h>

bool
contract_id_is_legal(const char *id)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = strlen(id);
    return size >= 1 && size <= CONTRACT_ID_MAX && strspn(id, legal) == size;
}

static int
compare_lines(const void *a, const void *b)
{
    const struct contract_item *one = a, *other = b;
    return (one->line > other->line) - (one->line < other->line);
}

bool
contract_check_items(struct contract *contract, struct result *result)
{
    if (contract->items_read != contract->item_count)
        return result_fail(result, OUTCOME_BAD_DATA, "%s: %zu of %zu items came", contract->id,
                           contract->items_read, contract->item_count);
    if (contract->item_count > 0)
        qsort(contract->items, contract->item_count, sizeof *contract->items, compare_lines);
    for (size_t i = 1; i < contract->item_count; i++)
        if (contract->items[i].line == contract->items[i - 1].line)
            return result_fail(result, OUTCOME_BAD_DATA, "%s: items: line %d comes twice", contract->id,
                               contract->items[i].line);
    return true;
}

void
contract_clear(struct contract *contract)
{
    free(contract->items);
    memset(contract, 0, sizeof *contract);
}
