/* health.c - grpc.health.v1: Check and Watch. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "descriptors.h"
#include "grpc/health/v1/health.pb-c.h"
#include "impls.h"
#include "method_util.h"

typedef Grpc__Health__V1__HealthCheckRequest request_t;
typedef Grpc__Health__V1__HealthCheckResponse response_t;

typedef struct watch {
    bool asked, known, writing, ended;
    int told; /* the last state sent; -1: none */
} watch;

static bool known_service(const char *name)
{
    if (name[0] == '\0') {
        return true;
    }
    for (uint32_t i = 0; i < om_desc_service_count; i++) {
        if (strcmp(name, om_desc_services[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int state_now(om_rpc *rpc)
{
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    return atomic_load(&s->serving)
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static response_t response_of(int state)
{
    response_t r;
    grpc__health__v1__health_check_response__init(&r);
    r.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)state;
    return r;
}

static void check_message(om_rpc *rpc, om_rpc_message *message)
{
    request_t *req =
        om_rpc_unpack(rpc, message, &grpc__health__v1__health_check_request__descriptor);
    if (req == NULL) {
        return;
    }
    if (!known_service(req->service)) {
        om_failure f;
        om_failure_set(&f, OMEN_NOT_FOUND, "NOT_FOUND", "service", "service %.64s is not known",
                       req->service);
        om_rpc_finish(rpc, &f);
        return;
    }
    response_t r = response_of(state_now(rpc));
    om_rpc_reply_pb(rpc, &r.base);
}

/* Sends the state when it is news; ends the call when the server drains and the client knows. */
static void tell(om_rpc *rpc)
{
    watch *w = om_rpc_state(rpc);
    if (!w->asked || w->writing || w->ended || om_rpc_is_cancelled(rpc)) {
        return;
    }
    int state = w->known ? state_now(rpc)
                         : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    if (state != w->told) {
        w->told = state;
        w->writing = true;
        response_t r = response_of(state);
        om_rpc_write_pb(rpc, &r.base);
    } else if (om_rpc_draining(rpc)) {
        om_failure f;
        om_failure_set(&f, OMEN_UNAVAILABLE, "DRAINING", NULL, "the server is stopping");
        w->ended = true;
        om_rpc_finish(rpc, &f);
    }
}

static void watch_message(om_rpc *rpc, om_rpc_message *message)
{
    watch *w = om_rpc_state(rpc);
    request_t *req =
        om_rpc_unpack(rpc, message, &grpc__health__v1__health_check_request__descriptor);
    if (req == NULL) {
        w->ended = true;
        return;
    }
    w->asked = true;
    w->told = -1;
    w->known = known_service(req->service);
    tell(rpc);
}

static void watch_written(om_rpc *rpc)
{
    watch *w = om_rpc_state(rpc);
    w->writing = false;
    tell(rpc);
}

const om_rpc_impl om_impl_grpc_health_v1_Health_Check = {
    .verb = OM_VERB_OPEN, .flags = OM_RPC_QUIET, .message = check_message};
const om_rpc_impl om_impl_grpc_health_v1_Health_Watch = {.verb = OM_VERB_OPEN,
                                                         .flags = OM_RPC_QUIET,
                                                         .state_size = sizeof(watch),
                                                         .message = watch_message,
                                                         .written = watch_written,
                                                         .posted = tell};
