/* schema_script.c: puts the migration script together from the embedded files of schema/. Pure text; the only
 * things in it that a user chose are role names and a width, and they travel as JSON inside one literal. Called by
 * schema.c and `migrate --print`. */
#include "postgres/schema.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAMEDATALEN - 1: Postgres cuts longer names off, silently, and another role might be meant by what remains.
 */
#define ROLE_NAME_MAX 63

/* As `retention`: ten slots hold more than anybody keeps. */
#define SLOT_WIDTH_MOST_US (INT64_C(365) * 24 * 3600 * 1000000)

/* As prepare.sql and grant.sql call them. */
static const char *const duties[SCHEMA_DUTIES] = {"writers", "relays", "consumers"};

static bool
check_role(const char *role, struct error *error)
{
    json_t *text = json_string(role); /* NULL when it is not UTF-8 */
    json_decref(text);
    if (text == NULL)
        return error_set(error, ERROR_USAGE, "a role name is not valid UTF-8");
    if (role[0] == '\0')
        return error_set(error, ERROR_USAGE, "a role name is empty");
    if (strlen(role) > ROLE_NAME_MAX)
        return error_set(error, ERROR_USAGE, "role name \"%s\" is longer than %d bytes", role, ROLE_NAME_MAX);
    /* in GRANT, "public" means everybody even when it is quoted */
    if (strcmp(role, "public") == 0 || strcmp(role, "none") == 0 || strncmp(role, "pg_", 3) == 0)
        return error_set(error, ERROR_USAGE, "role name \"%s\" is reserved by Postgres", role);
    return true;
}

static bool
check_logins(const struct schema_logins *logins, const char *owner, struct error *error)
{
    for (size_t i = 0; i < logins->count; i++) {
        if (!check_role(logins->names[i], error))
            return false;
        if (strcmp(logins->names[i], owner ? owner : "outbox_owner") == 0)
            return error_set(error, ERROR_USAGE,
                             "role \"%s\" owns the schema: writers, relays and consumers must be other roles",
                             logins->names[i]);
    }
    return true;
}

static bool
check_slot_width(int64_t width_us, struct error *error)
{
    return (width_us >= 0 && width_us <= SLOT_WIDTH_MOST_US && width_us % 1000000 == 0) ||
           error_set(error, ERROR_USAGE, "a slot is 1s to 365d wide, in whole seconds");
}

static json_t *
names_array(const struct schema_logins *logins)
{
    json_t *array = json_array();
    for (size_t i = 0; i < logins->count; i++)
        CHECK(json_array_append_new(array, json_string(logins->names[i])) == 0);
    return array;
}

/* An SQL literal that means the same whatever standard_conforming_strings says. */
static void
write_literal(FILE *to, const char *text)
{
    fputs("e'", to);
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            fputc(*text, to);
        fputc(*text, to);
    }
    fputc('\'', to);
}

static void
write_wish(FILE *to, const struct schema_wish *wish)
{
    int64_t width_s = wish->slot_width_us / 1000000;
    json_t *object =
        json_pack("{s:i, s:s?, s:b, s:o}", "version", SCHEMA_VERSION, "owner", wish->owner, "create_roles",
                  wish->create_roles, "slot_width", width_s > 0 ? json_integer(width_s) : json_null());
    CHECK(object != NULL);
    for (int i = 0; i < SCHEMA_DUTIES; i++)
        CHECK(json_object_set_new(object, duties[i], names_array(&wish->logins[i])) == 0);
    char *text = json_dumps(object, JSON_COMPACT);
    CHECK(text != NULL);
    fputs("set local outboxd.migrate = ", to);
    write_literal(to, text);
    fputs(";\n", to);
    free(text);
    json_decref(object);
}

static void
write_lines(FILE *to, const struct schema_file *file)
{
    for (const char *const *line = file->lines; *line != NULL; line++)
        fputs(*line, to);
}

static void
write_named(FILE *to, const char *name)
{
    const struct schema_file *file = schema_files;
    while (file->name != NULL && strcmp(file->name, name) != 0)
        file++;
    CHECK(file->name != NULL);
    fputc('\n', to);
    write_lines(to, file);
}

/* The shell sorts schema/NNN_*.sql, so they come in order. Each looks for itself whether it is still to be
 * done. */
static void
write_migrations(FILE *to)
{
    int newest = 0;
    for (const struct schema_file *file = schema_files; file->name != NULL; file++) {
        if (file->number == 0)
            continue;
        CHECK(file->number == ++newest);
        fprintf(to,
                "\ndo $outboxd_migration$\nbegin\nif current_setting('outboxd.version')::integer < %d then\n"
                "execute $outboxd_sql$\n",
                file->number);
        write_lines(to, file);
        fprintf(to,
                "$outboxd_sql$;\n"
                "update outbox.schema_version set version = %d, migrated_at = now() where version < %d;\n"
                "raise notice 'applied %s';\nend if;\nend\n$outboxd_migration$;\n",
                file->number, file->number, file->name);
    }
    CHECK(newest == SCHEMA_VERSION);
}

bool
schema_script(char **script, const struct schema_wish *wish, struct error *error)
{
    if (wish->owner != NULL && !check_role(wish->owner, error))
        return false;
    for (int i = 0; i < SCHEMA_DUTIES; i++)
        if (!check_logins(&wish->logins[i], wish->owner, error))
            return false;
    if (!check_slot_width(wish->slot_width_us, error))
        return false;
    size_t size;
    FILE *to = open_memstream(script, &size);
    CHECK(to != NULL);
    /* `local`: a pooler's connection goes back as it was. The lock time-out keeps writers from queueing
     * behind us. */
    fputs("begin isolation level read committed;\n"
          "set local client_encoding = 'UTF8';\n"
          "set local client_min_messages = notice;\n"
          "set local search_path = pg_catalog, pg_temp;\n"
          "set local lock_timeout = '100ms';\n"
          "set local statement_timeout = '60s';\n",
          to);
    write_wish(to, wish);
    write_named(to, "prepare");
    write_migrations(to);
    write_named(to, "slots");
    write_named(to, "grant");
    fputs("\ncommit;\n", to);
    CHECK(fclose(to) == 0);
    return true;
}
