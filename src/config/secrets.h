/* secrets.h: passwords and keys: read from files of their own, kept from others, wiped when they are not needed. */
#ifndef OUTBOXD_CONFIG_SECRETS_H
#define OUTBOXD_CONFIG_SECRETS_H

#include "base/error.h"

/* Reads the secret in `path`: an absolute path to a regular file, no symbolic link, of root or of the user we
 * run as, closed to all others and not writable by its group, 1 byte to 64 KiB, without NUL; one newline at
 * the end is dropped. (Its group may read it: systemd's credentials and Kubernetes' secrets are given to a
 * group.) `secret` is freed with secrets_wipe. ERROR_CONFIG when it is anything else. */
MUST_CHECK bool secrets_read(char **secret, const char *path, struct error *error);

/* Overwrites with zeros and frees. NULL is allowed. */
void secrets_wipe(char *secret);

/* True when the value of a librdkafka property of this name must not be seen by others (those that librdkafka
 * redacts, and sasl.oauthbearer.client.secret, which the list of 2.0 lacks). */
bool secrets_is_secret_property(const char *name);

#endif
