/* engine_attach.c - a segment file becomes a sealed segment. Nothing is done per row: the
 * header, the sections' shapes and the small sections are checked, the rest at its first use.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine_fields_file.h"

/* The mapping is read-only; the types of the arrays say otherwise because growing segments share
 * them. */
static void *without_const(const void *data)
{
    return (void *)(uintptr_t)data;
}

static omen_status_t missing(const char *what, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "segment file: the section %s is missing",
                   what);
}

/* Finds a section of the given shape; its absence is damage. */
static omen_status_t need(om_mapped *mapped, uint32_t kind, const char *what, uint64_t stride,
                          uint64_t rows, omen_error *err)
{
    om_section *section = &mapped->section[kind];
    omen_status_t status =
        om_segfile_section(mapped->file, kind, OM_VECTOR_INDEX_DEFAULT, stride, rows, section, err);
    if (status == OMEN_OK && section->data == NULL) {
        status = missing(what, err);
    }
    return status;
}

static omen_status_t read_meta(om_mapped *mapped, om_meta *meta, omen_options *options,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_section *section = &mapped->section[OM_SECTION_META];
    OM_TRY(need(mapped, OM_SECTION_META, "META", 0, 0, err));
    if (section->bytes < sizeof *meta) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: META has %llu bytes, needs %zu",
                       (unsigned long long)section->bytes, sizeof *meta);
    }
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    memcpy(meta, section->data, sizeof *meta);
    omen_options read = {.struct_size = sizeof read,
                         .dim = meta->dim,
                         .metric = meta->metric,
                         .dtype = meta->dtype,
                         .id_type = meta->id_type,
                         .m = meta->m,
                         .ef_construction = meta->ef_construction,
                         .quantization = meta->quantization,
                         .rotation = meta->rotation,
                         .entry = meta->entry,
                         .durability = meta->durability,
                         .capacity_hint = meta->capacity_hint,
                         .max_backlog_rows = meta->max_backlog_rows};
    omen_error why;
    if (om_options_check(&read, options, &why) != OMEN_OK || meta->live > mapped->rows) {
        return om_fail(
            err, OMEN_DATA_LOSS, OMEN_D_NONE,
            "segment file: META does not describe a collection of %u rows (dim %u, live %llu)",
            mapped->rows, meta->dim, (unsigned long long)meta->live);
    }
out:
    return status;
}

static omen_status_t find_sections(om_segment *seg, om_mapped *mapped, uint64_t live,
                                   omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_layout *layout = &seg->layout;
    uint32_t rows = mapped->rows;
    uint64_t words = ((uint64_t)rows + 63) / 64;
    OM_TRY(need(mapped, OM_SECTION_CODEC, "CODEC", 0, 0, err));
    OM_TRY(need(mapped, OM_SECTION_ENTRY, "ENTRY", 0, 0, err));
    OM_TRY(need(mapped, OM_SECTION_CODES, "CODES", layout->code_stride, rows, err));
    OM_TRY(need(mapped, OM_SECTION_LINKS, "LINKS", layout->link_stride, rows, err));
    OM_TRY(need(mapped, OM_SECTION_KEYS, "KEYS", sizeof(uint64_t), rows, err));
    OM_TRY(need(mapped, OM_SECTION_DEAD, "DEAD", sizeof(uint64_t), words, err));
    OM_TRY(need(mapped, OM_SECTION_VECTORS, "VECTORS", layout->row_bytes, rows, err));
    if (live != 0) {
        OM_TRY(need(mapped, OM_SECTION_KEYMAP, "KEYMAP", sizeof(uint32_t), live, err));
    }
    if (seg->options.metric == OMEN_COSINE) {
        OM_TRY(need(mapped, OM_SECTION_NORMS, "NORMS", sizeof(float), rows, err));
    }
    if (seg->options.id_type != OMEN_ID_U64 && live != 0) {
        OM_TRY(need(mapped, OM_SECTION_ID_BYTES, "ID_BYTES", 0, 0, err));
        OM_TRY(need(mapped, OM_SECTION_ID_OFFSETS, "ID_OFFSETS", sizeof(uint64_t),
                    (uint64_t)rows + 1, err));
        OM_TRY(need(mapped, OM_SECTION_ID_MAP, "ID_MAP", sizeof(om_pair), live, err));
    }
out:
    return status;
}

static omen_status_t import_codec(om_segment *seg, om_mapped *mapped, omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_CODEC];
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    OM_TRY(om_codec_import(&seg->rt->alloc, section->data, (size_t)section->bytes, &mapped->codec,
                           err));
    if (om_codec_stride(mapped->codec) != seg->layout.code_stride) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: CODEC makes rows of %zu bytes, CODES has %zu",
                       om_codec_stride(mapped->codec), seg->layout.code_stride);
    }
out:
    return status;
}

static om_graph_arrays arrays_of(const om_mapped *mapped)
{
    return (om_graph_arrays){.codec = mapped->codec,
                             .codes = mapped->section[OM_SECTION_CODES].data,
                             .links = without_const(mapped->section[OM_SECTION_LINKS].data)};
}

static omen_status_t import_graph(om_segment *seg, om_mapped *mapped, om_graph_view **out,
                                  omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_ENTRY];
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    OM_TRY(om_graph_import(&seg->rt->alloc, &seg->graph_params, mapped->rows, section->data,
                           (size_t)section->bytes, &seg->graph, err));
    om_graph_arrays arrays = arrays_of(mapped);
    OM_TRY(om_graph_view_create(seg->graph, &arrays, out, err));
out:
    return status;
}

static omen_status_t make_view(om_segment *seg, om_mapped *mapped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_view *view = NULL;
    OM_TRY(om_view_prepare(seg, &view, err));
    status = import_graph(seg, mapped, &view->graph, err);
    if (status != OMEN_OK) {
        om_alloc_put(&seg->rt->alloc, view, sizeof *view, _Alignof(om_view));
        goto out;
    }
    view->mapped = mapped;
    view->vectors = mapped->section[OM_SECTION_VECTORS].data;
    view->keys = (const void *)mapped->section[OM_SECTION_KEYS].data;
    view->norms = (const void *)mapped->section[OM_SECTION_NORMS].data;
    view->dead = without_const(mapped->section[OM_SECTION_DEAD].data);
    view->codes = mapped->section[OM_SECTION_CODES].data;
    view->codec = mapped->codec;
    view->indexed = om_graph_view_count(view->graph);
    atomic_store(&seg->view, view);
out:
    return status;
}

/* ---- Reading ahead --------------------------------------------------------------------------- */
static void warm_up(void *ctx)
{
    om_segment *seg = ctx;
    om_mapped *mapped = seg->mapped;
    om_stop stop = {.op = NULL};
    omen_error err = {.status = OMEN_OK};
    omen_status_t status = om_mapped_ready(seg, &stop, &err);
    if (status == OMEN_OK && mapped->warm_vectors) {
        status = om_mapped_verify(mapped, OM_SECTION_VECTORS, &stop, &err);
    }
    if (status != OMEN_OK && status != OMEN_CANCELLED) {
        om_log_write(&seg->rt->log, OMEN_LOG_ERROR, "engine", "collection '%s': %s", seg->c->name,
                     err.message);
    }
}

void om_mapped_close(om_segment *seg)
{
    om_mapped *mapped = seg->mapped;
    if (mapped == NULL) {
        return;
    }
    atomic_store(&mapped->stop, true);
    om_thread_join(mapped->warmer);
    om_codec_free(mapped->codec);
    om_segfile_close(mapped->file);
    if (mapped->deaths.mapping != NULL) {
        om_deaths_close(mapped->io, &mapped->deaths);
    }
    om_vm_release(&mapped->dead);
    om_alloc_put(&mapped->rt->alloc, mapped, sizeof *mapped, _Alignof(om_mapped));
    seg->mapped = NULL;
}

/* ---- Everything, now (OMEN_OPEN_VERIFY) ------------------------------------------------------ */
static omen_status_t check_maps(om_segment *seg, uint64_t live, omen_error *err)
{
    om_mapped *mapped = seg->mapped;
    uint64_t former = 0;
    uint64_t count = mapped->rows;
    const uint64_t *dead = (const void *)mapped->section[OM_SECTION_DEAD].data;
    const uint64_t *keys = (const void *)mapped->section[OM_SECTION_KEYS].data;
    for (uint64_t i = 0; i < mapped->section[OM_SECTION_DEAD].rows; i++) {
        count -= (uint64_t)__builtin_popcountll(dead[i]);
    }
    if (count != live) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: DEAD leaves %llu rows, META says %llu",
                       (unsigned long long)count, (unsigned long long)live);
    }
    for (uint64_t i = 0; i < live; i++) {
        uint32_t slot;
        memcpy(&slot, mapped->section[OM_SECTION_KEYMAP].data + i * sizeof slot, sizeof slot);
        if (slot >= mapped->rows || (i != 0 && keys[slot] <= former) || keys[slot] == OMEN_NONE) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                           "segment file: KEYMAP is not in order at entry %llu",
                           (unsigned long long)i);
        }
        former = keys[slot];
    }
    return OMEN_OK;
}

static omen_status_t check_ids(om_segment *seg, omen_error *err)
{
    om_mapped *mapped = seg->mapped;
    for (uint32_t slot = 0; slot < mapped->rows; slot++) {
        om_id id;
        omen_status_t status = om_mapped_id_of_slot(mapped, slot, &id, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_mapped_check(om_segment *seg, const om_stop *stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mapped *mapped = seg->mapped;
    uint64_t live = mapped->section[OM_SECTION_KEYMAP].rows;
    OM_TRY(om_segfile_verify_all(mapped->file, stop, err));
    if (mapped->rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(check_maps(seg, live, err));
    if (seg->options.id_type != OMEN_ID_U64 && live != 0) {
        OM_TRY(check_ids(seg, err));
    }
    OM_TRY(om_fields_check(seg, stop, err));
    om_graph_report report;
    om_graph_arrays arrays = arrays_of(mapped);
    OM_TRY(om_graph_check(seg->graph, &arrays, &report, err));
    if (report.unreached != 0) {
        om_log_write(&seg->rt->log, OMEN_LOG_WARN, "engine",
                     "collection '%s': %u of %u rows are not reached", seg->c->name,
                     report.unreached, report.nodes);
    }
    atomic_store(&mapped->verified, true);
out:
    return status;
}

/* ---- Tombstones ------------------------------------------------------------------------------ */
/* Of a database on disk: in memory of its own, so that rows may die without the file changing. */
static omen_status_t own_dead(om_segment *seg, om_mapped *mapped, const om_segment_file *file,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_section *section = &mapped->section[OM_SECTION_DEAD];
    om_view *view = om_view_load(seg);
    if (file->deaths != NULL) {
        mapped->deaths = *file->deaths;
        view->dead = (_Atomic uint64_t *)(void *)mapped->deaths.words;
    } else {
        OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
        OM_TRY(om_vm_reserve(&mapped->dead, (size_t)section->bytes, &seg->rt->budget, err));
        OM_TRY(om_vm_commit(&mapped->dead, (size_t)section->bytes, err));
        memcpy(mapped->dead.base, section->data, (size_t)section->bytes);
        view->dead = (_Atomic uint64_t *)(void *)mapped->dead.base;
    }
    mapped->own_dead = true;
    uint32_t live = mapped->rows;
    for (uint64_t i = 0; i < section->rows; i++) {
        uint64_t word = atomic_load_explicit(&view->dead[i], memory_order_relaxed);
        live -= (uint32_t)__builtin_popcountll(word);
    }
    atomic_store(&seg->live, live);
out:
    return status;
}

/* ---- Opening --------------------------------------------------------------------------------- */
/* A segment of a collection must be made as the collection is. */
static omen_status_t check_alike(const om_segment *seg, const omen_options *have, omen_error *err)
{
    const omen_options *want = &seg->c->options;
    if (have->dim != want->dim || have->metric != want->metric || have->dtype != want->dtype ||
        have->id_type != want->id_type || have->m != want->m ||
        have->quantization != want->quantization) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: dim %u, metric %u, dtype %u, ids %u, m %u; the collection "
                       "has %u, %u, %u, %u, %u",
                       have->dim, have->metric, have->dtype, have->id_type, have->m, want->dim,
                       want->metric, want->dtype, want->id_type, want->m);
    }
    return OMEN_OK;
}

static omen_status_t load(om_segment *seg, om_mapped *mapped, const om_segment_file *file,
                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_meta meta;
    omen_options options;
    uint64_t version = om_segfile_version(mapped->file);
    bool part = seg->c->db->disk != NULL;
    mapped->rows = (uint32_t)om_segfile_rows(mapped->file);
    OM_TRY(read_meta(mapped, &meta, &options, err));
    if (part) {
        OM_TRY(check_alike(seg, &options, err));
    }
    om_segment_set_options(seg, &options);
    /* The manifest says how long tombstones of their own are, this file how many rows they are for. */
    uint64_t words = ((uint64_t)mapped->rows + 63) / 64;
    if (file->deaths != NULL && file->deaths->bytes != words * sizeof(uint64_t)) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: %u rows, but %zu bytes of deaths", mapped->rows,
                       file->deaths->bytes);
    }
    mapped->id_type = options.id_type;
    mapped->next_key = meta.next_key;
    atomic_store(&seg->live, (uint32_t)meta.live);
    OM_TRY(om_fields_map(seg, mapped, err));
    if (mapped->rows != 0) {
        OM_TRY(find_sections(seg, mapped, meta.live, err));
        OM_TRY(import_codec(seg, mapped, err));
        OM_TRY(make_view(seg, mapped, err));
        if (part) {
            OM_TRY(own_dead(seg, mapped, file, err));
        }
    }
    atomic_store(&seg->indexed, mapped->rows);
    atomic_store(&seg->visible, mapped->rows);
    atomic_store(&seg->first_version, version);
    atomic_store(&seg->last_version, version);
    atomic_store(&seg->frozen, true);
out:
    return status;
}

static omen_status_t open_file(om_segment *seg, const om_segment_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime *rt = seg->rt;
    om_mapped *mapped = om_alloc_zero(&rt->alloc, 1, sizeof *mapped, _Alignof(om_mapped));
    if (mapped == NULL) {
        return om_fail_memory(err, "mapped segment", sizeof *mapped);
    }
    mapped->rt = rt;
    atomic_init(&mapped->most_key, OMEN_NONE);
    mapped->io = om_db_io(seg->c->db);
    seg->mapped = mapped; /* From here on the segment's end closes it. */
    seg->id = file->id;
    om_stop stop = {.op = file->op};
    OM_TRY(om_segfile_open(mapped->io, &rt->alloc, file->path, &mapped->file, err));
    const om_disk *disk = seg->c->db->disk;
    if (disk != NULL && (disk->options.flags & OMEN_DB_RAM) != 0) {
        OM_TRY(om_segfile_load(mapped->file, &rt->budget, err));
    }
    OM_TRY(load(seg, mapped, file, err));
    if ((file->flags & OMEN_OPEN_VERIFY) != 0) {
        OM_TRY(om_mapped_check(seg, &stop, err));
    }
    mapped->warm_vectors = file->warm == OMEN_WARM_ALL;
    if (file->warm != OMEN_WARM_NONE && mapped->rows != 0) {
        OM_TRY(om_thread_create(&rt->alloc, "omen-warm", warm_up, seg, &mapped->warmer, err));
    }
out:
    return status;
}

omen_status_t om_segment_open(om_collection *c, const om_segment_file *file, om_segment **out,
                              omen_error *err)
{
    om_segment *seg = NULL;
    omen_status_t status = om_segment_create(c, &seg, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = open_file(seg, file, err);
    if (status != OMEN_OK) {
        if (seg->mapped != NULL) {
            seg->mapped->deaths = (om_deaths){.mapping = NULL}; /* still the caller's */
        }
        om_segment_unref(seg);
        return status;
    }
    *out = seg;
    return OMEN_OK;
}
