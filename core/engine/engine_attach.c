/* engine_attach.c - a segment file becomes a read-only collection. Nothing is done per row: the
 * header, the sections' shapes and the small sections are checked, the rest at its first use.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine_int.h"

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

static omen_status_t find_sections(om_collection *c, om_mapped *mapped, uint64_t live,
                                   omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_layout *layout = &c->layout;
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
    if (c->options.metric == OMEN_COSINE) {
        OM_TRY(need(mapped, OM_SECTION_NORMS, "NORMS", sizeof(float), rows, err));
    }
    if (c->options.id_type != OMEN_ID_U64 && live != 0) {
        OM_TRY(need(mapped, OM_SECTION_ID_BYTES, "ID_BYTES", 0, 0, err));
        OM_TRY(need(mapped, OM_SECTION_ID_OFFSETS, "ID_OFFSETS", sizeof(uint64_t),
                    (uint64_t)rows + 1, err));
        OM_TRY(need(mapped, OM_SECTION_ID_MAP, "ID_MAP", sizeof(om_pair), live, err));
    }
out:
    return status;
}

static omen_status_t import_codec(om_collection *c, om_mapped *mapped, omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_CODEC];
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    OM_TRY(
        om_codec_import(&c->rt->alloc, section->data, (size_t)section->bytes, &mapped->codec, err));
    if (om_codec_stride(mapped->codec) != c->layout.code_stride) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "segment file: CODEC makes rows of %zu bytes, CODES has %zu",
                       om_codec_stride(mapped->codec), c->layout.code_stride);
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

static omen_status_t import_graph(om_collection *c, om_mapped *mapped, om_graph_view **out,
                                  omen_error *err)
{
    const om_section *section = &mapped->section[OM_SECTION_ENTRY];
    omen_status_t status = OMEN_OK;
    OM_TRY(om_segfile_verify(mapped->file, section, 0, section->bytes, err));
    OM_TRY(om_graph_import(&c->rt->alloc, &c->graph_params, mapped->rows, section->data,
                           (size_t)section->bytes, &c->graph, err));
    om_graph_arrays arrays = arrays_of(mapped);
    OM_TRY(om_graph_view_create(c->graph, &arrays, out, err));
out:
    return status;
}

static omen_status_t make_view(om_collection *c, om_mapped *mapped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_view *view = NULL;
    OM_TRY(om_view_prepare(c, &view, err));
    status = import_graph(c, mapped, &view->graph, err);
    if (status != OMEN_OK) {
        om_alloc_put(&c->rt->alloc, view, sizeof *view, _Alignof(om_view));
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
    atomic_store(&c->view, view);
out:
    return status;
}

/* ---- Reading ahead --------------------------------------------------------------------------- */
static void warm_up(void *ctx)
{
    om_collection *c = ctx;
    om_mapped *mapped = c->mapped;
    om_stop stop = {.op = NULL};
    omen_error err = {.status = OMEN_OK};
    omen_status_t status = om_mapped_ready(c, &stop, &err);
    if (status == OMEN_OK && mapped->warm_vectors) {
        status = om_mapped_verify(mapped, OM_SECTION_VECTORS, &stop, &err);
    }
    if (status != OMEN_OK && status != OMEN_CANCELLED) {
        om_log_write(&c->rt->log, OMEN_LOG_ERROR, "engine", "collection '%s': %s", c->name,
                     err.message);
    }
}

void om_mapped_close(om_collection *c)
{
    om_mapped *mapped = c->mapped;
    if (mapped == NULL) {
        return;
    }
    atomic_store(&mapped->stop, true);
    om_thread_join(mapped->warmer);
    om_codec_free(mapped->codec);
    om_segfile_close(mapped->file);
    om_alloc_put(&mapped->rt->alloc, mapped, sizeof *mapped, _Alignof(om_mapped));
    c->mapped = NULL;
}

/* ---- Everything, now (OMEN_OPEN_VERIFY) ------------------------------------------------------ */
static omen_status_t check_maps(om_collection *c, uint64_t live, omen_error *err)
{
    om_mapped *mapped = c->mapped;
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

static omen_status_t check_ids(om_collection *c, omen_error *err)
{
    om_mapped *mapped = c->mapped;
    for (uint32_t slot = 0; slot < mapped->rows; slot++) {
        om_id id;
        omen_status_t status = om_mapped_id_of_slot(mapped, slot, &id, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_mapped_check(om_collection *c, const om_stop *stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_mapped *mapped = c->mapped;
    uint64_t live = atomic_load(&c->live);
    OM_TRY(om_segfile_verify_all(mapped->file, stop, err));
    if (mapped->rows == 0) {
        return OMEN_OK;
    }
    OM_TRY(check_maps(c, live, err));
    if (c->options.id_type != OMEN_ID_U64 && live != 0) {
        OM_TRY(check_ids(c, err));
    }
    om_graph_report report;
    om_graph_arrays arrays = arrays_of(mapped);
    OM_TRY(om_graph_check(c->graph, &arrays, &report, err));
    if (report.unreached != 0) {
        om_log_write(&c->rt->log, OMEN_LOG_WARN, "engine",
                     "collection '%s': %u of %u rows are not reached", c->name, report.unreached,
                     report.nodes);
    }
    atomic_store(&mapped->verified, true);
out:
    return status;
}

/* ---- Opening --------------------------------------------------------------------------------- */
static void raise_version(omen_db *db, uint64_t version)
{
    uint64_t newest = atomic_load(&db->version);
    while (newest < version && !atomic_compare_exchange_weak(&db->version, &newest, version)) {
    }
}

static omen_status_t load(om_collection *c, om_mapped *mapped, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_meta meta;
    omen_options options;
    mapped->rows = (uint32_t)om_segfile_rows(mapped->file);
    OM_TRY(read_meta(mapped, &meta, &options, err));
    om_collection_set_options(c, &options);
    mapped->id_type = options.id_type;
    if (mapped->rows != 0) {
        OM_TRY(find_sections(c, mapped, meta.live, err));
        OM_TRY(import_codec(c, mapped, err));
        OM_TRY(make_view(c, mapped, err));
    }
    c->next_key = meta.next_key;
    atomic_store(&c->live, (uint32_t)meta.live);
    atomic_store(&c->indexed, mapped->rows);
    atomic_store(&c->visible, mapped->rows);
    atomic_store(&c->version, om_segfile_version(mapped->file));
    raise_version(c->db, om_segfile_version(mapped->file));
out:
    return status;
}

omen_status_t om_mapped_open(om_collection *c, const omen_open_options *opt, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_runtime *rt = c->rt;
    om_mapped *mapped = om_alloc_zero(&rt->alloc, 1, sizeof *mapped, _Alignof(om_mapped));
    if (mapped == NULL) {
        return om_fail_memory(err, "mapped segment", sizeof *mapped);
    }
    mapped->rt = rt;
    c->mapped = mapped; /* From here on the collection's end closes it. */
    c->read_only = true;
    om_stop stop = {.op = opt->op};
    OM_TRY(om_segfile_open(&om_io_system, &rt->alloc, opt->file, &mapped->file, err));
    OM_TRY(load(c, mapped, err));
    if ((opt->flags & OMEN_OPEN_VERIFY) != 0) {
        OM_TRY(om_mapped_check(c, &stop, err));
    }
    mapped->warm_vectors = opt->warm == OMEN_WARM_ALL;
    if (opt->warm != OMEN_WARM_NONE && mapped->rows != 0) {
        OM_TRY(om_thread_create(&rt->alloc, "omen-warm", warm_up, c, &mapped->warmer, err));
    }
out:
    return status;
}
