/* plan.h - how a filtered search of one segment is answered: exactly, or by which walk over the graph.
 * Depends on: base, simd, quant, graph.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_PLAN_H
#define OM_PLAN_H
#include "base.h"
#include "graph.h"

/* Costs on this machine for one length of codes, in nanoseconds: measured once (calibrate), then read. */
typedef struct om_plan_costs {
    float gathered; /* a code read by its slot, rolling prefetch  */
    float walked;   /* a distance within the graph, its share of links and beam included */
} om_plan_costs;
/* What is measured on: the codes and the graph of a segment with at least OM_PLAN_SAMPLE_ROWS rows. */
#define OM_PLAN_SAMPLE_ROWS 4096u
typedef struct om_plan_sample {
    const om_kernels *kernels;
    const om_codec *codec;
    const uint8_t *codes;
    const om_graph_view *view;
    om_graph_ctx *ctx;   /* used meanwhile                               */
    uint8_t *probe_data; /* om_codec_stride bytes, aligned to 64         */
} om_plan_sample;
/* Takes less than a millisecond. The best of several short runs counts, so that what else the machine does
 * changes little. The caller keeps the costs by code length and measures again when the rows have grown
 * fourfold: larger arrays lie farther away. */
omen_status_t om_plan_measure(const om_plan_sample *sample, om_plan_costs *out,
                              omen_error *err) OM_NODISCARD;
/* Before anything was measured: of a code of so many bytes, on a machine of 2024. */
om_plan_costs om_plan_guess(size_t stride);

typedef struct om_plan_input {
    uint64_t rows, matches; /* of the segment's graph; matches are counted, live */
    uint32_t k, ef;         /* ef: of an unfiltered search */
    double distances;       /* that an unfiltered search makes at this ef (a moving mean; 0: not known) */
    om_plan_costs costs;    /* 0: not known */
    size_t stride;          /* of a code, for costs that are not known */
    bool graph_only;        /* OMEN_GRAPH_ONLY: never exact unless nothing else can answer */
} om_plan_input;
typedef struct om_plan {
    uint32_t plan;   /* OMEN_PLAN_EMPTY, EXACT or FILTER_*; not for EMPTY and EXACT: */
    uint32_t ef;     /* om_graph_filter.ef */
    uint32_t beam;   /* room to reserve, and om_graph_filter.beam */
    uint64_t budget; /* distances after which a walk is abandoned for the exact scan */
} om_plan;
void om_plan_choose(const om_plan_input *input, om_plan *out);
#endif
