/* postgres_tls.c: a test's own Postgres with a certificate (postgres.h). */
#include "support/postgres.h"

#include "support/scratch.h"

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
