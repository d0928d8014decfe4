/* secrets.c: reads secrets from files and forgets them. Called by settings; must never put a value into a
 * message. */
#include "config/secrets.h"

#include "config/complaints.h"
#include "config/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A PEM key with its chain is some KiB. */
#define SECRET_SIZE_MOST (64 * (size_t)1024)

static bool
check_access(const struct file *file, struct error *error)
{
    if (file->owner != 0 && file->owner != geteuid())
        return error_set(error, ERROR_CONFIG,
                         "belongs to uid %ld, not to root or to the user who runs outboxd (uid %ld)",
                         (long)file->owner, (long)geteuid());
    if (file->mode & (S_IWGRP | S_IRWXO))
        return error_set(error, ERROR_CONFIG,
                         "has mode %04o: others may use it; chmod it to 0400, 0440, 0600 or 0640",
                         (unsigned)(file->mode & 07777));
    return true;
}

static size_t
size_without_newline(const struct file *file)
{
    size_t size = file->size;
    if (size > 0 && file->bytes[size - 1] == '\n')
        size--;
    if (size > 0 && size < file->size && file->bytes[size - 1] == '\r')
        size--;
    return size;
}

static bool
read_file(char **secret, const char *path, struct error *error)
{
    struct file file;
    if (!file_load(&file, path, FILE_LINKS_REFUSED, SECRET_SIZE_MOST, error))
        return false;
    size_t size = size_without_newline(&file);
    bool usable = check_access(&file, error);
    if (usable && size == 0)
        usable = error_set(error, ERROR_CONFIG, "is empty");
    if (usable && memchr(file.bytes, '\0', size) != NULL)
        usable = error_set(error, ERROR_CONFIG, "holds a NUL byte");
    if (usable) {
        *secret = must_calloc(size + 1, 1);
        memcpy(*secret, file.bytes, size);
    }
    file_wipe(&file);
    return usable;
}

bool
secrets_read(char **secret, const char *path, struct error *error)
{
    char quoted[COMPLAINTS_QUOTED];
    struct error reason;
    *secret = NULL;
    if (path[0] != '/') /* not shown: it may be the secret itself, written in the wrong place */
        return error_set(error, ERROR_CONFIG, "must be the absolute path of a file");
    if (read_file(secret, path, &reason))
        return true;
    return error_set(error, ERROR_CONFIG, "%s %s", complaints_quote(path, quoted), reason.message);
}

void
secrets_wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

bool
secrets_is_secret_property(const char *name)
{
    static const char *const PARTS[] = {"password", "passphrase", "secret", "ssl.key.pem", "private.key.pem"};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        if (strstr(name, PARTS[i]) != NULL)
            return true;
    return false;
}
