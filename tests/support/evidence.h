/* evidence.h: what is left of a run that was judged bad, for people: what was committed, what was published, what the relay's tables say. */
#ifndef OUTBOXD_TESTS_SUPPORT_EVIDENCE_H
#define OUTBOXD_TESTS_SUPPORT_EVIDENCE_H

#include "support/checker.h"

#include <libpq-fe.h>

/* Writes committed.tsv, published.tsv and a file for each table of the relay into this directory. */
void evidence_keep(const char *directory, const struct expected_events *events, const struct records *records,
                   PGconn *admin);

#endif
