/* wrong.h: the same use case as it must not be written, to show what comes of it. */
#ifndef EXAMPLE_SIGNUP_WRONG_H
#define EXAMPLE_SIGNUP_WRONG_H

#include "signup.h"

/* As signup_execute, but every repository commits what it wrote: a taken address, a crash or a lost connection in between
 * leaves an account without a user, or a user without an event. */
enum signup_result signup_execute_wrongly(PGconn *db, const struct signup_request *request,
                                          struct signup_answer *answer);

#endif
