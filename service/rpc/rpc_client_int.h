/* rpc_client_int.h - shared by the files of the gRPC client. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RPC_CLIENT_INT_H
#define OM_RPC_CLIENT_INT_H
/* The headers of the C core declare functions without prototypes. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>
#pragma GCC diagnostic pop

#include "rpc_client.h"

enum { OM_RPCC_METHODS = 16 };

/* What every call receives: its metadata and how it ended. */
typedef struct om_rpcc_result {
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice text;
} om_rpcc_result;

typedef struct om_rpcc_unary {
    struct om_rpcc_unary *prev, *next;
    grpc_call *call;
    grpc_byte_buffer *sent, *received;
    om_rpcc_result result;
    void *user;
} om_rpcc_unary;

struct om_rpcc {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    om_rpcc_unary *running;
    size_t in_flight;
    grpc_metadata metadata[2]; /* of every call: authorization, traceparent */
    size_t metadata_count;
    struct {
        char name[64];
        void *handle;
    } methods[OM_RPCC_METHODS];
};

void om_rpcc_result_init(om_rpcc_result *result);
void om_rpcc_result_free(om_rpcc_result *result);
void om_rpcc_take_status(const om_rpcc_result *result, om_rpcc_status *status);
/* Returns whether the code is 0. */
bool om_rpcc_set_status(om_rpcc_status *status, int code, const char *message);
gpr_timespec om_rpcc_deadline(uint64_t timeout_ms);
/* What a call begins with. */
void om_rpcc_initial_op(om_rpcc *c, grpc_op *op);
grpc_call *om_rpcc_new_call(om_rpcc *c, const char *method, gpr_timespec deadline);
/* A byte buffer that holds a reference to buf. */
grpc_byte_buffer *om_rpcc_wrap(om_rpcc_buf *buf);
/* A copy in one piece; NULL when memory runs out. */
om_rpcc_buf *om_rpcc_copy(grpc_byte_buffer *from);
#endif
