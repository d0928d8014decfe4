/* contract_fetch.c: see contract_fetch.h.
 *
 *     header v7 --> page 1 v7 --> page 2 v7 --> complete: check, done
 *        ^              |             | v8
 *        '--------------+-------------'  it has changed in between: all anew, three times at most */
#include "contract_fetch.h"

#include "contract_json.h"

#include <stdio.h>
#include <string.h>

enum {
    READINGS_MAX = 3, /* who changes more often is left for later */
    PATH_MAX_BYTES = CONTRACT_ID_MAX + 64,
};

_Static_assert((int)CONTRACT_ETAG_MAX >= (int)API_ETAG_MAX, "an ETag of the API fits into a contract");

static bool
fetch_header(struct api *api, const char *known_etag, int64_t deadline_ms, struct contract *contract,
             const char *id, struct result *result)
{
    char path[PATH_MAX_BYTES];
    struct api_answer answer;
    snprintf(path, sizeof path, "/contracts/%s", id);
    bool done = api_get(api, path, known_etag, deadline_ms, &answer, result);
    if (done && answer.not_modified)
        done = result_fail(result, OUTCOME_UNCHANGED, "%s", "");
    else if (done)
        done = contract_json_header(contract, id, answer.body, answer.size, result);
    if (done)
        snprintf(contract->etag, sizeof contract->etag, "%s", answer.etag);
    api_answer_clear(&answer);
    return done;
}

static bool
fetch_page(struct api *api, int page, int64_t deadline_ms, struct contract *contract, bool *moved,
           struct result *result)
{
    char path[PATH_MAX_BYTES];
    struct api_answer answer;
    snprintf(path, sizeof path, "/contracts/%s/items?page=%d", contract->id, page);
    bool done = api_get(api, path, "", deadline_ms, &answer, result) &&
                contract_json_page(contract, page, answer.body, answer.size, moved, result);
    api_answer_clear(&answer);
    return done;
}

bool
contract_fetch(struct api *api, const char *id, const char *known_etag, int64_t deadline_ms,
               struct contract *contract, struct result *result)
{
    memset(contract, 0, sizeof *contract);
    memset(result, 0, sizeof *result);
    for (int reading = 1; reading <= READINGS_MAX; reading++) {
        bool moved = false;
        contract_clear(contract);
        if (!fetch_header(api, known_etag, deadline_ms, contract, id, result))
            return false;
        /* each page brings an item at least, or is refused: this ends */
        for (int page = 1; !moved && contract->items_read < contract->item_count; page++)
            if (!fetch_page(api, page, deadline_ms, contract, &moved, result))
                return false;
        if (!moved)
            return contract_check_items(contract, result);
    }
    return result_fail(result, OUTCOME_TIMEOUT, "%s: changed each of the %d times that it was read", id,
                       READINGS_MAX);
}
