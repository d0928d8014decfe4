/* password.c: see password.h; by libxcrypt. */
#include "password.h"

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
password_hash(const char *password, int cost, char hash[PASSWORD_HASH_SIZE])
{
    struct crypt_data *data = calloc(1, sizeof *data);
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    const char *hashed = NULL;
    if (data != NULL && cost >= 1 && cost <= PASSWORD_COST_MAX &&
        crypt_gensalt_rn("$y$", (unsigned long)cost, NULL, 0, setting, sizeof setting) != NULL)
        hashed = crypt_rn(password, setting, data, sizeof *data);
    if (hashed != NULL)
        snprintf(hash, PASSWORD_HASH_SIZE, "%s", hashed);
    free(data);
    return hashed != NULL;
}
