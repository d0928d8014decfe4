/* main.c: the commands of the story example, and the wiring: the domain meets its store here. What is worth copying is in
 * domain/ and in postgres_*.c. */
#include "domain/member.h"
#include "domain/write_story.h"
#include "load.h"
#include "options.h"
#include "postgres_store.h"

#include <stdio.h>

/* One repository function needs no use case: it begins, and we who called it commit. */
static int
join(struct store *store, const char *name)
{
    struct member member = {.name = name};
    struct transaction_report report;
    struct transaction *transaction = member_insert(store, NULL, &member);
    if (!transaction_commit(transaction, &report)) {
        fprintf(stderr, "story: %s: %s\n", report.unknown ? "joined or not" : "not joined", report.why);
        return 1;
    }
    printf("member=%s\n", member.id);
    return 0;
}

static int
write_one(struct store *store, const struct options *options)
{
    struct story story = {.member_id = options->member, .title = options->title};
    struct transaction_report report;
    long count;
    switch (write_story(store, &story, &count, &report)) {
    case STORY_WRITTEN:
        printf("story=%s stories_written_count=%ld\n", story.id, count);
        return 0;
    case STORY_UNTITLED:
        fputs("story: not written: a story has a title\n", stderr);
        break;
    case MEMBER_UNKNOWN:
        fprintf(stderr, "story: not written: nobody is member %s\n", story.member_id);
        break;
    case TRANSACTION_ABORTED:
        fprintf(stderr, "story: not written: %s%s\n", report.why, report.in_passing ? "; try it again" : "");
        break;
    case TRANSACTION_UNKNOWN:
        fprintf(stderr, "story: written or not: %s; look for it, before you write it again\n", report.why);
        break;
    }
    return 1;
}

int
main(int argc, char **argv)
{
    struct options options;
    if (!options_parse(&options, argc, argv))
        return EXIT_USAGE;
    struct store *store = store_open(options.conninfo);
    const char *why = "no memory\n";
    int code = EXIT_NO_POSTGRES;
    if (store == NULL || !store_ready(store, &why))
        fprintf(stderr, "story: cannot connect: %s", why);
    else if (options.command == COMMAND_LOAD)
        code = load_run(&options);
    else
        code = options.command == COMMAND_JOIN ? join(store, options.name) : write_one(store, &options);
    store_close(store);
    return code;
}
