/* conceal.c: takes out of libpq's texts what may be a password (conceal.h). Called before such a text becomes an error; the texts
 * are those of libpq 13 to 17 (fe-connect.c), in English, for nothing sets its locale. */
#include "postgres/conceal.h"

#include "base/spelling.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <string.h>

static bool
is_parameter(const char *word, size_t size)
{
    char name[64];
    bool found = false;
    if (size >= sizeof name)
        return false;
    memcpy(name, word, size);
    name[size] = '\0';
    PQconninfoOption *known = PQconndefaults();
    for (PQconninfoOption *option = known; option != NULL && option->keyword != NULL; option++)
        found = found || spelling_distance(name, option->keyword) != SPELLING_FAR;
    PQconninfoFree(known);
    return found;
}

/* The first quotation of more than one character, up to the last quote: a password may hold quotes. NULL: there is none. */
static char *
find_quoted(char *text, size_t *size)
{
    char *last = strrchr(text, '"');
    for (char *at = strchr(text, '"'); at != NULL && at < last; at = strchr(at + 3, '"')) {
        if (at[2] == '"')
            continue; /* "=" */
        *size = (size_t)(last - at - 1);
        return at + 1;
    }
    return NULL;
}

static void
conceal(char *quoted, size_t size)
{
    if (size < 2)
        return;
    quoted[0] = quoted[1] = '.';
    memmove(quoted + 2, quoted + size, strlen(quoted + size) + 1);
}

void
conceal_complaint(char *complaint)
{
    size_t size;
    char *quoted = find_quoted(complaint, &size);
    const char *service = strstr(complaint, "service");
    if (quoted == NULL || (service != NULL && service < quoted) || is_parameter(quoted, size))
        return;
    conceal(quoted, size);
}

void
conceal_address(char *message)
{
    size_t size;
    char *quoted = find_quoted(message, &size);
    bool host = strstr(message, "could not translate host name") != NULL;
    bool port = strstr(message, "invalid integer value") != NULL || strstr(message, "invalid port") != NULL;
    if (quoted != NULL && (port || (host && memchr(quoted, '@', size) != NULL)))
        conceal(quoted, size);
}

void
conceal_options(PQconninfoOption *options)
{
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
        bool secret = option->dispchar[0] == '*' && option->val != NULL;
        if (secret)
            explicit_bzero(option->val, strlen(option->val));
    }
    PQconninfoFree(options);
}
