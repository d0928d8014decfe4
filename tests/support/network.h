/* network.h: another host, as far as the network goes: a namespace of its own, joined to ours by a cable that can be pulled.
 * Wants root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and iproute2. Everything of it is gone when the test's process ends. */
#ifndef OUTBOXD_TESTS_SUPPORT_NETWORK_H
#define OUTBOXD_TESTS_SUPPORT_NETWORK_H

#include <stdbool.h>
#include <sys/types.h>

struct network;

/* May this process make one? */
bool network_possible(void);

struct network *network_open(void);
void network_close(struct network *network); /* NULL is allowed */

/* Our end of the cable: servers that listen on this address are reached from both hosts. */
const char *network_address(const struct network *network);

/* A process of the other host, for process_options.network. */
pid_t network_pid(const struct network *network);

/* Pulls the cable: packets vanish without a word, both ways. */
void network_cut(struct network *network);
void network_heal(struct network *network);

/* From now on the cable carries so much towards the other host, and not more; towards us it stays fast. Once. False: not on
 * this kernel. */
bool network_slow(struct network *network, int kilobytes_per_second);

#endif
