/* config_mutations.c: thousands of damaged examples, the same in every run: the parser takes them or refuses
 * them in a line of its own, and never crashes, hangs or leaks. Worth most under the sanitizers. */
#include "config/settings.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUTATIONS 2000
#define TEXT_MOST 16384

/* xorshift64 (Marsaglia, "Xorshift RNGs", 2003) */
static size_t
random_below(uint64_t *state, size_t bound)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (size_t)(*state % bound);
}

/* Replaces `cut` bytes at `at` by those of `with`. */
static void
splice(char *text, size_t *size, size_t at, size_t cut, const char *with, size_t with_size)
{
    if (at + cut > *size || *size - cut + with_size > TEXT_MOST)
        return;
    memmove(text + at + with_size, text + at + cut, *size - at - cut);
    memmove(text + at, with, with_size); /* `with` may be a part of the text */
    *size += with_size - cut;
}

static void
mutate(char *text, size_t *size, uint64_t *state)
{
    static const char *const PIECES[] = {"&a ",        "*a",
                                         "!!str ",     "<<: ",
                                         "\n---\n",    "? ",
                                         ": ",         "- ",
                                         "[",          "{",
                                         "}",          "]",
                                         "\"",         "'",
                                         "\t",         "#",
                                         "|\n",        ">\n",
                                         "null",       "1e400",
                                         "-1",         "\xff",
                                         "\\0",        "\xef\xbb\xbf",
                                         "%TAG ! x\n", "99999999999999999999d",
                                         "_file",      "\r",
                                         "kafka:\n",   "  "};
    size_t at = random_below(state, *size + 1), piece = random_below(state, sizeof PIECES / sizeof *PIECES);
    char byte = (char)random_below(state, 256);
    switch (random_below(state, 4)) {
    case 0:
        splice(text, size, at, 1, &byte, 1);
        return;
    case 1:
        splice(text, size, at, random_below(state, 40), "", 0);
        return;
    case 2:
        splice(text, size, at, 0, text, random_below(state, 200));
        return;
    default:
        splice(text, size, at, 0, PIECES[piece], strlen(PIECES[piece]));
        return;
    }
}

static size_t
make_example(char *text)
{
    FILE *to = fmemopen(text, TEXT_MOST, "w");
    cr_assert_not_null(to);
    settings_write_example(to);
    fclose(to);
    /* without most of the comments, so that mutations meet something */
    char *write = text;
    for (const char *line = text; *line != '\0';) {
        size_t size = strcspn(line, "\n") + 1;
        if (line[strspn(line, " ")] != '#') {
            memmove(write, line, size);
            write += size;
        }
        line += size;
    }
    return (size_t)(write - text);
}

/* Loads from memory: thousands of files would wait for the disk. True when it was accepted. */
static bool
load(int memory, const char *text, size_t size)
{
    char path[40], printed[256] = "";
    struct settings *settings = NULL;
    struct error error;
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    cr_assert_eq(ftruncate(memory, (off_t)size), 0);
    cr_assert_eq(pwrite(memory, text, size, 0), (ssize_t)size);
    FILE *errors = fmemopen(printed, sizeof printed, "w");
    cr_assert_not_null(errors);
    bool accepted = settings_load(&settings, path, errors, &error);
    fclose(errors);
    if (!accepted) {
        cr_assert_eq(error.kind, ERROR_CONFIG);
        cr_assert_eq(strncmp(printed, path, strlen(path)), 0, "%s", printed);
    }
    settings_free(settings);
    return accepted;
}

Test(config_mutations, damaged_files_are_taken_or_refused_with_a_reason, .timeout = 120)
{
    static char original[TEXT_MOST + 1], text[2 * TEXT_MOST];
    size_t original_size = make_example(original), accepted = 0;
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    int memory = memfd_create("config", MFD_CLOEXEC);
    cr_assert_geq(memory, 0);
    cr_assert_eq(fchmod(memory, 0600), 0);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t size = original_size;
        memcpy(text, original, size);
        for (size_t changes = 1 + random_below(&state, 4); changes > 0; changes--)
            mutate(text, &size, &state);
        accepted += load(memory, text, size);
    }
    close(memory);
    cr_expect_gt(accepted, MUTATIONS / 50, "some are harmless: %zu", accepted);
    cr_expect_lt(accepted, MUTATIONS / 2, "most are not: %zu", accepted);
}
