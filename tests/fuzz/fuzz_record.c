/* fuzz_record.c - decodes any bytes as the payload of a log record, and lets batches in parts be put together
 * from them.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The input is a run of records: one byte type, one byte flags, u16 length, the payload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void allowed(omen_status_t status)
{
    need(status == OMEN_OK || status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED ||
             status == OMEN_RESOURCE_EXHAUSTED,
         "the status of decoding");
}

/* Touches every byte that the columns promise. */
static uint64_t read_batch(const omen_batch *batch, uint32_t width)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < batch->count; i++) {
        sum += batch->keys != NULL ? batch->keys[i] : 0;
        if (batch->ids.data != NULL) {
            om_id id = om_column_get(&batch->ids, i);
            for (size_t k = 0; k < id.length; k++) {
                sum += id.bytes[k];
            }
        }
    }
    const uint8_t *vectors = batch->vectors;
    for (uint64_t i = 0; vectors != NULL && i < batch->count * batch->dim * width; i++) {
        sum += vectors[i];
    }
    return sum;
}

static uint64_t read_all_shapes(const om_payload *p)
{
    uint64_t sum = 0;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        omen_options options = {
            .dim = p->head.dim, .dtype = p->head.dtype, .id_type = id_type, .metric = OMEN_L2};
        for (uint32_t deletes = 0; deletes < 2; deletes++) {
            omen_batch batch;
            omen_status_t status = om_payload_batch(p, &options, deletes != 0, &batch, NULL);
            allowed(status);
            if (status == OMEN_OK) {
                sum += read_batch(&batch, om_dtype_width(options.dtype));
            }
        }
    }
    return sum;
}

static uint64_t read_record(om_disk *disk, omen_runtime *rt, const om_log_record *record)
{
    om_payload p;
    omen_options options;
    om_pending *pending = NULL;
    uint64_t sum = 0;
    omen_status_t status = om_payload_decode(record, &p, NULL);
    allowed(status);
    if (status != OMEN_OK) {
        return 0;
    }
    allowed(om_payload_options(&p, &options, NULL));
    sum += read_all_shapes(&p);
    if (p.has_part && p.part.items > 4096) {
        return sum; /* a gigabyte for nothing: bounded, but slow */
    }
    if (record->type == OM_LOG_COMMIT) {
        status = om_pending_take(disk, record, &p, &pending, NULL);
        allowed(status);
        if (status == OMEN_OK) {
            om_pending_payload(pending, &p);
            sum += read_all_shapes(&p);
            om_pending_free(rt, pending);
        }
    } else if ((record->flags & OM_LOG_PART) != 0) {
        allowed(om_pending_add(disk, rt, record, &p, NULL));
    }
    return sum;
}

/* What was read is used: else the compiler may leave the reading out. */
static volatile uint64_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_disk *disk = calloc(1, sizeof *disk);
    omen_runtime *rt = calloc(1, sizeof *rt);
    need(disk != NULL && rt != NULL, "memory");
    size_t at = 0;
    for (uint64_t lsn = 1; size - at >= 4; lsn++) {
        size_t length = data[at + 2] | (size_t)data[at + 3] << 8;
        length = length < size - at - 4 ? length : size - at - 4;
        uint8_t *payload = aligned_alloc(8, (length + 8) / 8 * 8);
        need(payload != NULL, "memory");
        memcpy(payload, data + at + 4, length);
        const om_log_record record = {.lsn = lsn,
                                      .collection = 1,
                                      .type = data[at] % OM_LOG_TYPES,
                                      .flags = data[at + 1],
                                      .payload = payload,
                                      .bytes = length};
        sink = sink + read_record(disk, rt, &record);
        free(payload);
        at += 4 + length;
    }
    om_pending_drop(disk, rt, 0);
    free(disk);
    free(rt);
    return 0;
}
