/* console.h - the console: one page on the admin port, and the JSON API behind it. It shows collections,
 * plots and operations, searches, and starts maintenance, for callers who show what gRPC asks of them.
 * Depends on: access.h, admin.h, observe.h, rt.h.  Threads: create, attach and free by one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONSOLE_H
#define OM_CONSOLE_H
#include <stddef.h>
#include <stdint.h>

#include "access.h"
#include "admin.h"
#include "config.h"
#include "observe.h"
#include "rt.h"

typedef struct om_console om_console;
/* Everything outlives the console; NULL where a part is not there. */
typedef struct om_console_options {
    uint32_t mode; /* OM_CONSOLE_LOCAL or ANY, of config.h */
    om_access *access;
    om_health *health;
    const om_observe *observe;
} om_console_options;
om_console *om_console_create(const om_console_options *options); /* NULL: no memory */
/* The routes for om_admin_options, with the console as their context. */
const om_admin_route *om_console_routes(size_t *count);
/* The server that it shows from now on. NULL: away from it, which cancels the searches that run and waits
 * for their end; the page says that the server starts or stops. */
void om_console_attach(om_console *console, om_rt *rt);
/* After the admin server was stopped. NULL is accepted. */
void om_console_free(om_console *console);
#endif
