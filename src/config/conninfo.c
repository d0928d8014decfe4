/* conninfo.c: reads libpq connection strings (PostgreSQL documentation, "Connection Strings"):
 *     host=db dbname = 'two words'   keywords and values; a backslash takes the next character as it is
 *     postgresql://user:password@[::1]:5432,db2/name?sslmode=require&..     percent-encoded
 * Called by transport; never fails, never keeps a password. */
#include "config/conninfo.h"

#include "base/error.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void
replace(char **field, const char *value)
{
    free(*field);
    *field = must_strdup(value);
}

static void
take(struct conninfo *conninfo, const char *keyword, const char *value)
{
    if (strcmp(keyword, "host") == 0)
        replace(&conninfo->host, value);
    else if (strcmp(keyword, "hostaddr") == 0)
        replace(&conninfo->hostaddr, value);
    else if (strcmp(keyword, "sslmode") == 0)
        replace(&conninfo->sslmode, value);
    else if (strcmp(keyword, "ssl") == 0 && strcmp(value, "true") == 0)
        replace(&conninfo->sslmode, "require"); /* libpq's courtesy to JDBC */
    else if (strcmp(keyword, "requiressl") == 0)
        replace(&conninfo->sslmode, value[0] == '1' ? "require" : "prefer"); /* so libpq takes its old name */
    else if (strcmp(keyword, "password") == 0 || strcmp(keyword, "sslpassword") == 0)
        conninfo->has_password = conninfo->has_password || value[0] != '\0';
    else if (strcmp(keyword, "service") == 0)
        conninfo->has_service = true;
}

static const char *
skip_blanks(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* Copies one value to `to`, which has room for all of the text; returns what follows. */
static const char *
read_keyword_value(const char *at, char *to)
{
    bool quoted = *at == '\'';
    if (quoted)
        at++;
    while (*at != '\0' && (quoted ? *at != '\'' : !isspace((unsigned char)*at))) {
        if (*at == '\\' && *++at == '\0')
            break;
        *to++ = *at++;
    }
    *to = '\0';
    return quoted && *at == '\'' ? at + 1 : at;
}

static void
parse_keywords(struct conninfo *conninfo, const char *text, char *keyword, char *value)
{
    for (const char *at = skip_blanks(text); *at != '\0'; at = skip_blanks(at)) {
        size_t size = strcspn(at, "= \t\n\r\f\v");
        memcpy(keyword, at, size);
        keyword[size] = '\0';
        at = skip_blanks(at + size);
        conninfo->malformed = *at != '=';
        if (conninfo->malformed)
            return;
        at = read_keyword_value(skip_blanks(at + 1), value);
        take(conninfo, keyword, value);
    }
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `size` bytes of `from`, percent-decoded, as a string. */
static void
decode(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = from[i] == '%' && i + 2 < size ? hex_digit(from[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(from[i + 2]) : -1;
        *to++ = low >= 0 ? (char)(high * 16 + low) : from[i];
        i += low >= 0 ? 2 : 0;
    }
    *to = '\0';
}

/* "[::1]:5432,db2:5433" becomes "::1,db2". What stands in brackets is passed over, whatever it is. Returns what follows. */
static const char *
parse_uri_hosts(struct conninfo *conninfo, const char *from, char *raw, char *value)
{
    size_t used = 0;
    for (bool more = true; more;) {
        const char *bracket = *from == '[' ? strchr(from, ']') : NULL;
        const char *host = bracket ? from + 1 : from;
        size_t size = bracket ? (size_t)(bracket - host) : strcspn(host, ":,/?");
        memcpy(raw + used, host, size);
        used += size;
        from = host + size;
        from += strcspn(from, ",/?"); /* the port */
        more = *from == ',';
        if (more)
            raw[used++] = *from++;
    }
    decode(value, raw, used);
    if (value[0] != '\0')
        take(conninfo, "host", value);
    return from;
}

static void
parse_uri_options(struct conninfo *conninfo, const char *at, char *keyword, char *value)
{
    while (*at != '\0') {
        size_t size = strcspn(at, "&");
        const char *equals = memchr(at, '=', size);
        if (equals != NULL) {
            decode(keyword, at, (size_t)(equals - at));
            decode(value, equals + 1, size - (size_t)(equals + 1 - at));
            take(conninfo, keyword, value);
        }
        at += size;
        at += *at == '&';
    }
}

static void
parse_uri(struct conninfo *conninfo, const char *at, char *keyword, char *value)
{
    size_t user_size = strcspn(at, "@/");
    if (at[user_size] == '@') {
        const char *colon = memchr(at, ':', user_size);
        conninfo->has_password = colon != NULL && colon + 1 < at + user_size;
        at += user_size + 1;
    }
    at = parse_uri_hosts(conninfo, at, keyword, value);
    at += strcspn(at, "?");
    if (*at == '?')
        parse_uri_options(conninfo, at + 1, keyword, value);
}

struct conninfo
conninfo_parse(const char *text)
{
    static const char *const SCHEMES[] = {"postgresql://", "postgres://"};
    struct conninfo conninfo = {0};
    size_t size = strlen(text) + 1;
    char *keyword = must_alloc(size), *value = must_alloc(size);
    const char *uri = NULL;
    for (size_t i = 0; i < sizeof SCHEMES / sizeof *SCHEMES; i++)
        if (strncmp(text, SCHEMES[i], strlen(SCHEMES[i])) == 0)
            uri = text + strlen(SCHEMES[i]);
    if (uri != NULL)
        parse_uri(&conninfo, uri, keyword, value);
    else
        parse_keywords(&conninfo, text, keyword, value);
    explicit_bzero(keyword, size);
    explicit_bzero(value, size);
    free(keyword);
    free(value);
    return conninfo;
}

void
conninfo_free(struct conninfo *conninfo)
{
    free(conninfo->host);
    free(conninfo->hostaddr);
    free(conninfo->sslmode);
    *conninfo = (struct conninfo){0};
}
