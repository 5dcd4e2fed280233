/* failure.h - why a call or a batch is refused: status, reason, field, advice; and its wire form, a
 * google.rpc.Status with ErrorInfo, BadRequest, QuotaFailure, RetryInfo and RequestInfo
 * (grpc-status-details-bin).
 * Depends on: omen.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FAILURE_H
#define OM_FAILURE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

/* The codes of gRPC that the engine has no use for. */
enum { OM_CODE_UNKNOWN = 2, OM_CODE_PERMISSION_DENIED = 7, OM_CODE_UNAUTHENTICATED = 16 };
/* Texts are cut to fit, so that status and details stay below 1 KB: clients limit headers to 8 KB. */
enum { OM_FAILURE_DETAILS_MAX = 1536, OM_FAILURE_DOMAIN_LEN = 6 };

typedef struct om_failure {
    uint32_t code;       /* gRPC code; 0: none            */
    uint32_t retry_ms;   /* RetryInfo; 0: none            */
    uint64_t item;       /* of a batch, or OMEN_NONE      */
    char reason[32];     /* ErrorInfo.reason, e.g. "DIM_MISMATCH"      */
    char field[64];      /* BadRequest.field, "" for none              */
    char message[400];   /* for humans; names field, value and limit   */
    char request_id[40]; /* "" for none                                */
    char quota[96];      /* QuotaFailure.subject, "acme/rows"; "" for none */
} om_failure;

/* Fills *f; `reason` is upper case. Always returns false, so that checks can return it. */
bool om_failure_set(om_failure *f, uint32_t code, const char *reason, const char *field,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* INVALID_ARGUMENT / LIMIT with field, value and limit in the message. */
bool om_failure_limit(om_failure *f, const char *field, uint64_t value, uint64_t limit);
/* UNIMPLEMENTED, with the field named. */
bool om_failure_unimplemented(om_failure *f, const char *field);
/* What the engine reported: the code is the same, the reason its detail (or COLLECTION_NOT_FOUND,
 * ITEM_NOT_FOUND, COLLECTION_EXISTS, which the detail does not tell apart), the field what the detail is
 * about. RESOURCE_EXHAUSTED and retriable failures get a RetryInfo. */
bool om_failure_from_engine(om_failure *f, const omen_error *err);
/* Names the field of the request, where the caller knows it better. */
void om_failure_about(om_failure *f, const char *field);
/* Whether the same request may succeed when it is sent again. */
bool om_failure_retriable(const om_failure *f);
/* Writes the google.rpc.Status into out; returns its size, 0 when it does not fit. */
size_t om_failure_encode(const om_failure *f, uint8_t *out, size_t capacity);
/* True when the bytes are UTF-8 without NUL. */
bool om_utf8_valid(const uint8_t *text, size_t size);
#endif
