/* mail_server.c: see mail_server.h. */
#include "mail_server.h"

#include "support/scratch.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct mail_server {
    char *directory, *received, *url;
    int port;
    pid_t pid; /* 0: down */
};

static bool
answers(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return up;
}

void
mail_server_up(struct mail_server *server)
{
    char *port = must_format("%d", server->port), *log = must_format("%s/log", server->directory);
    const char *argv[] = {"/usr/bin/python3", "examples/welcome/smtp_server.py", server->directory, port,
                          NULL};
    server->pid =
        process_start(&(struct process_options){.argv = argv, .output_path = log, .death_signal = SIGKILL});
    int64_t deadline_us = wait_deadline_us(20000);
    while (!answers(server->port)) {
        int code;
        if (process_ended(server->pid, &code))
            test_fail("the mail server ended at once (python3-aiosmtpd: packaging/deps.sh test):\n%s",
                      scratch_read_file(log));
        wait_turn_or_fail(deadline_us, "the mail server answers", __FILE__, __LINE__);
    }
    free(log);
    free(port);
}

struct mail_server *
mail_server_start(void)
{
    struct mail_server *server = must_alloc(sizeof *server);
    server->directory = scratch_directory("smtp");
    server->received = must_format("%s/received", server->directory);
    server->port = scratch_port();
    server->url = must_format("smtp://127.0.0.1:%d", server->port);
    if (mkdir(server->received, 0700) != 0)
        test_fail("%s: cannot make it", server->received);
    mail_server_set(server, "accept");
    mail_server_up(server);
    return server;
}

void
mail_server_kill(struct mail_server *server)
{
    kill(server->pid, SIGKILL);
    process_wait(server->pid, 10000);
    server->pid = 0;
}

void
mail_server_free(struct mail_server *server)
{
    if (server == NULL)
        return;
    if (server->pid != 0)
        mail_server_kill(server);
    free(server->directory);
    free(server->received);
    free(server->url);
    free(server);
}

/* Whole or not at all, for the server may be reading. */
void
mail_server_set(struct mail_server *server, const char *format, ...)
{
    va_list arguments;
    char *mode = NULL, *path = must_format("%s/mode", server->directory), *new = must_format("%s.new", path);
    va_start(arguments, format);
    if (vasprintf(&mode, format, arguments) < 0)
        test_fail("out of memory");
    va_end(arguments);
    scratch_write_file(new, mode);
    if (rename(new, path) != 0)
        test_fail("%s: cannot rename it", new);
    free(new);
    free(path);
    free(mode);
}

const char *
mail_server_url(const struct mail_server *server)
{
    return server->url;
}

static int
is_mail(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int
mail_server_count(const struct mail_server *server)
{
    struct dirent **names;
    int count = scandir(server->received, &names, is_mail, NULL);
    if (count < 0)
        test_fail("%s: cannot read it", server->received);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return count;
}

static char *
line_from(const char *text)
{
    return must_format("%.*s", (int)strcspn(text, "\r\n"), text);
}

static struct received_mail
read_mail(const char *path)
{
    char *file = scratch_read_file(path), *text = strchr(file, '\n');
    char *id = text != NULL ? strstr(text, "\nMessage-ID: ") : NULL;
    if (id == NULL)
        test_fail("%s: a mail without a Message-ID:\n%s", path, file);
    struct received_mail mail = {.recipient = line_from(file),
                                 .text = must_strdup(text + 1),
                                 .message_id = line_from(id + strlen("\nMessage-ID: "))};
    free(file);
    return mail;
}

struct received_mails
mail_server_read(const struct mail_server *server)
{
    struct dirent **names;
    int count = scandir(server->received, &names, is_mail, alphasort);
    if (count < 0)
        test_fail("%s: cannot read it", server->received);
    struct received_mails mails = {.list = must_alloc((size_t)(count + 1) * sizeof *mails.list),
                                   .count = (size_t)count};
    for (int i = 0; i < count; i++) {
        char *path = must_format("%s/%s", server->received, names[i]->d_name);
        mails.list[i] = read_mail(path);
        free(path);
        free(names[i]);
    }
    free(names);
    return mails;
}

void
received_mails_free(struct received_mails *mails)
{
    for (size_t i = 0; i < mails->count; i++) {
        free(mails->list[i].recipient);
        free(mails->list[i].text);
        free(mails->list[i].message_id);
    }
    free(mails->list);
}
