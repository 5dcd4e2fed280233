/* notify.h - tells the supervisor (systemd) how the service is: READY=1, STOPPING=1, WATCHDOG=1.
 * One datagram to the socket named by NOTIFY_SOCKET; without it everything here does nothing.
 * Depends on: nothing.  Threads: one.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_NOTIFY_H
#define OM_NOTIFY_H
#include <stdbool.h>
#include <stdint.h>

typedef struct om_notify {
    int fd;               /* -1: nobody listens */
    uint64_t watchdog_us; /* the supervisor wants a sign this often; 0: it does not */
} om_notify;
/* socket, watchdog_usec and watchdog_pid are the environment variables NOTIFY_SOCKET, WATCHDOG_USEC
 * and WATCHDOG_PID, or NULL. A socket that is not there is treated as none. */
void om_notify_open(om_notify *n, const char *socket, const char *watchdog_usec,
                    const char *watchdog_pid);
void om_notify_close(om_notify *n);
/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; several lines in one call. Never blocks.
 * False: nobody listens, or the datagram did not leave. */
bool om_notify_send(const om_notify *n, const char *state);
#endif
