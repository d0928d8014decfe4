/* log_write.c: a line reaches standard error with one call, or is dropped and counted; nothing waits. */
#include "base/clock.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Puts the writing end of a new pipe in the place of standard error; gives the reading end. */
static int
pipe_stderr(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    return ends[0];
}

static const char *
read_some(int fd)
{
    static char text[200000];
    ssize_t size = read(fd, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void
log_many(int count)
{
    for (int i = 0; i < count; i++)
        log_info("one of many", LOG_INT("i", i), LOG_END);
}

Test(log_write, a_line_ends_in_a_line_feed_and_starts_with_the_time)
{
    int fd = pipe_stderr();
    log_info("hello", LOG_STR("to", "you"), LOG_END);
    const char *line = read_some(fd);
    cr_assert_str_eq(line + 24, " info hello to=you\n");
    cr_assert_eq(line[0], '2');
    cr_assert_eq(log_dropped(), 0);
}

Test(log_write, a_level_below_the_configured_one_is_not_written)
{
    int fd = pipe_stderr();
    cr_assert_not(log_enabled(LOG_LEVEL_DEBUG));
    log_debug("quiet", LOG_END);
    cr_assert_str_eq(read_some(fd), "");
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    cr_assert(log_enabled(LOG_LEVEL_DEBUG));
    log_debug("loud", LOG_END);
    cr_assert_not_null(strstr(read_some(fd), "\"msg\": \"loud\""));
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    log_warning("quiet", LOG_END);
    cr_assert_str_eq(read_some(fd), "");
    cr_assert_eq(log_dropped(), 0);
}

Test(log_write, fault_51_an_unread_pipe_never_blocks_and_the_loss_is_counted_and_told, .timeout = 20)
{
    int fd = pipe_stderr();
    log_many(100000);
    uint64_t dropped = log_dropped();
    cr_assert_gt(dropped, 90000u);
    size_t lines = 0;
    for (const char *text = read_some(fd); (text = strchr(text, '\n')) != NULL; text++)
        lines++;
    cr_assert_eq(lines + dropped, 100000u, "%zu lines and %llu dropped", lines, (unsigned long long)dropped);
    log_info("back", LOG_END);
    char wanted[64];
    snprintf(wanted, sizeof wanted, " info back log_dropped=%llu\n", (unsigned long long)dropped);
    cr_assert_str_eq(read_some(fd) + 24, wanted);
    log_info("again", LOG_END);
    cr_assert_str_eq(read_some(fd) + 24, " info again\n");
    cr_assert_eq(log_dropped(), dropped);
}

Test(log_write, fault_51_the_pipe_itself_stays_blocking_for_others)
{
    pipe_stderr();
    log_info("hello", LOG_END);
    cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

Test(log_write, fault_51_a_full_disk_drops_lines, .timeout = 20)
{
    int full = open("/dev/full", O_WRONLY);
    cr_assert_geq(full, 0);
    dup2(full, STDERR_FILENO);
    log_many(10);
    cr_assert_eq(log_dropped(), 10);
}

Test(log_write, fault_51_a_closed_standard_error_drops_lines)
{
    close(STDERR_FILENO);
    log_many(10);
    cr_assert_eq(log_dropped(), 10);
}

Test(log_write, fault_51_a_guarded_standard_error_keeps_its_number_and_drops_lines)
{
    close(STDERR_FILENO);
    log_guard_descriptors();
    int next = open("/dev/null", O_WRONLY);
    cr_assert_gt(next, STDERR_FILENO);
    log_many(10);
    cr_assert_eq(log_dropped(), 10);
}

Test(log_write, fault_51_a_pipe_whose_reader_is_gone_does_not_kill_the_process)
{
    int fd = pipe_stderr();
    log_info("hello", LOG_END);
    close(fd);
    log_many(10); /* SIGPIPE is not ignored here */
    cr_assert_eq(log_dropped(), 10);
}

Test(log_write, fault_51_an_unread_socket_never_blocks, .timeout = 20)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    dup2(ends[1], STDERR_FILENO);
    log_info("hello", LOG_END);
    cr_assert_str_eq(read_some(ends[0]) + 24, " info hello\n");
    log_many(100000);
    cr_assert_gt(log_dropped(), 0);
    cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

Test(log_write, a_line_torn_by_a_full_disk_is_ended_before_the_next_one)
{
    char name[] = "/tmp/outboxd-log-XXXXXX";
    int fd = mkstemp(name);
    cr_assert_geq(fd, 0);
    dup2(fd, STDERR_FILENO);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, little;
    getrlimit(RLIMIT_FSIZE, &before);
    little = before;
    little.rlim_cur = 20;
    setrlimit(RLIMIT_FSIZE, &little);
    log_info("torn", LOG_END); /* 20 bytes of it */
    log_info("lost", LOG_END);
    setrlimit(RLIMIT_FSIZE, &before);
    log_info("whole", LOG_END);
    lseek(fd, 0, SEEK_SET);
    const char *text = read_some(fd);
    unlink(name);
    cr_assert_eq(text[20], '\n', "%s", text);
    cr_assert_str_eq(text + 21 + 24, " info whole log_dropped=2\n");
    cr_assert_eq(log_dropped(), 2);
}

Test(log_write, errno_is_left_alone)
{
    close(STDERR_FILENO);
    errno = ENOTTY;
    log_info("hello", LOG_END);
    cr_assert_eq(errno, ENOTTY);
}

static void *
write_lines(void *thread)
{
    for (int i = 0; i < 200; i++)
        log_info("from a thread", LOG_STR("thread", thread), LOG_INT("i", i), LOG_END);
    return NULL;
}

Test(log_write, lines_of_several_threads_do_not_mix, .timeout = 20)
{
    enum { THREADS = 4 };
    static char *names[THREADS] = {"aaaa", "bbbb", "cccc", "dddd"};
    char name[] = "/tmp/outboxd-log-XXXXXX";
    int fd = mkstemp(name);
    dup2(fd, STDERR_FILENO);
    unlink(name);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, write_lines, names[i]);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    lseek(fd, 0, SEEK_SET);
    static char text[200000];
    ssize_t size = read(fd, text, sizeof text - 1);
    cr_assert_gt(size, 0);
    int next[THREADS] = {0}, lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        char thread[8];
        int i;
        cr_assert_eq(sscanf(line + 24, " info from a thread thread=%4s i=%d", thread, &i), 2, "%s", line);
        cr_assert_eq(next[thread[0] - 'a']++, i);
    }
    cr_assert_eq(lines, THREADS * 200);
    cr_assert_eq(log_dropped(), 0);
}
