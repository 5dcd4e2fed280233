/* ops_process_test.c - omend as a process: exit codes, the line, the ready file, the supervisor's
 * socket, signals. The program is the first argument.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_ARGS = 24, MAX_OUTPUT = 65536, PATIENCE_MS = 60000 };

static const char *program;
static char folder[64] = P_tmpdir "/ops-process-XXXXXX";
static char notify_path[80];

typedef struct process {
    pid_t pid;
    int out; /* stdout and stderr, read end */
    char output[MAX_OUTPUT];
    size_t length;
} process;

/* Starts omend with the words of `flags`. */
static void start(process *p, const char *flags)
{
    static char text[2048];
    char *argv[MAX_ARGS + 1] = {"omend"};
    int fds[2];
    int argc = 1;
    (void)snprintf(text, sizeof text, "%s", flags);
    for (char *save = NULL, *t = strtok_r(text, " ", &save); t != NULL && argc < MAX_ARGS;
         t = strtok_r(NULL, " ", &save)) {
        argv[argc++] = t;
    }
    memset(p, 0, sizeof *p);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)execv(program, argv);
        _exit(127);
    }
    (void)close(fds[1]);
    p->out = fds[0];
}

/* Reads until the output holds `text`; with NULL until its end. False: it ended without. */
static bool read_until(process *p, const char *text)
{
    while (text == NULL || strstr(p->output, text) == NULL) {
        struct pollfd ready = {p->out, POLLIN, 0};
        if (poll(&ready, 1, PATIENCE_MS) != 1) {
            (void)kill(p->pid, SIGKILL);
            fail_msg("no answer; so far: %s", p->output);
        }
        ssize_t n = read(p->out, p->output + p->length, MAX_OUTPUT - 1 - p->length);
        if (n <= 0) {
            return false;
        }
        p->length += (size_t)n;
    }
    return true;
}

static int finish(process *p)
{
    int status = 0;
    (void)read_until(p, NULL);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    (void)close(p->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_exit(const char *flags, int code, const char *part)
{
    process p;
    start(&p, flags);
    int got = finish(&p);
    if (got != code || strstr(p.output, part) == NULL) {
        fail_msg("'%s': exit %d, wanted %d and '%s': %s", flags, got, code, part, p.output);
    }
}

/* Reads a port out of "... grpc=127.0.0.1:PORT ..." */
static uint16_t port_of(const process *p, const char *name)
{
    char key[32];
    unsigned port = 0;
    (void)snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(p->output, "omend: serving");
    at = at != NULL ? strstr(at, key) : NULL;
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(key), "127.0.0.1:%u", &port), 1);
    return (uint16_t)port;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int get(uint16_t port, const char *path)
{
    char text[256];
    int code = 0;
    int fd = connect_to(port);
    if (fd < 0) {
        return 0;
    }
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    (void)send(fd, text, (size_t)n, MSG_NOSIGNAL);
    ssize_t got = recv(fd, text, sizeof text - 1, MSG_WAITALL);
    text[got > 0 ? got : 0] = '\0';
    (void)close(fd);
    return sscanf(text, "HTTP/1.1 %d", &code) == 1 ? code : 0;
}

static void test_exit_codes(void **state)
{
    char flags[256];
    (void)state;
    assert_exit("--help", 0, "usage: omend");
    assert_exit("--version", 0, "omend 0.");
    assert_exit("--print-config --max-inflight 7", 0, "max-inflight = 7\n");
    assert_exit("--check-config", 0, "the configuration is good");
    assert_exit("--max-inflight 0", 64, "it must be 1 to 1000000");
    assert_exit("--listen 0.0.0.0:0", 78, "insecure-expose");
    assert_exit("--check-config --tls-cert no-such --tls-key no-such", 78, "no-such: No such file");
    assert_exit("--check-config --open x=no-such-file", 78, "open x: ");
    assert_exit("--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --open x=no-such-file", 78,
                "open x: ");
    (void)snprintf(flags, sizeof flags, "--log-file %s/no/log", folder);
    assert_exit(flags, 78, "/no/log: No such file");
}

/* What --check-config calls good starts; what the start refuses it refuses with the same words. */
static void assert_both(const char *flags, const char *part)
{
    char all[512];
    (void)snprintf(all, sizeof all, "--check-config %s", flags);
    assert_exit(all, 78, part);
    (void)snprintf(all, sizeof all, "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 %s", flags);
    assert_exit(all, 78, part);
}

static void test_check_is_start(void **state)
{
    char flags[256];
    char path[128];
    (void)state;
    (void)snprintf(flags, sizeof flags, "--ready-file %s/no/ready", folder);
    assert_both(flags, "/no/ready: No such file");
    (void)snprintf(flags, sizeof flags, "--ready-file %s", folder);
    assert_both(flags, ": Is a directory");
    (void)snprintf(flags, sizeof flags, "--audit-log %s/no/audit", folder);
    assert_both(flags, "/no/audit: No such file");
    (void)snprintf(flags, sizeof flags, "--audit-log %s", folder);
    assert_both(flags, "audit-log ");
    (void)snprintf(path, sizeof path, "%s/plain", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(flags, sizeof flags, "--data-dir %s", path);
    assert_both(flags, "plain' is not a folder");
    assert_int_equal(unlink(path), 0);
    /* The admin address of others: the loopback one above is no case for this. */
    assert_exit("--check-config --admin-listen 0.0.0.0:0 --console any --tls-cert no-such "
                "--tls-key no-such "
                "--tls-client-ca no-such",
                78, "console: any: everybody who reaches");
    assert_exit("--admin-listen 0.0.0.0:0 --console any --tls-cert no-such --tls-key no-such "
                "--tls-client-ca no-such",
                78, "no-such: No such file");
    /* A check leaves nothing behind. */
    (void)snprintf(flags, sizeof flags, "--check-config --audit-log %s/audit --ready-file %s/ready",
                   folder, folder);
    assert_exit(flags, 0, "the configuration is good");
    (void)snprintf(path, sizeof path, "%s/audit", folder);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/ready", folder);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_stray_variable(void **state)
{
    (void)state;
    assert_int_equal(setenv("OMEND_MAX_INFLGHT", "5", 1), 0);
    assert_exit("--check-config", 0,
                "OMEND_MAX_INFLGHT says nothing: there is no option "
                "'max-inflght'; did you mean 'max-inflight'?");
    assert_int_equal(unsetenv("OMEND_MAX_INFLGHT"), 0);
}

/* Also started from a shell, whose umask lets others read. */
static void test_data_folder(void **state)
{
    process p;
    char path[128];
    char command[256];
    struct stat st;
    (void)state;
    (void)snprintf(path, sizeof path, "%s/data", folder);
    (void)snprintf(command, sizeof command, "--listen 127.0.0.1:0 --admin-listen off --data-dir %s",
                   path);
    mode_t before = umask(0022);
    start(&p, command);
    (void)umask(before);
    assert_true(read_until(&p, " admin="));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    (void)kill(p.pid, SIGINT);
    assert_int_equal(finish(&p), 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static void test_port_taken(void **state)
{
    process p;
    char flags[128];
    (void)state;
    start(&p, "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0");
    assert_true(read_until(&p, " admin="));
    assert_true(read_until(&p, "\n"));
    (void)snprintf(flags, sizeof flags, "--admin-listen off --listen 127.0.0.1:%u",
                   port_of(&p, "grpc"));
    assert_exit(flags, 70, "grpc: ");
    (void)snprintf(flags, sizeof flags, "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:%u",
                   port_of(&p, "admin"));
    assert_exit(flags, 70, "in use");
    (void)kill(p.pid, SIGINT);
    assert_int_equal(finish(&p), 0);
}

static int open_notify(void)
{
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", notify_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Skips heartbeats; they come whenever they like. */
static void assert_notified(int fd, const char *wanted)
{
    char text[128];
    for (;;) {
        struct pollfd ready = {fd, POLLIN, 0};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        if (strcmp(text, "WATCHDOG=1") != 0 || strcmp(wanted, text) == 0) {
            assert_string_equal(text, wanted);
            return;
        }
    }
}

static void test_life(void **state)
{
    process p;
    char flags[512];
    char ready[128];
    char log[128];
    char moved[140];
    (void)state;
    int notify = open_notify();
    assert_int_equal(setenv("NOTIFY_SOCKET", notify_path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "300000", 1), 0);
    (void)snprintf(ready, sizeof ready, "%s/ready", folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    (void)snprintf(moved, sizeof moved, "%s.1", log);
    (void)snprintf(flags, sizeof flags,
                   "--listen 127.0.0.1:0,127.0.0.1:0 --admin-listen 127.0.0.1:0 --ready-file %s "
                   "--log-file %s --log-format json --predrain-ms 300000",
                   ready, log);
    start(&p, flags);
    assert_notified(notify, "READY=1");
    assert_true(read_until(&p, "\n"));
    uint16_t admin = port_of(&p, "admin");
    assert_true(port_of(&p, "grpc") != 0);
    assert_int_equal(access(ready, R_OK), 0);
    FILE *file = fopen(ready, "re");
    char line[512] = "";
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(fclose(file), 0);
    assert_string_equal(line, p.output); /* the line, and nothing else on stdout and stderr */
    assert_int_equal(get(admin, "/livez"), 200);
    assert_int_equal(get(admin, "/readyz"), 200);
    assert_int_equal(get(admin, "/startupz"), 200);
    assert_int_equal(get(admin, "/metrics"), 200);
    assert_notified(notify, "WATCHDOG=1");
    int grpc = connect_to(port_of(&p, "grpc"));
    assert_true(grpc >= 0);
    (void)close(grpc); /* a handshake that never ends would be waited for */
    /* HUP: the log is opened again under its name. */
    assert_int_equal(rename(log, moved), 0);
    (void)kill(p.pid, SIGHUP);
    while (access(log, R_OK) != 0) {
        assert_int_equal(get(admin, "/livez"), 200); /* also gives the other process time */
    }
    /* TERM: not ready while it waits for load balancers, which another TERM ends. */
    (void)kill(p.pid, SIGTERM);
    assert_notified(notify, "STOPPING=1");
    assert_int_equal(get(admin, "/readyz"), 503);
    assert_int_equal(get(admin, "/livez"), 200);
    (void)kill(p.pid, SIGTERM);
    assert_int_equal(finish(&p), 0);
    assert_int_equal(access(ready, F_OK), -1);
    assert_int_equal(get(admin, "/livez"), 0);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
    (void)close(notify);
}

/* A stop without calls does not wait for its grace. */
static void test_quick_stop(void **state)
{
    process p;
    (void)state;
    start(&p, "--listen 127.0.0.1:0 --admin-listen off --grace-ms 600000");
    assert_true(read_until(&p, " admin=off"));
    (void)kill(p.pid, SIGTERM);
    assert_int_equal(finish(&p), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(notify_path, sizeof notify_path, "%s/notify", folder);
    return 0;
}

static int tear_down(void **state)
{
    char command[80];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes),     cmocka_unit_test(test_check_is_start),
        cmocka_unit_test(test_stray_variable), cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_data_folder),    cmocka_unit_test(test_life),
        cmocka_unit_test(test_quick_stop),
    };
    if (argc != 2) {
        (void)fprintf(stderr, "usage: ops_process_test OMEND\n");
        return 2;
    }
    program = argv[1];
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
