/* fuzz.h: targets for libFuzzer, one a file: each takes any bytes, gives them to a parser or a writer of ours, and CHECKs what must
 * hold for all of them, not only that nothing crashes. `make fuzz` makes a program of each; the unit suite feeds them the corpora. */
#ifndef OUTBOXD_TESTS_FUZZ_FUZZ_H
#define OUTBOXD_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What libFuzzer calls LLVMFuzzerTestOneInput (its documentation: "Fuzz target"): 0 always. */
typedef int fuzz_target(const uint8_t *bytes, size_t size);

fuzz_target fuzz_broker, fuzz_commands, fuzz_config, fuzz_conninfo, fuzz_headers, fuzz_log, fuzz_options,
    fuzz_record, fuzz_row, fuzz_snapshot, fuzz_statistics, fuzz_topic, fuzz_units;

/* ---- for the targets (support.c) ---- */

/* A copy of its own, so that a sanitizer sees each byte that is read behind the end; with a NUL there. For free(3). */
char *fuzz_text(const uint8_t *bytes, size_t size);

/* Cuts the next line out of a text: ends it with a NUL, moves `at` behind it. NULL when nothing is left. */
char *fuzz_line(char **at);

/* A command line, the command's name first. */
enum { FUZZ_ARGUMENTS_MOST = 40 };
struct fuzz_arguments {
    int count;
    char *words[FUZZ_ARGUMENTS_MOST + 1];
};

/* Points into one of them. */
bool fuzz_was_given(const struct fuzz_arguments *given, const char *word);

/* Takes bytes for a command line, an argument a line, and has it parsed: -1, or the exit code. With 64 one message is said on standard error,
 * with 0 the help on standard output, and else nothing. */
void fuzz_command(const char *name, int (*parse)(struct fuzz_arguments *given), const uint8_t *bytes,
                  size_t size);

/* Nothing but UTF-8. */
bool fuzz_is_utf8(const char *text, size_t size);

#endif
