#!/bin/sh
# embed-sql.sh: writes a C file with the text of the given SQL files, for src/postgres/schema.h; called by the Makefile.
#   packaging/embed-sql.sh schema/*.sql > build/gen/schema_sql.c
# NNN_name.sql becomes {NNN, "NNN_name", lines}; a file without a number (prepare.sql, grant.sql) gets the number 0.
# Lines, because ISO C promises no more than 4,095 characters in one literal.
set -eu

[ $# -gt 0 ] || { echo "usage: embed-sql.sh schema/*.sql" >&2; exit 64; }

printf '/* schema_sql.c: made by packaging/embed-sql.sh; edit schema/ instead. */\n#include "postgres/schema.h"\n\n'
printf 'const struct schema_file schema_files[] = {\n'
for file in "$@"; do
    name=$(basename "$file" .sql)
    number=$(expr "$name" : '0*\([0-9][0-9]*\)_' || true)
    printf '    {%s, "%s", (const char *const[]){\n' "${number:-0}" "$name"
    sed 's/\\/\\\\/g; s/"/\\"/g; s/?/\\?/g; s/^/        "/; s/$/\\n",/' "$file"
    printf '        NULL}},\n'
done
printf '    {0, NULL, NULL},\n};\n'
