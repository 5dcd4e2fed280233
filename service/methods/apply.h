/* apply.h - a parsed WriteBatch checked against its collection and given to the engine; shared by
 * StreamWrite and BatchWrite.
 * Depends on: write_reader.h, colls.h.  Threads: one an om_apply.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_APPLY_H
#define OM_APPLY_H
#include "method_util.h"
#include "tenants.h"
#include "write_reader.h"

typedef struct om_apply {
    om_rt_shared *shared;
    om_coll *coll;
    const om_wire_batch *batch;
    uint32_t durability;
    const char *stream_id; /* NULL: none                      */
    uint64_t stream_epoch;
    const char *request_id; /* NULL: none                     */
    omen_op *op;
    om_tenant_claim claim; /* on the quota of the collection's tenant, while it is in the engine */
    int32_t *item_status;  /* set with per_item_errors; freed by om_apply_end */
    omen_filter *filter;   /* of a delete by filter; freed by om_apply_end    */
    omen_write_result result;
    uint64_t engine_ns;
    uint64_t busy_rows;   /* backlog when the engine was busy last      */
    uint32_t busy_tries;  /* since then without a change               */
    bool short_of_memory; /* why it was busy last                      */
} om_apply;

typedef enum om_apply_end_t {
    OM_APPLIED,    /* result is set                                                               */
    OM_APPLY_BUSY, /* the index is too far behind, or memory is short that comes back when segments are
                      written: nothing happened, the same call may come again; *f says why */
    OM_APPLY_FAILED /* *f says why                                                              */
} om_apply_end_t;
/* *final: the failure is the batch's own, so its seq is to be used up (om_apply_skip; harmless when the
 * engine has done so already). Other failures are of the server or the stream. */
om_apply_end_t om_apply_run(om_apply *a, bool *final, om_failure *f);
void om_apply_end(om_apply *a);
/* Uses up a seq whose batch never came to the engine. */
omen_status_t om_apply_skip(om_coll *coll, const char *stream_id, uint64_t seq, uint64_t epoch,
                            omen_error *err);
/* The item errors of a per-item batch, as wire bytes of repeated ItemError fields number `field`.
 * malloc'd, NULL with *size 0 when there are none; at most OM_RT_ITEM_ERRORS. */
uint8_t *om_apply_item_errors(const om_apply *a, uint32_t field, size_t *size, om_failure *first);
#endif
