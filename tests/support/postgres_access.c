/* postgres_access.c: a test's own Postgres that wants a password, or shows a certificate (postgres.h). */
#include "support/postgres.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The server reads a key only if it is its own and nobody else's. */
static void
hand_over(const struct postgres *postgres, const char *certificate, const char *extension)
{
    char *from = must_format("%s.%s", certificate, extension);
    char *data = must_format("%s/data", postgres_directory(postgres));
    char *to = must_format("%s/server.%s", data, extension);
    char *text = scratch_read_file(from);
    struct stat owner;
    scratch_write_file(to, text);
    if (stat(data, &owner) != 0 || chmod(to, 0600) != 0 || chown(to, owner.st_uid, owner.st_gid) != 0)
        test_fail("%s: %s", to, strerror(errno));
    free(text), free(to), free(data), free(from);
}

void
postgres_serve_tls(struct postgres *postgres, const char *certificate, const char *settings)
{
    char *path = must_format("%s/data/postgresql.conf", postgres_directory(postgres));
    char *before = scratch_read_file(path);
    char *text = must_format("%sssl = on\n%s\n", before, settings ? settings : "");
    hand_over(postgres, certificate, "key");
    hand_over(postgres, certificate, "crt");
    postgres_stop_fast(postgres);
    scratch_write_file(path, text);
    postgres_up(postgres);
    free(text), free(before), free(path);
}

static bool
lets_in(const char *conninfo)
{
    PGconn *connection = PQconnectdb(conninfo);
    bool in = PQstatus(connection) == CONNECTION_OK;
    PQfinish(connection);
    return in;
}

void
postgres_want_password(struct postgres *postgres, const char *role, const char *password)
{
    char *path = must_format("%s/data/pg_hba.conf", postgres_directory(postgres));
    char *rest = scratch_read_file(path);
    char *text = must_format("host all %s all scram-sha-256\n%s", role, rest);
    PGconn *admin = postgres_open(postgres, "postgres", POSTGRES_ADMIN);
    scratch_write_file(path, text);
    postgres_exec(admin, "alter role %s password '%s'", role, password);
    postgres_exec(admin, "select pg_reload_conf()");
    wait_for(!lets_in(postgres_conninfo(postgres, "postgres", role)), 10000);
    PQfinish(admin);
    free(text), free(rest), free(path);
}
