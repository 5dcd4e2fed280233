/* plan_measure.c - what a code costs that is read by its slot, and a distance of a walk, on this machine.
 * Depends on: base, simd, quant, graph.  SPDX-License-Identifier: Apache-2.0 */
#include "op.h"
#include "plan.h"
#include "rng.h"

/* Runs of each kind: the best one counts. What else the machine does can only add. */
#define RUNS 8u
#define GATHER_ROWS 256u
#define GATHERS 4u
/* One row of so many is read, about as many as pass where scan and walk cost the same. */
#define GATHER_GAP 16u
#define WALK_EF 64u

/* Rows in rising order with gaps of chance, from a place of chance: as the slots of a bitmap come. */
static double gather_once(const om_plan_sample *s, const om_probe *probe, uint64_t *state)
{
    uint32_t ids[GATHERS][GATHER_ROWS];
    int32_t distance[GATHER_ROWS + 16];
    const uint32_t rows = om_graph_view_count(s->view), span = GATHERS * GATHER_ROWS * GATHER_GAP;
    const uint32_t first = rows > span ? om_rng_below(state, rows - span) : 0;
    for (uint32_t i = 0; i < GATHERS * GATHER_ROWS; i++) {
        uint32_t at = i * GATHER_GAP + om_rng_below(state, GATHER_GAP);
        ids[i / GATHER_ROWS][i % GATHER_ROWS] = rows > span ? first + at : at % rows;
    }
    uint64_t begun = om_now_ns();
    for (uint32_t i = 0; i < GATHERS; i++) {
        s->kernels->gather[probe->kind](probe, s->codes, om_codec_stride(s->codec), ids[i],
                                        GATHER_ROWS, distance);
    }
    return (double)(om_now_ns() - begun) / (GATHERS * GATHER_ROWS);
}

/* One search; 0 when it failed. */
static double walk_once(const om_plan_sample *s, const om_probe *probe)
{
    const uint64_t *keys = NULL;
    uint32_t found = 0;
    om_graph_counters counters = {0};
    uint64_t begun = om_now_ns();
    omen_status_t status =
        om_graph_search(s->view, s->ctx, probe, WALK_EF, NULL, &keys, &found, &counters);
    uint64_t taken = om_now_ns() - begun;
    return status != OMEN_OK || counters.distances == 0
               ? 0
               : (double)taken / (double)counters.distances;
}

omen_status_t om_plan_measure(const om_plan_sample *s, om_plan_costs *out, omen_error *err)
{
    const uint32_t rows = om_graph_view_count(s->view);
    const size_t stride = om_codec_stride(s->codec);
    omen_status_t status = om_graph_ctx_reserve(s->ctx, s->view, WALK_EF, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (rows == 0) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                       "costs: there is no row to measure on");
    }
    uint64_t state = rows;
    double gathered = 0, walked = 0;
    for (uint32_t run = 0; run < RUNS; run++) {
        om_probe probe;
        const uint8_t *row = s->codes + (size_t)om_rng_below(&state, rows) * stride;
        om_codec_row_probe(s->codec, row, s->probe_data, &probe);
        double a = gather_once(s, &probe, &state);
        double b = walk_once(s, &probe);
        gathered = run == 0 || a < gathered ? a : gathered;
        walked = run == 0 || b < walked ? b : walked;
    }
    /* A clock that is too coarse, or none: what is usual. */
    om_plan_costs usual = om_plan_guess(stride);
    out->gathered = gathered > 0 ? (float)gathered : usual.gathered;
    out->walked = walked > 0 ? (float)walked : usual.walked;
    return OMEN_OK;
}
