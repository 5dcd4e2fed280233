/* admin_int.h - what the two files of the admin server share.
 * Depends on: admin.h, libmicrohttpd.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ADMIN_INT_H
#define OM_ADMIN_INT_H
#include <microhttpd.h>
#include <pthread.h>

#include "admin.h"

/* Requests of routes. The mutex guards everything down to the threads; a request belongs to the server's
 * thread, but from the moment that it is queued until its connection is resumed to the worker that has it. */
typedef struct om_admin_requests {
    const om_admin_route *routes;
    size_t route_count;
    void *ctx;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct om_admin_exchange *first, **tail; /* wait for a worker */
    uint32_t count;                          /* not yet answered and gone */
    bool stopping;
    pthread_t threads[OM_ADMIN_WORKERS];
    uint32_t thread_count;
} om_admin_requests;

/* Starts threads when a route is slow. False: there are none to be had. */
bool om_admin_requests_start(om_admin_requests *q, const om_admin_options *options);
/* Waits for the workers; what waited for them is told 503. Before the server is stopped. */
void om_admin_requests_stop(om_admin_requests *q);
/* After it. */
void om_admin_requests_end(om_admin_requests *q);
const om_admin_route *om_admin_find_route(const om_admin_requests *q, const char *path);

/* One call of the server's handler about a request of a route. */
typedef struct om_admin_call {
    struct MHD_Connection *connection;
    const char *method;
    const char *data;
    size_t *data_size;
    void **request; /* the exchange; NULL at the first call */
} om_admin_call;
enum MHD_Result om_admin_route_call(om_admin_requests *q, const om_admin_route *route,
                                    const om_admin_call *call);
void om_admin_exchange_free(void *request); /* NULL is accepted */

bool om_admin_has_body(struct MHD_Connection *connection);
/* Answers, and takes answer->text over. */
enum MHD_Result om_admin_send(struct MHD_Connection *connection, const om_admin_answer *answer);
#endif
