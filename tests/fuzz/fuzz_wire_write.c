/* fuzz_wire_write.c - the readers of StreamWriteRequest and WriteBatch on any bytes, split anywhere.
 * The first byte seeds the split. SPDX-License-Identifier: Apache-2.0 */
#include "service_random.h"
#include "write_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t touched;

static void touch(const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        touched += p[i];
    }
}

static void read_all(om_wread *r, om_wbuffer *buffer)
{
    om_wire_batch batch;
    om_failure f;
    if (om_read_write_batch(r, buffer, &batch, &f)) {
        touch(batch.ids.data, batch.ids.size);
        touch(batch.vectors.data, batch.vectors.size);
        for (size_t i = 0; batch.ids.type == OM_IDS_STRING && i < batch.ids.count; i++) {
            if (batch.ids.offsets[i] >= batch.ids.offsets[i + 1]) {
                abort();
            }
        }
        for (size_t i = 0; i < batch.metadata.count; i++) {
            if (batch.metadata.offsets[i] > batch.metadata.offsets[i + 1]) {
                abort();
            }
        }
        touch(batch.metadata.data, batch.metadata.size);
        touch(batch.if_version, 8 * batch.version_count);
        touch(batch.filter, batch.filter_size);
        touched += om_write_batch_crc_ok(&batch);
    } else if (f.code == 0 || f.message[0] == '\0') {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static om_wbuffer buffer;
    om_wread r;
    om_failure f;
    if (size == 0) {
        return 0;
    }
    uint64_t seed = data[0];
    split parts = split_bytes(data + 1, size - 1, &seed);
    om_wread_init(&r, parts.span, parts.count);
    read_all(&r, &buffer);
    om_wread_init(&r, parts.span, parts.count);
    if (om_read_stream_kind(&r, &f) == OM_STREAM_BATCH) {
        read_all(&r, &buffer);
    }
    split_free(&parts);
    om_wbuffer_trim(&buffer, 1 << 20);
    return 0;
}
