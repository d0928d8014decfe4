/* password.h: turns a password into what may be stored. */
#ifndef EXAMPLE_PASSWORD_H
#define EXAMPLE_PASSWORD_H

#include <stdbool.h>

enum { PASSWORD_HASH_SIZE = 384, PASSWORD_COST_MAX = 11 };

/* yescrypt with a salt of its own, as crypt(5) prints it. `cost` 1 to PASSWORD_COST_MAX; 5 takes a fraction of a second of one
 * core, which is the point: so call it before a transaction begins, never inside. False for another cost. */
bool password_hash(const char *password, int cost, char hash[PASSWORD_HASH_SIZE]);

#endif
