/* certificates.h: an authority of one test, and the certificates that it issues to servers, by the openssl command. */
#ifndef OUTBOXD_TESTS_SUPPORT_CERTIFICATES_H
#define OUTBOXD_TESTS_SUPPORT_CERTIFICATES_H

#include <stdbool.h>

struct authority;

struct authority *authority_new(void);
void authority_free(struct authority *authority); /* the files stay until the run is over */

/* The path of its own certificate, for those who trust it; lives as long as `authority`. */
const char *authority_certificate(const struct authority *authority);

/* Issues a certificate for these names ("DNS:localhost,IP:127.0.0.1"), valid for two days or, `expired`, until years ago. Returns
 * a path that the caller frees: PATH.key and PATH.crt are the two in PEM, PATH.pem both in one file. */
char *authority_issue(struct authority *authority, const char *names, bool expired);

/* Revokes what authority_issue() returned. */
void authority_revoke(struct authority *authority, const char *certificate);

/* The path of its present list of revoked certificates; the caller frees it. */
char *authority_list_revoked(struct authority *authority);

#endif
