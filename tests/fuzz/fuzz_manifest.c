/* fuzz_manifest.c - any bytes as a manifest. SPDX-License-Identifier: Apache-2.0
 *
 * The first byte chooses: odd, the checksums and the size in the header are made right, since otherwise no
 * change would get past them; even, the bytes are as they are. What is read must be written again, and
 * be the same. */
#include "fuzz_memory.h"
#include "manifest_int.h"
#include "segfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const om_alloc libc_alloc;

static void reseal(uint8_t *bytes, size_t size)
{
    if (size >= sizeof(om_mf_header)) {
        uint64_t said = size;
        uint32_t crc = om_crc32c(0, bytes + sizeof(om_mf_header), size - sizeof(om_mf_header));
        memcpy(bytes, om_manifest_kind.magic, 8);
        memcpy(bytes + offsetof(om_head, file_bytes), &said, sizeof said);
        memcpy(bytes + offsetof(om_mf_header, body_crc), &crc, sizeof crc);
        om_head_seal(&om_manifest_kind, bytes);
    }
}

static void check(om_manifest *m)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    om_manifest again = {0};
    omen_status_t status = om_manifest_encode(&libc_alloc, m, &bytes, &size, NULL);
    if (m->read_only) {
        need(status == OMEN_FAILED_PRECONDITION, "what may only be read is not written");
        return;
    }
    need(status == OMEN_OK, "what was read can be written");
    need(om_manifest_decode(&libc_alloc, bytes, size, &again, NULL) == OMEN_OK, "and read again");
    need(again.collection_count == m->collection_count && again.generation == m->generation,
         "and is the same");
    om_manifest_free(&libc_alloc, &again);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    om_manifest m = {0};
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes = malloc(size);
    need(bytes != NULL, "memory");
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1) {
        reseal(bytes, size - 1);
    }
    omen_status_t status = om_manifest_decode(&libc_alloc, bytes, size - 1, &m, NULL);
    if (status == OMEN_OK) {
        check(&m);
        om_manifest_free(&libc_alloc, &m);
    } else {
        need_told(status);
    }
    free(bytes);
    return 0;
}
