/* access_job.h - a call of the service Access that waits for an admin worker: the catalogue is
 * written before it is answered, and that takes a sync of the disk. Depends on: method_util.h.
 * Threads: see rpc.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ACCESS_JOB_H
#define OM_ACCESS_JOB_H
#include "method_util.h"

typedef struct om_access_job {
    om_job job;
    om_rpc *rpc;
    const void *request;
    void (*work)(om_rpc *rpc, const void *request);
} om_access_job;
/* Unpacks the message and has `work` called on an admin worker; the state of the call is an om_access_job. */
void om_access_submit(om_rpc *rpc, om_rpc_message *message, const ProtobufCMessageDescriptor *type,
                      void (*work)(om_rpc *rpc, const void *request));
#endif
