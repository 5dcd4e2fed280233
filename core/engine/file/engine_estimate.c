/* engine_estimate.c - what a collection will take in memory and on disk, from the layout of arrays and
 * files.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is guessed but three things that depend on the data or on what the caller does: how many seeds the
 * graph takes (few, unless vectors have few components), how long ids are (given), and how full
 * the log is (its files at their largest, since they are kept for reuse). */
#include <math.h>
#include <string.h>

#include "engine_files.h"
#include "wal.h"

#define SEAL_BYTES (UINT64_C(512) << 20)
enum { SEAL_ROWS = 262144, HEADER_BYTES = 4096, TAIL_BYTES = 24, SMALL_ALIGN = 4096 };
#define LARGE_ALIGN (UINT64_C(2) << 20)
#define BLOCK (UINT64_C(1) << 20)
/* The fixed part of CODEC and its check sum; ENTRY's header; bytes of a seed's slot. */
enum { CODEC_FIXED = 48, ENTRY_HEADER = 64, SLOT_BYTES = 4 };
enum { SEEDS_LEAST = 128, SEEDS_MOST = 1024, UPPER_RATIO = 16, UUID_BYTES = 16 };
/* An idmap word at a load of 7 in 10, of a table that is doubled; an id beside its bytes. */
enum { MAP_WORD = 4, ID_WORD = 12, ID_BESIDE = 2, SAMPLE_ROWS = 16384 };
#define SAMPLE_BYTES (UINT64_C(64) << 20)

typedef struct shape {
    const omen_options *options;
    om_layout layout;
    uint64_t rows, id_bytes;
} shape;

/* ---- A segment file ---------------------------------------------------------------------------- */
typedef struct measure {
    uint64_t end;      /* of the last section */
    uint64_t blocks;   /* of all sections: 4 bytes each in the checksum tables */
    uint64_t resident; /* bytes of the sections that searches read besides vectors */
} measure;

static void add(measure *m, uint64_t bytes, bool resident)
{
    uint64_t align = bytes >= LARGE_ALIGN ? LARGE_ALIGN : SMALL_ALIGN;
    m->end = (m->end + align - 1) / align * align + bytes;
    m->blocks += (bytes + BLOCK - 1) / BLOCK;
    m->resident += resident ? bytes : 0;
}

static uint64_t codec_bytes(const omen_options *o)
{
    bool whole = o->dtype == OMEN_U8 || o->dtype == OMEN_I8;
    bool identity = whole && o->metric == OMEN_L2 && o->rotation != OMEN_ROTATE_ON;
    uint64_t dim = o->dim + (o->metric == OMEN_IP ? OM_IP_PAD : 0);
    return CODEC_FIXED + (o->quantization == OMEN_QUANT_NONE || identity ? 0 : dim * sizeof(float));
}

static uint64_t seeds_of(uint64_t rows)
{
    uint64_t seeds = (uint64_t)(sqrt((double)rows) / 4);
    seeds = seeds < SEEDS_LEAST ? SEEDS_LEAST : om_min_u64(seeds, SEEDS_MOST);
    return om_min_u64(seeds, rows);
}

static uint64_t entry_bytes(const shape *s)
{
    uint64_t seed = s->layout.code_stride + SLOT_BYTES;
    if (s->options->entry != OMEN_ENTRY_HIERARCHY) {
        return ENTRY_HEADER + seeds_of(s->rows) * seed;
    }
    uint64_t upper = s->rows / UPPER_RATIO + 1;
    return ENTRY_HEADER + seeds_of(upper) * seed + upper * (seed + s->layout.link_stride);
}

static measure file_of(const shape *s)
{
    measure m = {.end = HEADER_BYTES};
    uint64_t rows = s->rows;
    add(&m, sizeof(om_meta), false);
    if (rows != 0) {
        add(&m, codec_bytes(s->options), false);
        add(&m, entry_bytes(s), true);
        add(&m, rows * s->layout.link_stride, true);
        add(&m, rows * s->layout.code_stride, true);
        add(&m, rows * sizeof(uint64_t), true);
        add(&m, rows * sizeof(uint32_t), true);
        add(&m, (rows + 63) / 64 * sizeof(uint64_t), true);
        if (s->options->metric == OMEN_COSINE) {
            add(&m, rows * sizeof(float), true);
        }
        if (s->options->id_type != OMEN_ID_U64) {
            add(&m, rows * s->id_bytes, true);
            add(&m, (rows + 1) * sizeof(uint64_t), true);
            add(&m, rows * sizeof(om_pair), true);
        }
        add(&m, rows * s->layout.row_bytes, false);
    }
    m.end = (m.end + 7) / 8 * 8 + (m.blocks * sizeof(uint32_t) + 7) / 8 * 8 + TAIL_BYTES;
    return m;
}

/* ---- Memory ------------------------------------------------------------------------------------ */
static uint64_t power_of_two(uint64_t least)
{
    uint64_t value = 64;
    while (value < least) {
        value *= 2;
    }
    return value;
}

/* Floats that a codec is trained on, and as many again that the training takes. */
static uint64_t sample(const shape *s, uint64_t rows)
{
    uint64_t bytes = om_min_u64(rows, SAMPLE_ROWS) * s->options->dim * sizeof(float);
    return s->options->quantization == OMEN_QUANT_NONE ? 0 : 2 * om_min_u64(bytes, SAMPLE_BYTES);
}

/* Arrays and maps of a segment in memory, and what its codec needs when it is trained again. */
static uint64_t growing(const shape *s, uint64_t rows)
{
    uint64_t row = s->layout.code_stride;
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        row += s->layout.bytes[i];
    }
    uint64_t bytes = rows * row + rows / 8 + sample(s, rows);
    bytes += om_min_u64(rows, SAMPLE_ROWS) * s->layout.code_stride;
    bytes += power_of_two(rows + rows / 7 * 3) * MAP_WORD;
    if (s->options->id_type != OMEN_ID_U64) {
        bytes += rows * (ID_WORD + ID_BESIDE + s->id_bytes);
    }
    return bytes;
}

/* What a merge of all rows holds at its worst moment: while the graph is built, or (few, long rows) while the
 * codec is trained. The maps that are sorted later need less. */
static uint64_t merging(const shape *s)
{
    uint64_t row = s->layout.code_stride + s->layout.link_stride + sizeof(uint32_t);
    uint64_t build = s->rows * row + s->rows / 4 + entry_bytes(s);
    uint64_t training = sample(s, s->rows);
    return build > training ? build : training;
}

static uint64_t memory_beside(const shape *s)
{
    uint64_t sealed_at = om_min_u64(SEAL_ROWS, SEAL_BYTES / s->layout.row_bytes + 1);
    uint64_t rows = om_min_u64(s->rows, sealed_at);
    if (s->rows == rows) {
        return growing(s, rows);
    }
    /* One grows while the one before it waits or is written, and older ones are merged. */
    return 2 * growing(s, rows) + merging(s);
}

/* ---- The call ---------------------------------------------------------------------------------- */
static omen_status_t check(const omen_options *opt, uint64_t rows, uint32_t id_bytes, shape *s,
                           omen_options *filled, omen_error *err)
{
    omen_status_t status = om_options_check(opt, filled, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (rows > OMEN_MAX_ROWS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "rows: %llu is above %u",
                       (unsigned long long)rows, OMEN_MAX_ROWS);
    }
    if (filled->id_type == OMEN_ID_STRING && (id_bytes < 1 || id_bytes > OMEN_MAX_STRING_ID)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "id_bytes: %u is not in 1 to %u, which strings may have", id_bytes,
                       OMEN_MAX_STRING_ID);
    }
    om_codec_params codec = {.dim = filled->dim,
                             .metric = filled->metric,
                             .dtype = filled->dtype,
                             .quantization = filled->quantization,
                             .rotation = filled->rotation};
    *s = (shape){.options = filled, .rows = rows};
    s->id_bytes = filled->id_type == OMEN_ID_STRING ? id_bytes
                  : filled->id_type == OMEN_ID_UUID ? UUID_BYTES
                                                    : 0;
    om_layout_init(&s->layout, &codec, filled->m);
    return OMEN_OK;
}

omen_status_t om_estimate(const omen_options *opt, uint64_t rows, uint32_t id_bytes,
                          omen_estimate_result *out, omen_error *err)
{
    shape s;
    omen_options filled;
    omen_status_t status = check(opt, rows, id_bytes, &s, &filled, err);
    if (status != OMEN_OK) {
        return status;
    }
    measure file = file_of(&s);
    uint64_t log = (uint64_t)OM_WAL_MAX_FILE * (1 + OM_WAL_SPARES);
    out->memory_serving = file.resident;
    out->memory_growing = memory_beside(&s);
    out->disk = file.end + log;
    /* The segments that are merged have the same rows; the log is as long as what is not sealed yet. */
    out->disk_peak = 2 * file.end + log;
    return OMEN_OK;
}
