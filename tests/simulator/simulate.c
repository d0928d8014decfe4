/* simulate.c: runs seeds, on all processors, and says which of them break a promise, and how. A seed that fails is run once more with
 * its trace. */
#include "simulator/run.h"
#include "simulator/world.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: simulate [--seeds N] [--first S] [--jobs N | --trace] | simulate SEED\n"
    "\n"
    "Runs the relay in simulated worlds, one for each seed, and judges what it published.\n"
    "\n"
    "  --seeds N   so many seeds (10000)\n"
    "  --first S   from this one on (1)\n"
    "  --jobs N    so many at a time (as there are processors)\n"
    "  --trace     one after the other, with everything that happens in each, as for SEED\n"
    "  --help      this text\n"
    "\n"
    "Exit codes: 0 every seed kept the promises, 1 one did not, 64 usage.\n";

#define JOBS_MOST 64
#define PROGRESS_S 10

/* What a worker tells: shared memory. */
struct progress {
    uint64_t seed, done;
    char finding[sizeof world.finding];
};

static struct progress *progress;

static void
work(struct progress *mine, uint64_t first, uint64_t end, uint64_t step, bool traced)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setvbuf(stdout, NULL, _IOLBF, 0); /* whoever dies has said everything */
    for (mine->seed = first; mine->seed < end; mine->seed += step) {
        if (!run_seed(mine->seed, traced)) {
            memcpy(mine->finding, world.finding, sizeof mine->finding);
            _exit(1);
        }
        mine->done++;
    }
    _exit(0);
}

/* A worker that breaks a CHECK, or dies in another way, has failed at its seed as well. */
static int
replay(uint64_t seed)
{
    int status = 0;
    printf("seed %" PRIu64 ":\n", seed);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        bool good = run_seed(seed, true);
        printf("%s\n", good ? "every promise was kept" : world.finding);
        fflush(stdout);
        _exit(good ? 0 : 1);
    }
    while (child < 0 || (waitpid(child, &status, 0) < 0 && errno == EINTR))
        CHECK(child >= 0);
    if (WIFSIGNALED(status))
        printf("died: %s\n", strsignal(WTERMSIG(status)));
    printf("seed %" PRIu64 " %s; again: simulate %" PRIu64 "\n", seed, status == 0 ? "is good" : "FAILED",
           seed);
    return status == 0 ? 0 : 1;
}

static uint64_t
total_done(int jobs)
{
    uint64_t done = 0;
    for (int i = 0; i < jobs; i++)
        done += progress[i].done;
    return done;
}

static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The lowest seed that failed; 0: none has. */
static uint64_t
wait_for_workers(const pid_t *workers, int jobs, uint64_t seeds, double begun_s)
{
    uint64_t failed = 0;
    double told_s = begun_s;
    for (int left = jobs; left > 0;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended <= 0) {
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
            if (now_s() - told_s < PROGRESS_S)
                continue;
            told_s = now_s();
            fprintf(stderr, "%" PRIu64 " of %" PRIu64 " seeds, %.0f a second\n", total_done(jobs), seeds,
                    (double)total_done(jobs) / (told_s - begun_s));
            continue;
        }
        left--;
        bool stopped = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM; /* by us, below */
        for (int i = 0; i < jobs; i++)
            if (workers[i] == ended && status != 0 && !stopped && (failed == 0 || progress[i].seed < failed))
                failed = progress[i].seed;
        if (failed != 0)
            for (int i = 0; i < jobs; i++)
                kill(workers[i], SIGTERM);
    }
    return failed;
}

static int
run_seeds(uint64_t first, uint64_t seeds, int jobs, bool traced)
{
    pid_t workers[JOBS_MOST];
    double begun_s = now_s();
    progress =
        mmap(NULL, sizeof *progress * JOBS_MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(progress != MAP_FAILED);
    for (int i = 0; i < jobs; i++) {
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0)
            work(&progress[i], first + (uint64_t)i, first + seeds, (uint64_t)jobs, traced);
    }
    uint64_t failed = wait_for_workers(workers, jobs, seeds, begun_s);
    if (failed != 0) {
        for (int i = 0; i < jobs; i++)
            if (progress[i].seed == failed)
                printf("seed %" PRIu64 ", after %" PRIu64 " good ones: %s\n", failed, total_done(jobs),
                       progress[i].finding);
        return replay(failed);
    }
    printf("%" PRIu64 " seeds kept every promise, %.0f a second\n", seeds,
           (double)seeds / (now_s() - begun_s));
    return 0;
}

static uint64_t
number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value == 0) {
        fprintf(stderr, "simulate: \"%s\" is not a number from 1 on\n", text);
        exit(64);
    }
    return value;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},  {"trace", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {0}};
    bool traced = false;
    uint64_t seeds = 10000, first = 1, jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 's':
            seeds = number(optarg);
            break;
        case 'f':
            first = number(optarg);
            break;
        case 'j':
            jobs = number(optarg);
            break;
        case 't':
            traced = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs(help, stderr);
            return 64;
        }
    }
    if (optind < argc)
        return replay(number(argv[optind]));
    if (traced)
        jobs = 1;
    return run_seeds(first, seeds, jobs < JOBS_MOST ? (int)jobs : JOBS_MOST, traced);
}
