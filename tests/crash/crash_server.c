/* crash_server.c - starting and ending omend. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

extern char **environ;

bool crash_start(crash_run *run)
{
    char data[512];
    char seal[64];
    (void)snprintf(data, sizeof data, "--data-dir=%s/data", run->folder);
    (void)snprintf(seal, sizeof seal, "--seal-rows=%u", run->seal_rows);
    /* The server dies with this process, whatever happens to it. */
    const char *argv[] = {"setpriv",
                          "--pdeathsig",
                          "KILL",
                          run->omend,
                          data,
                          seal,
                          "--listen=127.0.0.1:0",
                          "--admin-listen=127.0.0.1:0",
                          "--log-level=warn",
                          "--grace-ms=5000",
                          NULL};
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        crash_problem(run, CRASH_OTHER, "pipe: %s", strerror(errno));
        return false;
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    char *words[sizeof argv / sizeof *argv];
    memcpy(words, argv, sizeof words);
    int failed = posix_spawnp(&run->pid, words[0], &actions, NULL, words, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    run->out = ends[0];
    if (failed != 0) {
        (void)close(ends[0]);
        crash_problem(run, CRASH_OTHER, "%s cannot be started: %s", run->omend, strerror(failed));
        return false;
    }
    atomic_store(&run->over, false);
    return true;
}

/* Waits for the process, and returns how it ended. */
static int reap(crash_run *run)
{
    int status = -1;
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR) {
    }
    (void)close(run->out);
    run->pid = 0;
    return status;
}

bool crash_wait_serving(crash_run *run)
{
    char line[512];
    size_t have = 0;
    for (;;) {
        struct pollfd wait = {.fd = run->out, .events = POLLIN};
        ssize_t got = 0;
        if (poll(&wait, 1, CRASH_PATIENCE_MS) == 1) {
            got = read(run->out, line + have, sizeof line - 1 - have);
        }
        if (got <= 0) {
            (void)kill(run->pid, SIGKILL);
            int status = reap(run);
            crash_problem(run, CRASH_OTHER, "omend does not serve (wait status 0x%x)",
                          (unsigned)status);
            return false;
        }
        have += (size_t)got;
        line[have] = '\0';
        const char *at = strstr(line, "grpc=");
        if (at != NULL && strchr(at, '\n') != NULL) {
            size_t size = strcspn(at + 5, " \n");
            (void)snprintf(run->address, sizeof run->address, "%.*s", (int)size, at + 5);
            return true;
        }
    }
}

void crash_kill(crash_run *run)
{
    atomic_store(&run->over, true);
    (void)kill(run->pid, SIGKILL);
    int status = reap(run);
    /* A server that has ended by itself before the signal came has failed. */
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        crash_problem(run, CRASH_OTHER, "omend ended before it was killed (wait status 0x%x)",
                      (unsigned)status);
    }
}

void crash_stop(crash_run *run)
{
    atomic_store(&run->over, true);
    (void)kill(run->pid, SIGTERM);
    int status = reap(run);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        crash_problem(run, CRASH_OTHER, "omend ended badly after SIGTERM (wait status 0x%x)",
                      (unsigned)status);
    }
}

static bool run_command(char **argv)
{
    pid_t pid;
    int status = 0;
    return posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 &&
           waitpid(pid, &status, 0) == pid && status == 0;
}

void crash_remove(const char *path)
{
    char *argv[] = {om_remote_text("rm"), om_remote_text("-rf"), om_remote_text(path), NULL};
    (void)run_command(argv);
}

bool crash_copy_folder(crash_run *run)
{
    char from[512];
    char to[512];
    (void)snprintf(from, sizeof from, "%s/data", run->folder);
    (void)snprintf(to, sizeof to, "%s/before", run->folder);
    crash_remove(to);
    char *argv[] = {om_remote_text("cp"),
                    om_remote_text("-a"),
                    om_remote_text("--sparse=always"),
                    from,
                    to,
                    NULL};
    if (access(from, F_OK) == 0 && !run_command(argv)) {
        crash_problem(run, CRASH_OTHER, "%s cannot be copied", from);
        return false;
    }
    return true;
}
