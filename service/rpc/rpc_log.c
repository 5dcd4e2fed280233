/* rpc_log.c - the transport's own messages go to our log; the one that means the listener is dead is
 * recognised. The transport has one log hook a process, so the newest server gets it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <grpc/support/log.h>
#include <string.h>

#include "rpc_int.h"

static om_rt *current; /* guarded by current_mutex */
static pthread_mutex_t current_mutex = PTHREAD_MUTEX_INITIALIZER;

static int32_t level_of(gpr_log_severity severity)
{
    /* What the transport calls an error is mostly a peer that misbehaves: a warning for us. */
    return severity == GPR_LOG_SEVERITY_ERROR  ? OMEN_LOG_WARN
           : severity == GPR_LOG_SEVERITY_INFO ? OMEN_LOG_INFO
                                               : OMEN_LOG_DEBUG;
}

static void hook(gpr_log_func_args *args)
{
    pthread_mutex_lock(&current_mutex);
    om_rt *rt = current;
    if (rt != NULL) {
        bool dead = strstr(args->message, "Failed accept") != NULL;
        om_slog_write(rt->shared.opt.log, dead ? OMEN_LOG_ERROR : level_of(args->severity),
                      "transport", args->message, NULL, 0);
        if (dead) {
            /* This version of the core never accepts again after one EMFILE. */
            om_metrics_accept_failure(rt->shared.opt.metrics);
            if (!atomic_exchange(&rt->failed, true) && rt->shared.opt.fatal != NULL) {
                rt->shared.opt.fatal(rt->shared.opt.fatal_ctx, args->message);
            }
        }
    }
    pthread_mutex_unlock(&current_mutex);
}

void om_rpc_log_install(om_rt *rt)
{
    pthread_mutex_lock(&current_mutex);
    current = rt;
    pthread_mutex_unlock(&current_mutex);
    gpr_set_log_function(hook);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
}

void om_rpc_log_remove(om_rt *rt)
{
    pthread_mutex_lock(&current_mutex);
    if (current == rt) {
        current = NULL;
    }
    pthread_mutex_unlock(&current_mutex);
}
