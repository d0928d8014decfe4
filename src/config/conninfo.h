/* conninfo.h: just enough of libpq's connection strings to judge them: where they lead, how well TLS is
 * checked, and whether a password is in them. libpq itself parses and checks them later, in the room
 * `postgres`. */
#ifndef OUTBOXD_CONFIG_CONNINFO_H
#define OUTBOXD_CONFIG_CONNINFO_H

#include <stdbool.h>

/* Texts are decoded, lists stay lists ("a,b"); NULL: not said. */
struct conninfo {
    char *host, *hostaddr;
    char *sslmode;
    bool has_password; /* password or sslpassword */
    bool has_service;  /* a service file says the rest */
    bool malformed;    /* neither a URI nor keywords with values: libpq would refuse it */
};

/* Takes keyword/value strings and URIs. A malformed string gives what stands before the fault. Free with
 * conninfo_free. */
struct conninfo conninfo_parse(const char *text);
void conninfo_free(struct conninfo *conninfo);

#endif
