/* scratch.c: directories, ports and files of test runs. Called by the servers in tests/support; knows none of
 * them. */
#include "support/scratch.h"

#include <arpa/inet.h>
#include <criterion/types.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below net.ipv4.ip_local_port_range (32768 up), above the ports that services like. */
#define PORT_FIRST 20000
#define PORT_COUNT 12000
/* Shared by all users and runs of one machine. */
#define PORT_LOCKS "/tmp/outboxd-test-ports"

static pid_t root_maker; /* the process that made scratch_root(), 0: none here */

void
test_fail(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    flockfile(stderr);
    fputs("test failed: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    abort();
}

const char *
scratch_root(void)
{
    const char *root = getenv("OUTBOXD_TEST_DIR");
    if (root != NULL && root[0] == '/')
        return root;
    /* not TMPDIR: a Unix socket's path has room for 107 bytes */
    char path[] = "/tmp/outboxd-test-XXXXXX";
    if (mkdtemp(path) == NULL || chmod(path, 0711) != 0 || setenv("OUTBOXD_TEST_DIR", path, 1) != 0)
        test_fail("%s: cannot make it: %s", path, strerror(errno));
    root_maker = getpid();
    return getenv("OUTBOXD_TEST_DIR");
}

void
scratch_root_remove(void)
{
    if (root_maker != getpid())
        return;
    scratch_remove_tree(scratch_root());
    unsetenv("OUTBOXD_TEST_DIR");
    root_maker = 0;
}

/* Weak: programs without Criterion stand on this file too. */
extern const struct criterion_test *const criterion_current_test __attribute__((weak));

char *
scratch_directory(const char *prefix)
{
    const struct criterion_test *const *current = &criterion_current_test;
    const char *test = current != NULL && *current != NULL ? (*current)->name : "suite";
    char *path = must_format("%s/%s-%.30s-XXXXXX", scratch_root(), prefix, test);
    if (mkdtemp(path) == NULL || chmod(path, 0711) != 0)
        test_fail("%s: cannot make it: %s", path, strerror(errno));
    return path;
}

int
scratch_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        test_fail("%s: cannot lock it: %s", path, strerror(errno));
    return fd;
}

/* The lock stays with the open descriptor, that is, with this process and what it forks. */
static bool
port_reserve(int port)
{
    char path[64];
    snprintf(path, sizeof path, PORT_LOCKS "/%d", port);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return false; /* another user's */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    close(fd);
    return false;
}

static bool
port_is_free(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        test_fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    bool free_port = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return free_port;
}

int
scratch_port(void)
{
    if (mkdir(PORT_LOCKS, 0777) == 0)
        chmod(PORT_LOCKS, 01777);
    for (int attempt = 0; attempt < 1000; attempt++) {
        unsigned random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            test_fail("getrandom: %s", strerror(errno));
        int port = PORT_FIRST + (int)(random % PORT_COUNT);
        if (port_reserve(port) && port_is_free(port))
            return port;
    }
    test_fail("no free port between %d and %d", PORT_FIRST, PORT_FIRST + PORT_COUNT);
}

char *
scratch_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t size = 0, capacity = 64 * 1024;
    char *text = must_alloc(capacity);
    while (file != NULL) {
        size_t got = fread(text + size, 1, capacity - size - 1, file);
        size += got;
        if (got == 0)
            break;
        if (capacity - size < 2)
            text = must_realloc(text, capacity *= 2, 1);
    }
    text[size] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

bool
scratch_file_contains(const char *path, const char *text)
{
    char *file = scratch_read_file(path);
    bool found = strstr(file, text) != NULL;
    free(file);
    return found;
}

char *
scratch_read_proc(pid_t pid, const char *name)
{
    char *path = must_format("/proc/%d/%s", (int)pid, name), *text = must_calloc(1, 65536);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        test_fail("%s: %s", path, strerror(errno));
    size_t size = fread(text, 1, 65535, file);
    fclose(file);
    for (size_t i = 0; i < size; i++)
        text[i] = text[i] == '\0' ? ' ' : text[i];
    free(path);
    return text;
}

void
scratch_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        test_fail("%s: cannot write it: %s", path, strerror(errno));
}

void
scratch_replace_in_file(const char *path, const char *old, const char *new)
{
    char *text = scratch_read_file(path), *at = strstr(text, old);
    if (at == NULL)
        test_fail("%s: \"%s\" is not in it:\n%s", path, old, text);
    char *changed = must_format("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    scratch_write_file(path, changed);
    free(changed);
    free(text);
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    remove(path); /* what a dying server still holds goes with the root */
    return 0;
}

void
scratch_remove_tree(const char *path)
{
    nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}
