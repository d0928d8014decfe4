/* process.c: child processes of tests (scratch.h): started with nothing inherited but their output, reaped
 * with a deadline, and dead when their test is. */
#include "support/scratch.h"

#include "support/wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_MS 20000

static _Noreturn void
child_failed(const char *what, const char *name)
{
    dprintf(STDERR_FILENO, "cannot start: %s %s: %s\n", what, name, strerror(errno));
    _exit(127);
}

static void
child_redirect(const char *path, int fd)
{
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0 || dup2(file, fd) < 0)
        child_failed("open", path);
}

static void
child_move(pid_t network)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)network);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0)
        child_failed("enter the network of", path);
}

/* Only calls that are safe between fork and exec. */
static _Noreturn void
child_become(const struct process_options *options, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* an interrupt at the terminal is the runner's business */
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        child_failed("open", "/dev/null");
    if (options->network != 0)
        child_move(options->network);
    if (options->output_path != NULL) {
        child_redirect(options->output_path, STDOUT_FILENO);
        if (dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            child_failed("dup2", options->output_path);
    }
    if (options->error_path != NULL)
        child_redirect(options->error_path, STDERR_FILENO);
    if (options->directory != NULL && chdir(options->directory) != 0)
        child_failed("chdir", options->directory);
    if (options->uid != 0 &&
        (setgroups(1, &options->gid) != 0 || setgid(options->gid) != 0 || setuid(options->uid) != 0))
        child_failed("become the user of", options->argv[0]);
    /* after setuid, which clears it */
    if (options->death_signal != 0 && prctl(PR_SET_PDEATHSIG, options->death_signal) != 0)
        child_failed("prctl", "PR_SET_PDEATHSIG");
    if (getppid() != parent)
        _exit(127);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* or Criterion waits for the end of its pipe in our hands */
    execvp(options->argv[0], (char *const *)(uintptr_t)options->argv);
    child_failed("exec", options->argv[0]);
}

pid_t
process_start(const struct process_options *options)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        test_fail("fork: %s", strerror(errno));
    if (pid == 0)
        child_become(options, parent);
    return pid;
}

bool
process_ended(pid_t pid, int *exit_code)
{
    int status;
    pid_t got = waitpid(pid, &status, WNOHANG);
    if (got < 0)
        test_fail("waitpid %d: %s", (int)pid, strerror(errno));
    if (got == 0)
        return false;
    *exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

int
process_wait(pid_t pid, int timeout_ms)
{
    int exit_code = 0;
    wait_for(process_ended(pid, &exit_code), timeout_ms);
    return exit_code;
}

int
process_run(const struct process_options *options, int timeout_ms)
{
    return process_wait(process_start(options), timeout_ms);
}

/* State and parent from /proc/PID/stat; false when there is no such process. */
static bool
process_look(pid_t pid, char *state, pid_t *parent)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    char *text = scratch_read_file(path);
    const char *after_name = strrchr(text, ')');
    bool found = after_name != NULL && sscanf(after_name, ") %c %d", state, parent) == 2;
    free(text);
    return found;
}

size_t
process_children(pid_t parent, pid_t *children, size_t capacity)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        test_fail("/proc: %s", strerror(errno));
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL && count < capacity;) {
        char state;
        pid_t pid = atoi(entry->d_name), its_parent;
        if (pid > 0 && process_look(pid, &state, &its_parent) && its_parent == parent)
            children[count++] = pid;
    }
    closedir(proc);
    return count;
}

bool
process_gone(pid_t pid)
{
    char state;
    pid_t parent;
    return !process_look(pid, &state, &parent) || state == 'Z';
}

/* Every thread that is left of it. */
static bool
process_stopped(pid_t pid)
{
    char path[64], state;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return true;
    bool stopped = true;
    for (const struct dirent *entry; stopped && (entry = readdir(threads)) != NULL;) {
        pid_t thread = atoi(entry->d_name), parent;
        stopped = thread == 0 || !process_look(thread, &state, &parent) || strchr("TtZX", state) != NULL;
    }
    closedir(threads);
    return stopped;
}

void
process_pause(pid_t pid)
{
    kill(pid, SIGSTOP);
    wait_for(process_stopped(pid), PAUSE_MS);
}

void
process_continue(pid_t pid)
{
    kill(pid, SIGCONT);
}

long
process_status_kib(pid_t pid, const char *field)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    char *text = scratch_read_file(path);
    const char *at = strstr(text, field);
    long kib = at ? strtol(at + strlen(field), NULL, 10) : 0;
    free(text);
    return kib;
}
