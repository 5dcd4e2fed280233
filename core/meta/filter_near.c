/* filter_near.c - the points of a block that are in a circle: squares of its grid that lie inside or
 * outside as a whole are not looked into. SPDX-License-Identifier: Apache-2.0 */
#include "filter_int.h"

/* Squares of so few points are not divided. */
enum { FEW = 12, ROOT = 32 };

typedef struct cell_walk {
    const om_circle *circle;
    const om_metacolumn *column;
    uint64_t *out;      /* NULL: only guess */
    uint32_t undivided; /* points of squares that are not divided */
    double rows;        /* the guess: half of such a square on the border is in */
} cell_walk;

/* The rows of codes [lo, hi) are in. */
static void take(cell_walk *walk, uint32_t lo, uint32_t hi)
{
    if (walk->out != NULL) {
        om_bits_touch(walk->out, true, walk->column, lo, hi);
    } else {
        walk->rows += walk->column->starts[hi] - walk->column->starts[lo];
    }
}

static void take_points(cell_walk *walk, uint32_t lo, uint32_t hi)
{
    const om_geo_point *points = walk->column->points;
    for (uint32_t code = lo; code < hi; code++) {
        if (om_circle_has(walk->circle, points[code].lat, points[code].lon)) {
            take(walk, code, code + 1);
        }
    }
}

/* Cells [first, first + 4^level) are a square; its points are codes [lo, hi). Depth: at most 32. */
static void walk_cells(cell_walk *walk, uint64_t first, uint32_t level, uint32_t lo, uint32_t hi)
{
    double lat[2], lon[2];
    if (hi - lo <= FEW || level == 0) {
        take_points(walk, lo, hi);
        return;
    }
    om_geo_square(first, level, lat, lon);
    const int in = om_circle_square(walk->circle, lat, lon);
    if (in != 0) {
        if (in > 0) {
            take(walk, lo, hi);
        }
        return;
    }
    if (hi - lo <= walk->undivided) {
        walk->rows += 0.5 * (walk->column->starts[hi] - walk->column->starts[lo]);
        return;
    }
    const uint64_t quarter = UINT64_C(1) << (2 * level - 2);
    for (uint32_t i = 0; i < 4 && lo < hi; i++) {
        uint32_t end = hi;
        if (i < 3) {
            end = lo + om_cells_below(walk->column->cells + lo, hi - lo, first + (i + 1) * quarter);
        }
        walk_cells(walk, first + i * quarter, level - 1, lo, end);
        lo = end;
    }
}

void om_near_bits(const om_circle *circle, const om_plan *plan, uint64_t *out)
{
    cell_walk walk = {.circle = circle, .column = plan->column, .out = out};
    walk_cells(&walk, 0, ROOT, plan->lo, plan->hi);
}

double om_near_guess(const om_circle *circle, const om_plan *plan)
{
    cell_walk walk = {.circle = circle, .column = plan->column};
    walk.undivided = plan->column->distinct / 32;
    walk_cells(&walk, 0, ROOT, plan->lo, plan->hi);
    return walk.rows;
}
