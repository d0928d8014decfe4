/* print.h: what the commands print for people: texts that came from elsewhere, ages, sizes and counts. Pure. */
#ifndef OUTBOXD_COMMAND_PRINT_H
#define OUTBOXD_COMMAND_PRINT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Names and messages come from databases and brokers: whatever would steer a terminal, or is no UTF-8, is printed as
 * \xNN. */
void print_text(FILE *to, const char *text);
void print_octets(FILE *to, const char *octets, size_t size); /* of any bytes, as those of a key */

/* The same piece by piece, for bytes of any size: how `text` (`size` > 0) begins, as a character of one or two columns or as
 * escapes. Returns how many bytes of it that was; *shown_size bytes of `shown` stand for them, without a NUL. */
#define PRINT_PIECE 17
size_t print_piece(const char *text, size_t size, char shown[PRINT_PIECE], size_t *shown_size, int *columns);

/* Each returns `to`. */
#define PRINT_SIZE 32
const char *print_age(int64_t us, char to[PRINT_SIZE]);      /* "0.4 s", "12 s", "5 min", "3.2 h", "4.1 d" */
const char *print_bytes(int64_t bytes, char to[PRINT_SIZE]); /* "12 B", "1.5 KiB", "310 MiB" */
const char *print_count(int64_t count, char to[PRINT_SIZE]); /* "9999", "12 thousand", "4.1 million" */

#endif
