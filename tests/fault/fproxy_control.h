/* fproxy_control.h: the socket by which rules are changed while the proxy runs: a line, and its answer, whose last line begins with
 * "ok" or "error". */
#ifndef OUTBOXD_TESTS_FAULT_FPROXY_CONTROL_H
#define OUTBOXD_TESTS_FAULT_FPROXY_CONTROL_H

#include "fault/fproxy_link.h"

#define CONTROL_SOCKETS 5 /* the door, and who has come in */

struct control;

/* Listens on a Unix socket; ends the process when it cannot. */
struct control *control_open(const char *path, struct proxy *proxy);
void control_poll(const struct control *control, struct pollfd sockets[CONTROL_SOCKETS]);
void control_turn(struct control *control, const struct pollfd sockets[CONTROL_SOCKETS]);

#endif
