/* conceal.h: libpq's complaints about a conninfo quote it, and where a password has a blank, a slash or an @ in it that was not
 * escaped, what is quoted is the password. */
#ifndef OUTBOXD_POSTGRES_CONCEAL_H
#define OUTBOXD_POSTGRES_CONCEAL_H

struct _PQconninfoOption;

/* Replaces in a complaint of PQconninfoParse() what it quotes by "..", unless that is, or resembles, the name of a parameter or
 * belongs to a service file. */
void conceal_complaint(char *complaint);

/* The same in the message of a connection that was not made, if it is about a host or a port that cannot be one. */
void conceal_address(char *message);

/* Wipes what is secret of what PQconninfo() or PQconninfoParse() gave, and frees all of it. NULL is allowed. */
void conceal_options(struct _PQconninfoOption *options);

#endif
