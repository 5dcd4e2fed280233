/* engine_record.c - writing the log: a checked batch becomes one record, or parts and a COMMIT.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Vectors, keys and ids that lie one after another in the caller's memory go to the driver from there. What
 * must be gathered (items left out, rows with a stride, floats that are stored as half floats) goes through
 * a block of the size of a record at most. */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_record.h"

enum { CONVERT_CHUNK = 1024 };

/* ---- Columns ----------------------------------------------------------------------------------- */
typedef struct writing {
    om_write *w;
    om_payload_head head; /* columns, dim, dtype, id_width: the same in all parts */
    uint64_t item;        /* the next one of the batch */
    uint64_t row;         /* of the items that are not refused */
    size_t row_bytes;     /* of a stored vector; 0: none */
    bool whole;           /* no item is left out */
    bool dense;           /* vectors go as they lie */
    uint64_t id_bytes;    /* of all accepted ids */
    uint8_t *scratch;
    size_t scratch_bytes, scratch_used;
    om_written done; /* as it will be */
} writing;

static uint64_t next_item(const writing *x, uint64_t item)
{
    while (item < x->w->batch->count && om_write_skips(x->w, item)) {
        item++;
    }
    return item;
}

static size_t padded(size_t bytes)
{
    return om_round_up(bytes, OM_PAYLOAD_ALIGN);
}

/* Bytes of an item in a record; its share of the offsets included. `row`: its place among the accepted
 * ones. */
static size_t item_bytes(const writing *x, uint64_t item, uint64_t row)
{
    size_t bytes = x->row_bytes;
    bytes += (x->head.columns & OM_COLUMN_KEYS) != 0 ? sizeof(uint64_t) : 0;
    if ((x->head.columns & OM_COLUMN_IDS) != 0) {
        bytes += om_column_get(&x->w->batch->ids, item).length;
        bytes += x->head.id_width == 0 ? sizeof(uint32_t) : 0;
    }
    if ((x->head.columns & OM_COLUMN_META) != 0) {
        bytes += om_meta_size(x->w->fields->meta[row]);
    }
    return bytes;
}

/* How many of the next items fit into one record, and the bytes of their ids. */
static uint32_t fit(const writing *x, uint32_t *id_bytes)
{
    size_t room = x->w->c->db->disk->max_payload - OM_HEAD_ROOM - 5 * sizeof(uint64_t);
    uint32_t count = 0;
    *id_bytes = 0;
    for (uint64_t i = next_item(x, x->item); i < x->w->batch->count; i = next_item(x, i + 1)) {
        size_t bytes = item_bytes(x, i, x->row + count);
        if (bytes > room) {
            break;
        }
        room -= bytes;
        count++;
        if ((x->head.columns & OM_COLUMN_IDS) != 0) {
            *id_bytes += (uint32_t)om_column_get(&x->w->batch->ids, i).length;
        } else if (x->whole && (x->head.columns & OM_COLUMN_META) == 0) {
            /* All the same size: no need to look at each. */
            uint64_t more = om_min_u64(room / bytes, x->w->batch->count - i - 1);
            return count + (uint32_t)more;
        }
    }
    return count;
}

static uint8_t *take_scratch(writing *x, size_t bytes)
{
    uint8_t *at = x->scratch + x->scratch_used;
    om_assert(bytes <= x->scratch_bytes - x->scratch_used);
    x->scratch_used += padded(bytes);
    return at;
}

static void add_part(om_log_entry *entry, const void *data, size_t bytes)
{
    static const uint8_t zeros[OM_PAYLOAD_ALIGN];
    om_assert(entry->part_count + 2 <= OM_LOG_MAX_PARTS);
    if (bytes == 0) {
        return;
    }
    entry->parts[entry->part_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    size_t hole = padded(bytes) - bytes;
    if (hole != 0) {
        entry->parts[entry->part_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = hole};
    }
}

static void add_keys(writing *x, uint32_t count, om_log_entry *entry)
{
    const om_write *w = x->w;
    if (w->row_keys != NULL) {
        add_part(entry, w->row_keys + x->row, count * sizeof(uint64_t));
        return;
    }
    if (x->whole && w->by_keys) {
        add_part(entry, w->batch->keys + x->item, count * sizeof(uint64_t));
        return;
    }
    uint64_t *keys = (uint64_t *)(void *)take_scratch(x, count * sizeof *keys);
    uint64_t item = x->item;
    for (uint32_t i = 0; i < count; i++, item++) {
        item = next_item(x, item);
        keys[i] =
            w->by_keys ? w->batch->keys[item] : om_id_u64(om_column_get(&w->batch->ids, item));
    }
    add_part(entry, keys, count * sizeof *keys);
}

static void add_ids(writing *x, uint32_t count, om_log_entry *entry)
{
    const omen_column *ids = &x->w->batch->ids;
    uint32_t bytes = 0;
    uint64_t item = x->item;
    if (x->head.id_width == 0) {
        uint32_t *offsets = (uint32_t *)(void *)take_scratch(x, (count + 1) * sizeof *offsets);
        offsets[0] = 0;
        for (uint32_t i = 0; i < count; i++, item++) {
            item = next_item(x, item);
            offsets[i + 1] = offsets[i] + (uint32_t)om_column_get(ids, item).length;
        }
        add_part(entry, offsets, (count + 1) * sizeof *offsets);
        bytes = offsets[count];
    } else {
        bytes = count * x->head.id_width;
    }
    if (x->whole) {
        add_part(entry, count != 0 ? om_column_get(ids, x->item).bytes : NULL, bytes);
        return;
    }
    uint8_t *copy = take_scratch(x, bytes);
    uint8_t *to = copy;
    item = x->item;
    for (uint32_t i = 0; i < count; i++, item++) {
        item = next_item(x, item);
        om_id id = om_column_get(ids, item);
        memcpy(to, id.bytes, id.length);
        to += id.length;
    }
    add_part(entry, copy, bytes);
}

static void narrow_row(const om_kernels *kernels, const uint8_t *from, uint8_t *to, uint32_t dim)
{
    float wide[CONVERT_CHUNK]; /* The caller's rows may lie at any address. */
    uint16_t half[CONVERT_CHUNK];
    for (uint32_t at = 0; at < dim; at += CONVERT_CHUNK) {
        uint32_t n = om_min_u32(CONVERT_CHUNK, dim - at);
        memcpy(wide, from + (size_t)at * sizeof *wide, n * sizeof *wide);
        kernels->f32_to_f16(wide, half, n);
        memcpy(to + (size_t)at * sizeof *half, half, n * sizeof *half);
    }
}

static void add_vectors(writing *x, uint32_t count, om_log_entry *entry)
{
    const om_write *w = x->w;
    const uint8_t *from = w->batch->vectors;
    if (x->dense) {
        add_part(entry, from + x->item * w->stride, count * x->row_bytes);
        return;
    }
    uint8_t *rows = take_scratch(x, count * x->row_bytes);
    uint8_t *to = rows;
    uint64_t item = x->item;
    for (uint32_t i = 0; i < count; i++, item++, to += x->row_bytes) {
        item = next_item(x, item);
        if (w->dtype != w->c->options.dtype) {
            narrow_row(w->c->rt->kernels, from + item * w->stride, to, x->head.dim);
        } else {
            memcpy(to, from + item * w->stride, x->row_bytes);
        }
    }
    add_part(entry, rows, count * x->row_bytes);
}

/* Rows of accepted items lie one behind the other. */
static void add_meta(writing *x, uint32_t count, om_log_entry *entry)
{
    const uint8_t *const *rows = x->w->fields->meta + x->row;
    uint64_t *bytes = (uint64_t *)(void *)take_scratch(x, sizeof *bytes);
    *bytes = 0;
    if (count != 0) {
        *bytes = (uint64_t)(rows[count - 1] - rows[0]) + om_meta_size(rows[count - 1]);
    }
    add_part(entry, bytes, sizeof *bytes);
    add_part(entry, count != 0 ? rows[0] : NULL, (size_t)*bytes);
}

/* Moves behind `count` items that are not refused. */
static void advance(writing *x, uint32_t count)
{
    if (x->whole) {
        x->item += count;
    } else {
        for (uint32_t i = 0; i < count; i++) {
            x->item = next_item(x, x->item) + 1;
        }
    }
    x->row += count;
}

static size_t bytes_of(const om_log_entry *entry)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < entry->part_count; i++) {
        bytes += entry->parts[i].iov_len;
    }
    return bytes;
}

/* Fields that are new go in front of the batch that uses them: with it, so that there are both or none, if
 * that fits. */
static omen_status_t append_behind_fields(writing *x, const om_log_entry *entry, uint64_t *lsn,
                                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = x->w->c;
    om_record_fields_block block = {.bytes = NULL};
    uint32_t count = om_schema_count(c->schema);
    if (OM_LIKELY(x->w->fields == NULL || count == c->schema_logged)) {
        return om_record_append(c->db, entry, 1, lsn, err);
    }
    OM_TRY(om_record_fields_begin(c, &block, err));
    if (bytes_of(&block.entry) + bytes_of(entry) <= c->db->disk->max_payload) {
        const om_log_entry both[2] = {block.entry, *entry};
        OM_TRY(om_record_append(c->db, both, 2, lsn, err));
    } else {
        OM_TRY(om_record_append(c->db, &block.entry, 1, lsn, err));
        c->schema_logged = count;
        OM_TRY(om_record_append(c->db, entry, 1, lsn, err));
    }
    c->schema_logged = count;
out:
    om_record_fields_end(&block);
    return status;
}

/* One record of the next `count` items behind the fields of `b`. */
static omen_status_t append_items(writing *x, om_head_block *b, uint32_t count, uint32_t id_bytes,
                                  om_log_entry *entry, uint64_t *lsn, omen_error *err)
{
    om_payload_head head = x->head;
    head.count = count;
    head.id_bytes = id_bytes;
    om_payload_end(b, head);
    x->scratch_used = 0;
    entry->part_count = 0;
    add_part(entry, b->bytes, b->used);
    if ((head.columns & OM_COLUMN_KEYS) != 0) {
        add_keys(x, count, entry);
    }
    if ((head.columns & OM_COLUMN_IDS) != 0) {
        add_ids(x, count, entry);
    }
    if ((head.columns & OM_COLUMN_VECTORS) != 0) {
        add_vectors(x, count, entry);
    }
    if ((head.columns & OM_COLUMN_META) != 0) {
        add_meta(x, count, entry);
    }
    advance(x, count);
    return append_behind_fields(x, entry, lsn, err);
}

/* ---- A batch ----------------------------------------------------------------------------------- */
static void plan(writing *x, om_write *w)
{
    const omen_options *o = &w->c->options;
    memset(x, 0, sizeof *x);
    x->w = w;
    x->whole = w->accepted == w->batch->count;
    x->head.mode = w->batch->mode;
    bool ids = o->id_type != OMEN_ID_U64 && !w->by_keys;
    if (!ids || !w->deletes) {
        x->head.columns |= OM_COLUMN_KEYS;
    }
    if (ids) {
        x->head.columns |= OM_COLUMN_IDS;
        const omen_column *column = &w->batch->ids;
        x->head.id_width = (uint16_t)(o->id_type == OMEN_ID_UUID ? 16
                                      : column->offset_bits == 0 ? column->width
                                                                 : 0);
    }
    if (!w->deletes) {
        x->head.columns |= OM_COLUMN_VECTORS;
        x->head.dim = o->dim;
        x->head.dtype = (uint8_t)o->dtype;
        x->row_bytes = (size_t)o->dim * om_dtype_width(o->dtype);
        x->head.columns |= w->fields != NULL ? OM_COLUMN_META : 0;
        x->dense = x->whole && w->dtype == o->dtype && w->stride == x->row_bytes;
    }
}

/* Room for everything that cannot go from where it lies. */
static omen_status_t make_scratch(writing *x, omen_error *err)
{
    const om_write *w = x->w;
    size_t item = 0;
    size_t total = 5 * sizeof(uint64_t);
    bool ids = (x->head.columns & OM_COLUMN_IDS) != 0;
    for (uint64_t i = next_item(x, 0); ids && i < w->batch->count; i = next_item(x, i + 1)) {
        x->id_bytes += om_column_get(&w->batch->ids, i).length;
    }
    item += w->row_keys == NULL && !(x->whole && w->by_keys) ? sizeof(uint64_t) : 0;
    item += ids && x->head.id_width == 0 ? sizeof(uint32_t) : 0;
    item += x->dense ? 0 : x->row_bytes;
    total += (size_t)w->accepted * item + (x->whole ? 0 : (size_t)x->id_bytes);
    size_t most = w->c->db->disk->max_payload;
    x->scratch_bytes = total < most ? total : most;
    x->scratch = om_alloc_get(&w->c->rt->alloc, x->scratch_bytes, OM_CACHE_LINE);
    return x->scratch != NULL ? OMEN_OK : om_fail_memory(err, "log record", x->scratch_bytes);
}

static uint8_t type_of(const om_write *w)
{
    return w->deletes                      ? OM_LOG_DELETE
           : w->batch->mode == OMEN_INSERT ? OM_LOG_INSERT
                                           : OM_LOG_UPSERT;
}

/* On a full disk deletes may use what is kept for them. */
static uint8_t ballast(const om_write *w)
{
    return w->deletes ? OM_LOG_BALLAST : 0;
}

/* What the answer to the batch will say, known before it is applied. Only for batches that may be asked
 * about again. */
static omen_status_t foresee(om_write *w, om_written *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = w->c;
    bool older = om_set_load(c)->count > 1;
    uint64_t there = 0;
    if (w->batch->request_id == NULL) {
        return OMEN_OK;
    }
    om_rwlock_read(&c->ids_mu);
    for (uint64_t i = 0; i < w->accepted && status == OMEN_OK; i++) {
        bool found = (w->deletes || older) && w->places[i].segment != NULL;
        if (!found && !w->deletes) {
            uint32_t slot = OM_IDMAP_ABSENT;
            status = om_segment_find(w->seg, w->row_keys[i], &slot, err);
            found = slot != OM_IDMAP_ABSENT;
        }
        there += found;
    }
    om_rwlock_unlock(&c->ids_mu);
    *out = (om_written){
        .applied = w->deletes ? there : w->accepted, .replaced = there, .refused = w->done.refused};
    return status;
}

static omen_status_t write_one(writing *x, uint32_t count, uint32_t id_bytes, uint64_t *first,
                               omen_error *err)
{
    om_write *w = x->w;
    om_head_block b;
    om_log_entry entry = {.collection = w->c->serial, .type = type_of(w), .flags = ballast(w)};
    om_payload_begin(&b);
    om_payload_origin(&b, w->batch, &x->done);
    omen_status_t status = append_items(x, &b, count, id_bytes, &entry, &w->done.version, err);
    *first = w->done.version;
    return status;
}

static omen_status_t write_commit(writing *x, om_part_field *part, omen_error *err)
{
    om_write *w = x->w;
    om_head_block b;
    om_payload_begin(&b);
    om_payload_origin(&b, w->batch, &x->done);
    om_payload_field(&b, OM_FIELD_PART, part, sizeof *part);
    om_payload_end(&b, (om_payload_head){.mode = w->batch->mode});
    return om_record_append_head(w->c, OM_LOG_COMMIT, &b, &w->done.version, err);
}

/* When the disk fills up in the middle the parts are left behind, without a COMMIT: they mean nothing. */
static omen_status_t write_parts(writing *x, uint64_t *first, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_write *w = x->w;
    om_part_field part = {
        .columns = x->head.columns, .items = w->accepted, .id_bytes = x->id_bytes};
    om_log_entry entry = {
        .collection = w->c->serial, .type = type_of(w), .flags = OM_LOG_PART | ballast(w)};
    while (x->row < w->accepted) {
        om_head_block b;
        uint32_t id_bytes = 0;
        uint64_t lsn = 0;
        om_payload_begin(&b);
        om_payload_field(&b, OM_FIELD_PART, &part, sizeof part);
        uint32_t count = fit(x, &id_bytes);
        if (count == 0) {
            return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                           "an item of %zu bytes does not fit into a log record of %u here",
                           item_bytes(x, next_item(x, x->item), x->row),
                           w->c->db->disk->max_payload);
        }
        OM_TRY(append_items(x, &b, count, id_bytes, &entry, &lsn, err));
        *first = part.index == 0 ? lsn : *first;
        part.index++;
    }
    OM_TRY(write_commit(x, &part, err));
out:
    return status;
}

omen_status_t om_record_write(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    writing x;
    uint32_t id_bytes = 0;
    uint64_t first = 0;
    plan(&x, w);
    OM_TRY(om_disk_writable(w->c->db, w->deletes, err));
    OM_TRY(make_scratch(&x, err));
    OM_TRY(foresee(w, &x.done, err));
    uint32_t fitting = fit(&x, &id_bytes);
    if (fitting == w->accepted) {
        status = write_one(&x, fitting, id_bytes, &first, err);
    } else {
        status = write_parts(&x, &first, err);
    }
    if (status == OMEN_OK && w->seg != NULL && w->accepted != 0 && !w->deletes &&
        atomic_load_explicit(&w->seg->first_version, memory_order_relaxed) == 0) {
        atomic_store(&w->seg->first_version, first); /* with the parts before the COMMIT */
    }
out:
    om_alloc_put(&w->c->rt->alloc, x.scratch, x.scratch_bytes, OM_CACHE_LINE);
    return status;
}
