/* rpc_client.h - a small gRPC client over the C core, for the command-line tool: unary calls, one
 * after the other or many at a time, and streams. No <grpc/...> types appear here.
 * Depends on: nothing but libgrpc. Threads: a client and its streams belong to one thread at a
 * time; clients are independent, each with its own connection.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RPC_CLIENT_H
#define OM_RPC_CLIENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OM_RPCC_MESSAGE_MAX (64u << 20) /* bytes of an answer */
#define OM_RPCC_IN_FLIGHT_MAX 1024u /* calls of om_rpcc_start not yet returned by om_rpcc_next */

typedef struct om_rpcc om_rpcc;
typedef struct om_rpcc_stream om_rpcc_stream;

/* A reference-counted message: the transport may still hold one after a call has returned. */
typedef struct om_rpcc_buf om_rpcc_buf;
om_rpcc_buf *om_rpcc_buf_create(size_t size); /* NULL: out of memory */
void *om_rpcc_buf_data(om_rpcc_buf *buf);
size_t om_rpcc_buf_size(const om_rpcc_buf *buf);
om_rpcc_buf *om_rpcc_buf_ref(om_rpcc_buf *buf);
void om_rpcc_buf_unref(om_rpcc_buf *buf); /* NULL is accepted */

typedef struct om_rpcc_status {
    int code;          /* of gRPC; 0: OK */
    uint32_t retry_ms; /* RetryInfo of the server, or 0 */
    char reason[40];   /* ErrorInfo.reason, or "" */
    char message[512];
} om_rpcc_status;

typedef struct om_rpcc_options {
    const char *address;  /* host:port, or unix:/path */
    const char *tls_ca;   /* PEM text of the roots; NULL: plain text, no TLS */
    const char *tls_cert; /* PEM text of the client's chain and key, for mTLS; or NULL */
    const char *tls_key;
    const char
        *tls_name; /* the name the server's certificate must carry, if it is not the address's */
    const char *authorization; /* sent with every call ("Bearer ..."); NULL: none */
    const char *traceparent;   /* likewise (W3C Trace Context); NULL: none */
} om_rpcc_options;

/* Never blocks: the connection is made by the first call. False: the options are wrong (status). */
bool om_rpcc_open(const om_rpcc_options *opt, om_rpcc **out, om_rpcc_status *status);
/* Cancels what is under way. NULL is accepted. */
void om_rpcc_close(om_rpcc *c);

/* One unary call. *reply is set (and to be unreferenced by the caller) only when it returns true.
 * timeout_ms 0: no deadline. wait: keep trying to connect until the deadline. */
bool om_rpcc_call(om_rpcc *c, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                  om_rpcc_buf **reply, om_rpcc_status *status);

/* Many unary calls at a time: start up to OM_RPCC_IN_FLIGHT_MAX, collect them in the order they
 * end. request is borrowed until the call has ended. False: too many, or out of memory. */
bool om_rpcc_start(om_rpcc *c, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                   void *user);
/* Waits for the next call to end. status->code tells how; *reply is NULL unless it is 0. False:
 * none is under way. */
bool om_rpcc_next(om_rpcc *c, void **user, om_rpcc_buf **reply, om_rpcc_status *status);

/* A stream of messages both ways. At most one stream of a client at a time, and no unary calls
 * beside it. */
bool om_rpcc_stream_open(om_rpcc *c, const char *method, om_rpcc_stream **out,
                         om_rpcc_status *status);
/* Sends a message; allowed when nothing is being sent (om_rpcc_stream_can_send). It is copied by
 * reference: the buffer must not change any more. */
bool om_rpcc_stream_send(om_rpcc_stream *s, om_rpcc_buf *message);
bool om_rpcc_stream_can_send(const om_rpcc_stream *s);
/* Nothing more will be sent. Allowed when nothing is being sent. */
bool om_rpcc_stream_half_close(om_rpcc_stream *s);

typedef enum om_rpcc_event {
    OM_RPCC_NOTHING = 0, /* the time is over */
    OM_RPCC_SENT,        /* the message is out: the next one may be sent */
    OM_RPCC_MESSAGE,     /* *message is set */
    OM_RPCC_ENDED        /* *status is set; nothing follows */
} om_rpcc_event;
/* Waits at most timeout_ms (0: only looks) for something to happen. */
om_rpcc_event om_rpcc_stream_poll(om_rpcc_stream *s, uint64_t timeout_ms, om_rpcc_buf **message,
                                  om_rpcc_status *status);
/* Cancels the stream if it has not ended. NULL is accepted. */
void om_rpcc_stream_free(om_rpcc_stream *s);

/* Reads ErrorInfo.reason and RetryInfo out of a google.rpc.Status (grpc-status-details-bin).
 * Malformed bytes leave both empty. */
void om_rpcc_read_details(const uint8_t *bytes, size_t size, om_rpcc_status *status);
#endif
