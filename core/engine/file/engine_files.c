/* engine_files.c - what seals, merges and saves have in common: segments as they were at one moment,
 * sections of a file, and the exchange of segments for a file.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Writing takes long and writers go on meanwhile. So tombstones (and ids, where they are in memory) are
 * copied at one moment; the file is written from these; and when it takes the place of its segments, what
 * died since then is found by comparing the tombstones with the copies, with writers stopped. */
#include <string.h>

#include "engine_files.h"

enum { SLOT_CHUNK = 4096, PIECE = 16 << 20 };

/* ---- The moment -------------------------------------------------------------------------------- */
static bool has_ids_in_memory(const om_segment *seg)
{
    return seg->mapped == NULL && seg->options.id_type != OMEN_ID_U64;
}

/* Where the id of each live row begins. ids_mu held. */
static omen_status_t id_offsets(const om_merge_input *input, uint64_t *offsets, omen_error *err)
{
    uint64_t scratch;
    for (uint32_t slot = 0; slot < input->rows; slot++) {
        om_id id = {.bytes = NULL};
        if (!om_input_is_dead(input, slot)) {
            omen_status_t status = om_segment_id(input->segment, slot, &scratch, &id, err);
            if (status != OMEN_OK) {
                return status;
            }
            if (id.bytes == NULL) {
                return om_fail(err, OMEN_ABORTED, OMEN_D_NONE,
                               "slot %u was deleted while its segment was about to be written",
                               slot);
            }
        }
        offsets[slot + 1] = offsets[slot] + id.length;
    }
    return OMEN_OK;
}

static omen_status_t id_bytes(const om_merge_input *input, const uint64_t *offsets, uint8_t *bytes,
                              omen_error *err)
{
    uint64_t scratch;
    for (uint32_t slot = 0; slot < input->rows; slot++) {
        if (offsets[slot + 1] == offsets[slot]) {
            continue;
        }
        om_id id = {.bytes = NULL};
        omen_status_t status = om_segment_id(input->segment, slot, &scratch, &id, err);
        if (status != OMEN_OK) {
            return status;
        }
        om_assert(id.length == offsets[slot + 1] - offsets[slot]);
        memcpy(bytes + offsets[slot], id.bytes, id.length);
    }
    return OMEN_OK;
}

static omen_status_t take_ids_locked(om_merge_input *input, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_alloc *alloc = &input->segment->rt->alloc;
    size_t count = (size_t)input->rows + 1;
    uint8_t *bytes = NULL;
    uint64_t *offsets = om_alloc_zero(alloc, count, sizeof *offsets, OM_CACHE_LINE);
    if (offsets == NULL) {
        return om_fail_memory(err, "ids", count * sizeof *offsets);
    }
    OM_TRY(id_offsets(input, offsets, err));
    bytes = om_alloc_get(alloc, (size_t)offsets[input->rows], OM_CACHE_LINE);
    if (bytes == NULL) {
        status = om_fail_memory(err, "ids", offsets[input->rows]);
        goto out;
    }
    OM_TRY(id_bytes(input, offsets, bytes, err));
    input->id_offsets = offsets;
    input->id_bytes = bytes;
    return OMEN_OK;
out:
    om_alloc_put(alloc, bytes, (size_t)offsets[input->rows], OM_CACHE_LINE);
    om_alloc_put(alloc, offsets, count * sizeof *offsets, OM_CACHE_LINE);
    return status;
}

omen_status_t om_input_take_ids(om_merge_input *input, omen_error *err)
{
    if (input->rows == 0 || !has_ids_in_memory(input->segment)) {
        return OMEN_OK;
    }
    om_collection *c = input->segment->c;
    om_rwlock_read(&c->ids_mu);
    omen_status_t status = take_ids_locked(input, err);
    om_rwlock_unlock(&c->ids_mu);
    return status;
}

omen_status_t om_input_take(om_segment *seg, om_merge_input *out, omen_error *err)
{
    uint64_t *dead = NULL;
    *out = (om_merge_input){.segment = seg, .rows = atomic_load(&seg->visible)};
    omen_status_t status = om_segment_copy_dead(seg, out->rows, &dead, &out->live, err);
    if (status != OMEN_OK) {
        out->rows = 0;
        return status;
    }
    out->dead = dead;
    status = om_input_take_ids(out, err);
    if (status != OMEN_OK) {
        om_input_drop(out);
    }
    return status;
}

/* The arrays are const for their readers; who allocated them takes them back. */
static void *owned(const void *array)
{
    return (void *)(uintptr_t)array;
}

void om_input_drop_ids(om_merge_input *input)
{
    if (input->id_offsets != NULL) {
        const om_alloc *alloc = &input->segment->rt->alloc;
        om_alloc_put(alloc, owned(input->id_bytes), (size_t)input->id_offsets[input->rows],
                     OM_CACHE_LINE);
        om_alloc_put(alloc, owned(input->id_offsets), ((size_t)input->rows + 1) * sizeof(uint64_t),
                     OM_CACHE_LINE);
        input->id_offsets = NULL;
        input->id_bytes = NULL;
    }
}

void om_input_drop(om_merge_input *input)
{
    om_input_drop_ids(input);
    if (input->dead != NULL) {
        om_segment_drop_dead(input->segment, input->rows, owned(input->dead));
    }
    *input = (om_merge_input){.segment = NULL};
}

/* ---- Sections ---------------------------------------------------------------------------------- */
omen_status_t om_sink_open(om_collection *c, const char *path, const om_stop *stop, om_sink *out,
                           omen_error *err)
{
    *out = (om_sink){.stop = stop};
    return om_segwriter_create(om_db_io(c->db), &c->rt->alloc, path, &out->writer, err);
}

void om_sink_abort(om_sink *sink)
{
    om_segwriter_abort(sink->writer);
    sink->writer = NULL;
}

omen_status_t om_sink_commit(om_sink *sink, uint32_t rows, uint64_t version, omen_error *err)
{
    om_segwriter *writer = sink->writer;
    sink->writer = NULL; /* Commit frees it, whatever comes of it. */
    return om_segwriter_commit(writer, rows, version, err);
}

omen_status_t om_sink_section(om_sink *sink, const om_section *section, uint32_t kind,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segwriter_begin(sink->writer, kind, OM_VECTOR_INDEX_DEFAULT, section->stride,
                              section->rows, section->bytes, err));
    for (uint64_t at = 0; at < section->bytes; at += PIECE) {
        status = om_stop_check(sink->stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "stopped; nothing at the path has changed");
        }
        OM_TRY(om_segwriter_append(sink->writer, section->data + at,
                                   (size_t)om_min_u64(PIECE, section->bytes - at), err));
    }
    OM_TRY(om_segwriter_end(sink->writer, err));
out:
    return status;
}

omen_status_t om_sink_meta(om_sink *sink, const omen_options *o, uint64_t next_key, uint64_t live,
                           omen_error *err)
{
    om_meta meta = {.size = sizeof meta,
                    .dim = o->dim,
                    .metric = o->metric,
                    .dtype = o->dtype,
                    .id_type = o->id_type,
                    .m = o->m,
                    .ef_construction = o->ef_construction,
                    .quantization = o->quantization,
                    .rotation = o->rotation,
                    .entry = o->entry,
                    .durability = o->durability,
                    .capacity_hint = o->capacity_hint,
                    .max_backlog_rows = o->max_backlog_rows,
                    .next_key = next_key,
                    .live = live};
    om_section section = {.data = (const uint8_t *)&meta, .bytes = sizeof meta};
    return om_sink_section(sink, &section, OM_SECTION_META, err);
}

static omen_status_t no_blob(size_t size, omen_error *err)
{
    return om_fail_memory(err, "exported bytes", size);
}

omen_status_t om_sink_codec(om_sink *sink, const om_alloc *alloc, const om_codec *codec,
                            omen_error *err)
{
    size_t size = om_codec_export_size(codec);
    uint8_t *blob = om_alloc_get(alloc, size, OM_CACHE_LINE);
    if (blob == NULL) {
        return no_blob(size, err);
    }
    om_codec_export(codec, blob);
    om_section section = {.data = blob, .bytes = size};
    omen_status_t status = om_sink_section(sink, &section, OM_SECTION_CODEC, err);
    om_alloc_put(alloc, blob, size, OM_CACHE_LINE);
    return status;
}

omen_status_t om_sink_entry(om_sink *sink, const om_alloc *alloc, const om_graph *graph,
                            omen_error *err)
{
    size_t size = om_graph_export_size(graph);
    uint8_t *blob = om_alloc_get(alloc, size, OM_CACHE_LINE);
    if (blob == NULL) {
        return no_blob(size, err);
    }
    om_graph_export(graph, blob);
    om_section section = {.data = blob, .bytes = size};
    omen_status_t status = om_sink_section(sink, &section, OM_SECTION_ENTRY, err);
    om_alloc_put(alloc, blob, size, OM_CACHE_LINE);
    return status;
}

omen_status_t om_sink_key_map(om_sink *sink, const om_pair *pairs, uint64_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t slots[SLOT_CHUNK];
    OM_TRY(om_segwriter_begin(sink->writer, OM_SECTION_KEYMAP, OM_VECTOR_INDEX_DEFAULT,
                              sizeof slots[0], count, count * sizeof slots[0], err));
    for (uint64_t at = 0; at < count; at += SLOT_CHUNK) {
        size_t part = (size_t)om_min_u64(SLOT_CHUNK, count - at);
        for (size_t i = 0; i < part; i++) {
            slots[i] = pairs[at + i].slot;
        }
        OM_TRY(om_segwriter_append(sink->writer, slots, part * sizeof slots[0], err));
    }
    OM_TRY(om_segwriter_end(sink->writer, err));
out:
    return status;
}

/* ---- New files --------------------------------------------------------------------------------- */
void om_disk_begin_files(om_disk *disk, om_file_mark *mark)
{
    om_mutex_lock(&disk->files_mu);
    *mark = (om_file_mark){.next = disk->writing, .below = atomic_load(&disk->next_segment)};
    disk->writing = mark;
    om_mutex_unlock(&disk->files_mu);
}

void om_disk_end_files(om_disk *disk, om_file_mark *mark)
{
    om_mutex_lock(&disk->files_mu);
    om_file_mark **at = &disk->writing;
    while (*at != mark) {
        at = &(*at)->next;
    }
    *at = mark->next;
    om_mutex_unlock(&disk->files_mu);
}

uint64_t om_disk_settled_files(om_disk *disk)
{
    om_mutex_lock(&disk->files_mu);
    uint64_t below = atomic_load(&disk->next_segment);
    for (const om_file_mark *mark = disk->writing; mark != NULL; mark = mark->next) {
        below = om_min_u64(below, mark->below);
    }
    om_mutex_unlock(&disk->files_mu);
    return below;
}

omen_status_t om_new_file_begin(om_collection *c, om_new_file *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = c->db->disk;
    om_path folder;
    OM_TRY(om_path_collection(&folder, disk->folder.text, c->serial, err));
    OM_TRY(om_io_mkdir(disk->io, folder.text, err));
    out->id = om_disk_take_id(disk);
    OM_TRY(om_path_segment(&out->path, disk->folder.text, c->serial, out->id, err));
out:
    return status;
}

void om_new_file_discard(om_collection *c, const om_new_file *file)
{
    omen_error err;
    if (om_io_unlink(c->db->disk->io, file->path.text, &err) != OMEN_OK) {
        om_log_write(&c->rt->log, OMEN_LOG_WARN, "engine", "collection '%s': %s", c->name,
                     err.message);
    }
}

omen_status_t om_new_file_open(om_collection *c, const om_new_file *file, const om_stop *stop,
                               om_segment **out, omen_error *err)
{
    om_segment_file open = {.path = file->path.text, .id = file->id, .warm = OMEN_WARM_NONE};
    om_segment *seg = NULL;
    omen_status_t status = om_segment_open(c, &open, &seg, err);
    if (status == OMEN_OK) {
        status = om_mapped_ready(seg, stop, err);
    }
    if (status != OMEN_OK) {
        om_segment_unref(seg);
        return status;
    }
    *out = seg;
    return OMEN_OK;
}

/* ---- The exchange ------------------------------------------------------------------------------ */
/* Rows that died since the input was taken die in `by` too, whose first row of this input is `base`. */
static void carry_deaths(const om_swap *swap, const om_merge_input *input, const uint64_t *now,
                         uint32_t base)
{
    uint32_t before = base; /* rows of `by` before the word, when it is packed */
    for (uint32_t word = 0; word < (input->rows + 63) / 64; word++) {
        uint64_t fresh = now[word] & ~input->dead[word];
        uint64_t alive = ~input->dead[word];
        while (fresh != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(fresh);
            uint64_t below = alive & ((UINT64_C(1) << bit) - 1);
            uint32_t rank = before + (uint32_t)__builtin_popcountll(below);
            (void)om_segment_kill(swap->by, swap->packed ? rank : word * 64 + bit);
            fresh &= fresh - 1;
        }
        before += (uint32_t)__builtin_popcountll(alive);
    }
}

typedef struct news { /* tombstones of the inputs at the moment of the exchange */
    uint64_t **dead;  /* [count] */
    uint32_t count;
} news;

static void drop_news(om_collection *c, const om_swap *swap, news *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        om_segment_drop_dead(swap->inputs[i].segment, swap->inputs[i].rows, n->dead[i]);
    }
    om_alloc_put(&c->rt->alloc, n->dead, swap->count * sizeof *n->dead, OM_CACHE_LINE);
}

static omen_status_t take_news(om_collection *c, const om_swap *swap, news *n, omen_error *err)
{
    n->dead = om_alloc_zero(&c->rt->alloc, swap->count, sizeof *n->dead, OM_CACHE_LINE);
    if (n->dead == NULL) {
        return om_fail_memory(err, "tombstones", swap->count * sizeof *n->dead);
    }
    for (; n->count < swap->count; n->count++) {
        const om_merge_input *input = &swap->inputs[n->count];
        uint32_t live;
        omen_status_t status =
            om_segment_copy_dead(input->segment, input->rows, &n->dead[n->count], &live, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static void set_versions(const om_swap *swap)
{
    uint64_t first = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < swap->count; i++) {
        uint64_t begin = atomic_load(&swap->inputs[i].segment->first_version);
        uint64_t end = atomic_load(&swap->inputs[i].segment->last_version);
        first = first == 0 || (begin != 0 && begin < first) ? begin : first;
        last = end > last ? end : last;
    }
    atomic_store(&swap->by->first_version, first);
    atomic_store(&swap->by->last_version, last);
}

/* write_mu held. Everything that can fail comes first. */
static omen_status_t swap_locked(om_collection *c, const om_swap *swap, news *n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_set *made = NULL;
    if (swap->by != NULL) {
        OM_TRY(take_news(c, swap, n, err));
    }
    OM_TRY(om_set_make_replaced(c, swap->inputs[0].segment, swap->count, swap->by, &made, err));
    uint32_t base = 0;
    for (uint32_t i = 0; swap->by != NULL && i < swap->count; i++) {
        carry_deaths(swap, &swap->inputs[i], n->dead[i], base);
        base += swap->packed ? swap->inputs[i].live : swap->inputs[i].rows;
    }
    om_set_publish(c, made);
    if (swap->sealed) {
        uint64_t last = atomic_load(&swap->inputs[swap->count - 1].segment->last_version);
        c->contained = last > c->contained ? last : c->contained;
    }
out:
    return status;
}

omen_status_t om_swap_in(om_collection *c, const om_swap *swap, omen_error *err)
{
    news n = {.dead = NULL};
    if (swap->by != NULL) {
        set_versions(swap);
    }
    om_mutex_lock(&c->write_mu);
    omen_status_t status = swap_locked(c, swap, &n, err);
    om_set *past = om_sets_reclaim(c);
    om_mutex_unlock(&c->write_mu);
    om_sets_free_list(c->rt, past);
    drop_news(c, swap, &n);
    return status;
}
