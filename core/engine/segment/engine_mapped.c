/* engine_mapped.c - reading a mapped segment: every block is checked before its first use, every
 * number in it before it is followed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

#define STEP (UINT64_C(1) << 20) /* a checksum block */

omen_status_t om_mapped_verify(om_mapped *mapped, uint32_t kind, const om_stop *stop,
                               omen_error *err)
{
    const om_section *section = &mapped->section[kind];
    for (uint64_t at = 0; at < section->bytes; at += STEP) {
        omen_status_t status = om_stop_check(stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "stopped while the file was checked");
        }
        if (atomic_load_explicit(&mapped->stop, memory_order_relaxed)) {
            return OMEN_CANCELLED;
        }
        status = om_segfile_verify(mapped->file, section, at, om_min_u64(STEP, section->bytes - at),
                                   err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_mapped_ready(om_segment *seg, const om_stop *stop, omen_error *err)
{
    om_mapped *mapped = seg->mapped;
    omen_status_t status = OMEN_OK;
    if (OM_LIKELY(mapped == NULL ||
                  atomic_load_explicit(&mapped->verified, memory_order_acquire))) {
        return OMEN_OK;
    }
    OM_TRY(om_mapped_verify(mapped, OM_SECTION_CODES, stop, err));
    OM_TRY(om_mapped_verify(mapped, OM_SECTION_LINKS, stop, err));
    atomic_store_explicit(&mapped->verified, true, memory_order_release);
out:
    return status;
}

static omen_status_t touch(om_mapped *mapped, uint32_t kind, uint64_t row, uint64_t n,
                           omen_error *err)
{
    const om_section *section = &mapped->section[kind];
    return om_segfile_verify(mapped->file, section, row * section->stride, n * section->stride,
                             err);
}

omen_status_t om_mapped_touch(om_mapped *mapped, uint32_t what, uint32_t first, uint32_t n,
                              omen_error *err)
{
    static const uint32_t kinds[OM_TOUCH_COUNT] = {
        [OM_TOUCH_VECTORS] = OM_SECTION_VECTORS, [OM_TOUCH_KEYS] = OM_SECTION_KEYS,
        [OM_TOUCH_NORMS] = OM_SECTION_NORMS,     [OM_TOUCH_DEAD] = OM_SECTION_DEAD,
        [OM_TOUCH_CODES] = OM_SECTION_CODES,
    };
    if (what == OM_TOUCH_DEAD && mapped->own_dead) {
        return OMEN_OK;
    }
    if (what == OM_TOUCH_DEAD) {
        uint32_t last = (first + n - 1) >> 6;
        return touch(mapped, OM_SECTION_DEAD, first >> 6, last - (first >> 6) + 1, err);
    }
    return touch(mapped, kinds[what], first, n, err);
}

static omen_status_t bad_slot(uint32_t slot, const om_mapped *mapped, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "segment file: slot %u of a map is beyond the %u rows", slot, mapped->rows);
}

/* The key of position i of the key map. */
omen_status_t om_mapped_key_at(om_mapped *mapped, uint64_t i, uint32_t *slot, uint64_t *key,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(touch(mapped, OM_SECTION_KEYMAP, i, 1, err));
    memcpy(slot, mapped->section[OM_SECTION_KEYMAP].data + i * sizeof *slot, sizeof *slot);
    if (*slot >= mapped->rows) {
        return bad_slot(*slot, mapped, err);
    }
    OM_TRY(touch(mapped, OM_SECTION_KEYS, *slot, 1, err));
    memcpy(key, mapped->section[OM_SECTION_KEYS].data + (uint64_t)*slot * sizeof *key, sizeof *key);
out:
    return status;
}

omen_status_t om_mapped_first_key(om_mapped *mapped, uint64_t key, uint64_t *out, omen_error *err)
{
    uint64_t low = 0;
    uint64_t high = mapped->section[OM_SECTION_KEYMAP].rows;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint32_t slot = 0;
        uint64_t there = 0;
        omen_status_t status = om_mapped_key_at(mapped, middle, &slot, &there, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (there < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out = low;
    return OMEN_OK;
}

/* The largest key, read once: batches of new, rising keys are most of all and need no more than it. */
static omen_status_t beyond(om_mapped *mapped, uint64_t key, bool *out, omen_error *err)
{
    uint64_t rows = mapped->section[OM_SECTION_KEYMAP].rows;
    uint64_t most = atomic_load_explicit(&mapped->most_key, memory_order_relaxed);
    *out = rows == 0;
    if (most == OMEN_NONE && rows != 0) {
        uint32_t slot = 0;
        omen_status_t status = om_mapped_key_at(mapped, rows - 1, &slot, &most, err);
        if (status != OMEN_OK) {
            return status;
        }
        atomic_store_explicit(&mapped->most_key, most, memory_order_relaxed);
    }
    *out = *out || key > most;
    return OMEN_OK;
}

omen_status_t om_mapped_slot_of_key(om_mapped *mapped, uint64_t key, uint32_t *slot,
                                    omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t at = 0;
    uint64_t there = 0;
    bool none = false;
    *slot = OM_IDMAP_ABSENT;
    OM_TRY(beyond(mapped, key, &none, err));
    if (none) {
        return OMEN_OK;
    }
    OM_TRY(om_mapped_first_key(mapped, key, &at, err));
    if (at < mapped->section[OM_SECTION_KEYMAP].rows) {
        uint32_t found = 0;
        OM_TRY(om_mapped_key_at(mapped, at, &found, &there, err));
        *slot = there == key ? found : OM_IDMAP_ABSENT;
    }
out:
    return status;
}

omen_status_t om_mapped_id_of_slot(om_mapped *mapped, uint32_t slot, om_id *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t range[2];
    const om_section *bytes = &mapped->section[OM_SECTION_ID_BYTES];
    OM_TRY(touch(mapped, OM_SECTION_ID_OFFSETS, slot, 2, err));
    memcpy(range, mapped->section[OM_SECTION_ID_OFFSETS].data + (uint64_t)slot * sizeof range[0],
           sizeof range);
    if (range[0] > range[1] || range[1] > bytes->bytes ||
        range[1] - range[0] > OMEN_MAX_STRING_ID) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: the id of slot %u lies at %llu to %llu of %llu bytes", slot,
                       (unsigned long long)range[0], (unsigned long long)range[1],
                       (unsigned long long)bytes->bytes);
    }
    if (range[1] != range[0]) {
        OM_TRY(om_segfile_verify(mapped->file, bytes, range[0], range[1] - range[0], err));
    }
    *out = (om_id){.bytes = bytes->data + range[0], .length = (size_t)(range[1] - range[0])};
out:
    return status;
}

static omen_status_t read_pair(om_mapped *mapped, uint64_t i, om_pair *out, omen_error *err)
{
    omen_status_t status = touch(mapped, OM_SECTION_ID_MAP, i, 1, err);
    if (status != OMEN_OK) {
        return status;
    }
    memcpy(out, mapped->section[OM_SECTION_ID_MAP].data + i * sizeof *out, sizeof *out);
    return out->slot < mapped->rows ? OMEN_OK : bad_slot(out->slot, mapped, err);
}

/* The first position whose hash is not below `hash`. */
static omen_status_t lower_bound(om_mapped *mapped, uint64_t hash, uint64_t *out, omen_error *err)
{
    uint64_t low = 0;
    uint64_t high = mapped->section[OM_SECTION_ID_MAP].rows;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        om_pair pair;
        omen_status_t status = read_pair(mapped, middle, &pair, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (pair.value < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out = low;
    return OMEN_OK;
}

omen_status_t om_mapped_key_of_id(om_mapped *mapped, om_id id, uint64_t *key, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t hash = om_id_hash(id);
    uint64_t at = 0;
    *key = OMEN_NONE;
    OM_TRY(lower_bound(mapped, hash, &at, err));
    for (; at < mapped->section[OM_SECTION_ID_MAP].rows; at++) {
        om_pair pair;
        om_id stored;
        OM_TRY(read_pair(mapped, at, &pair, err));
        if (pair.value != hash) {
            break;
        }
        OM_TRY(om_mapped_id_of_slot(mapped, pair.slot, &stored, err));
        if (stored.length == id.length && memcmp(stored.bytes, id.bytes, id.length) == 0) {
            OM_TRY(touch(mapped, OM_SECTION_KEYS, pair.slot, 1, err));
            memcpy(key, mapped->section[OM_SECTION_KEYS].data + (uint64_t)pair.slot * sizeof *key,
                   sizeof *key);
            break;
        }
    }
out:
    return status;
}

uint64_t om_mapped_bytes(const om_mapped *mapped)
{
    return om_segfile_bytes(mapped->file);
}
