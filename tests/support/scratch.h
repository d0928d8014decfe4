/* scratch.h: what every test server stands on: a directory of its own, a free port, a child process that
 * cannot outlive the test, and a way to fail. Helpers in tests/support end the test instead of returning
 * errors: a test that goes on after its server failed to start proves nothing. */
#ifndef OUTBOXD_TESTS_SUPPORT_SCRATCH_H
#define OUTBOXD_TESTS_SUPPORT_SCRATCH_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Prints the message and aborts the process, which Criterion counts as a failed test. From any thread. */
_Noreturn void test_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* The directory of this run of the tests (OUTBOXD_TEST_DIR, made by tests/run.sh or by the suite's first
 * process), which users other than the caller can pass through. */
const char *scratch_root(void);

/* Removes scratch_root() when this process made it. */
void scratch_root_remove(void);

/* A new empty directory below scratch_root(), mode 0711, named after the test; the caller frees the name. */
char *scratch_directory(const char *prefix);

/* Waits for the lock on this file, which is made if need be; close() gives it back. */
int scratch_lock(const char *path);

/* A TCP port of 127.0.0.1 that is free and below the ephemeral range, so that no outgoing connection takes it
 * while its server is down. Reserved among all test processes until this process ends. */
int scratch_port(void);

/* Whole file as a string with a NUL behind it; "" when there is no such file. The caller frees it. */
char *scratch_read_file(const char *path);
bool scratch_file_contains(const char *path, const char *text);
/* What /proc shows of a process, with blanks for the zero bytes between words; of 64 KiB the beginning. The test fails when it is gone. The caller
 * frees it. */
char *scratch_read_proc(pid_t pid, const char *name);
void scratch_write_file(const char *path, const char *text);
/* The first `old` in the file becomes `new`; the test fails when there is none. */
void scratch_replace_in_file(const char *path, const char *old, const char *new);
void scratch_remove_tree(const char *path);

/* A disk of this size ("4m") that only this test and what it starts can see: it is gone with the last of them. The caller frees its
 * path. NULL: that needs root. */
char *scratch_small_disk(const char *size);
/* Leaves no room on the disk of this file, which is made. */
void scratch_fill_disk(const char *path);

struct process_options {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *output_path; /* stdout and stderr are appended here; NULL: those of the caller */
    const char *error_path;  /* stderr apart from stdout; NULL: together */
    const char *directory;   /* working directory; NULL: the caller's */
    uid_t uid;               /* who runs it; 0 with gid 0: the caller */
    gid_t gid;
    pid_t network;    /* runs in the network namespace of this process (network.h); 0: in the caller's */
    int death_signal; /* sent to it when the caller's thread ends: a test killed by its deadline leaves
                         nothing */
};

/* Starts a child. Call it from the test's main thread: the child dies with the thread that made it. */
pid_t process_start(const struct process_options *options);

/* Reaps `pid`: its exit code, or 128 + signal. Fails the test after `timeout_ms`. */
int process_wait(pid_t pid, int timeout_ms);

/* True when it has ended; then *exit_code is as above and the pid is gone. */
bool process_ended(pid_t pid, int *exit_code);

/* A line of /proc/PID/status in KiB ("VmRSS:"); 0 when there is none, as of a process that has ended. */
long process_status_kib(pid_t pid, const char *field);

/* The processes whose parent is `parent`, at most `capacity`; their number. */
size_t process_children(pid_t parent, pid_t *children, size_t capacity);

/* SIGSTOP, and waits until no thread of it runs: on a busy machine kill() is back long before, and the others go on meanwhile. Nothing when it is
 * gone. */
void process_pause(pid_t pid);
void process_continue(pid_t pid);

/* True when there is no such process, or only what is left of it until its parent looks; for those of others. */
bool process_gone(pid_t pid);

/* Runs to the end and returns the exit code. */
int process_run(const struct process_options *options, int timeout_ms);

#endif
