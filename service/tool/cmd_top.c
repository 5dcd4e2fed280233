/* cmd_top.c - top: what a server does, live, out of its /metrics.
 * SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "top.h"

#define DEFAULT_ADDRESS "localhost:7701"
#define DEFAULT_PORT "7701"

typedef struct screen {
    bool live;  /* a terminal that is drawn over */
    bool typed; /* keys come without Enter */
    struct termios before;
} screen;

/* --admin, OMEN_ADMIN, or the host of --server with the usual port. */
static void find_address(const om_args *args, char *out, size_t size)
{
    const char *given = args->admin != NULL ? args->admin : getenv("OMEN_ADMIN");
    if (given != NULL && given[0] != '\0') {
        (void)snprintf(out, size, "%s", given);
    } else if (args->server != NULL && strrchr(args->server, ':') != NULL &&
               strncmp(args->server, "unix:", 5) != 0) {
        (void)snprintf(out, size, "%.*s:" DEFAULT_PORT,
                       (int)(strrchr(args->server, ':') - args->server), args->server);
    } else {
        (void)snprintf(out, size, DEFAULT_ADDRESS);
    }
}

/* ---- The terminal -------------------------------------------------------------------------- */

static void begin_screen(screen *s, const om_args *args)
{
    const char *kind = getenv("TERM");
    s->live = !args->json && !args->one_look && isatty(STDOUT_FILENO) == 1 && kind != NULL &&
              strcmp(kind, "dumb") != 0;
    if (!s->live) {
        return;
    }
    if (isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &s->before) == 0) {
        struct termios raw = s->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        s->typed = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    (void)fputs("\033[?1049h\033[?25l", stdout); /* a screen of its own, no cursor */
}

static void end_screen(const screen *s)
{
    if (s->live) {
        (void)fputs("\033[?25h\033[?1049l", stdout);
        (void)fflush(stdout);
    }
    if (s->typed) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
    }
}

static double clock_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* False: the user wants to stop. */
static bool rest(const screen *s, double seconds)
{
    double end = clock_s() + seconds;
    for (double left = seconds; left > 0 && !om_tool_interrupted(); left = end - clock_s()) {
        struct pollfd p = {.fd = s->typed ? STDIN_FILENO : -1, .events = POLLIN};
        char key = 0;
        if (poll(&p, 1, left > 0.2 ? 200 : (int)(left * 1000) + 1) > 0 &&
            (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')) {
            return false;
        }
    }
    return !om_tool_interrupted();
}

static void show(const screen *s, const om_args *args, const om_top_view *view, const char *address)
{
    om_top_style style = {.columns = 512, .clear = ""};
    struct winsize size;
    const char *plain = getenv("NO_COLOR");
    if (args->json) {
        om_top_json(view);
        (void)fflush(stdout);
        return;
    }
    if (s->live) {
        memset(&size, 0, sizeof size);
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        style.columns = size.ws_col > 0 ? size.ws_col : 80;
        style.rows = size.ws_row > 0 ? size.ws_row : 24;
        style.rows--; /* the last line ends with a newline, which must not scroll */
        style.colour = plain == NULL || plain[0] == '\0';
        style.clear = "\033[K";
        (void)fputs("\033[H", stdout);
    }
    om_top_draw(stdout, view, address, &style);
    (void)fputs(s->live ? "\033[J" : "\n", stdout);
    (void)fflush(stdout);
}

/* ---- The command --------------------------------------------------------------------------- */

/* One round: waits, fetches, shows what was between. */
static bool step(const screen *s, const om_args *args, const char *address, om_top_page *last,
                 om_tool_error *err)
{
    om_top_page next;
    om_top_view view;
    if (!om_top_fetch(address, args->timeout_ms, &next, err)) {
        return false;
    }
    bool ok = om_top_view_of(last, &next, &view, err);
    om_top_page_free(last);
    *last = next;
    if (ok) {
        show(s, args, &view, address);
        om_top_view_free(&view);
    }
    return ok;
}

bool om_cmd_top(const om_args *args, om_tool_error *err)
{
    char address[300];
    om_top_page last;
    screen s = {.live = false};
    double interval = args->interval > 0 ? args->interval : 1;
    if (interval < 0.1 || interval > 3600) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--interval: %g is not 0.1 to 3600 seconds",
                            args->interval);
    }
    find_address(args, address, sizeof address);
    om_tool_catch_signals();
    if (!om_top_fetch(address, args->timeout_ms, &last, err)) {
        return false;
    }
    begin_screen(&s, args);
    bool ok = true;
    while (ok && rest(&s, interval)) {
        ok = step(&s, args, address, &last, err);
        if (args->one_look) {
            break;
        }
    }
    end_screen(&s);
    om_top_page_free(&last);
    return ok;
}
