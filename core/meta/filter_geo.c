/* filter_geo.c - distances on the sphere: points, and squares that are surely inside or outside of a circle.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "filter_int.h"

#define RADIUS 6371008.8 /* metres */
#define DEGREE 0.017453292519943295
#define HALF_TURN 3.141592653589793
/* Squares are widened by this many degrees (0.1 mm) against the rounding of their borders. */
#define SLACK 1e-9

static double square(double x)
{
    return x * x;
}

/* sin^2 of half an angle in degrees. */
static double half_sine(double degrees)
{
    return square(sin(degrees * (DEGREE / 2)));
}

/* Degrees between two longitudes, the shorter way round. */
static double turn(double a, double b)
{
    const double way = fabs(a - b);
    return way > 180 ? 360 - way : way;
}

static double haversine(const om_circle *circle, double lat, double lon)
{
    return half_sine(lat - circle->lat) +
           circle->cos_lat * cos(lat * DEGREE) * half_sine(turn(lon, circle->lon));
}

void om_circle_make(om_circle *circle)
{
    const double angle = circle->metres / RADIUS;
    circle->cos_lat = cos(circle->lat * DEGREE);
    circle->none = circle->metres < 0;
    circle->all = angle > HALF_TURN * (1 + 1e-9);
    circle->half_width = 180;
    circle->south = -90;
    circle->north = 90;
    if (circle->none || circle->all) {
        return;
    }
    /* Haversines are known to some units in the last place, of the sine for small ones: what is nearer to the
     * border than that is decided by the distance itself. */
    const double limit = angle >= HALF_TURN ? 1 : square(sin(angle / 2));
    const double slack = 1e-12 * limit + 1e-14 * sqrt(limit) + 1e-28;
    circle->inside = limit - slack;
    circle->outside = limit + slack;
    const double reach = angle / DEGREE + SLACK;
    circle->south = circle->lat - reach;
    circle->north = circle->lat + reach;
    if (circle->south > -90 && circle->north < 90) {
        /* The meridians that touch the circle. */
        const double sine = sin(reach * DEGREE) / circle->cos_lat;
        if (sine < 1) {
            circle->half_width = asin(sine) / DEGREE + SLACK;
        }
    }
}

bool om_circle_has(const om_circle *circle, double lat, double lon)
{
    if (circle->none || circle->all) {
        return circle->all;
    }
    if (lat < circle->south || lat > circle->north || turn(lon, circle->lon) > circle->half_width) {
        return false;
    }
    const double at = haversine(circle, lat, lon);
    if (at < circle->inside || at > circle->outside) {
        return at < circle->inside;
    }
    const double distance = 2 * RADIUS * asin(sqrt(at < 1 ? at : 1));
    return circle->closed ? distance <= circle->metres : distance < circle->metres;
}

int om_circle_square(const om_circle *circle, const double lat[2], const double lon[2])
{
    if (circle->none || circle->all) {
        return circle->all ? 1 : -1;
    }
    const double south = lat[0] - SLACK, north = lat[1] + SLACK;
    const double west = lon[0] - SLACK, east = lon[1] + SLACK;
    /* How far the square is away, and how far it reaches, in latitude and in longitude. */
    const double lat_far = fmax(fabs(south - circle->lat), fabs(north - circle->lat));
    const double lat_near = circle->lat < south   ? south - circle->lat
                            : circle->lat > north ? circle->lat - north
                                                  : 0;
    const double from = turn(west, circle->lon), to = turn(east, circle->lon);
    const double across = circle->lon > 0 ? circle->lon - 180 : circle->lon + 180;
    const double lon_near = circle->lon >= west && circle->lon <= east ? 0 : fmin(from, to);
    const double lon_far = across >= west && across <= east ? 180 : fmax(from, to);
    const double cos_south = fmax(cos(south * DEGREE), 0), cos_north = fmax(cos(north * DEGREE), 0);
    const double cos_least = fmin(cos_south, cos_north);
    const double cos_most = south <= 0 && north >= 0 ? 1 : fmax(cos_south, cos_north);
    const double least = half_sine(lat_near) + circle->cos_lat * cos_least * half_sine(lon_near);
    const double most =
        half_sine(fmin(lat_far, 180)) + circle->cos_lat * cos_most * half_sine(lon_far);
    return most < circle->inside ? 1 : least > circle->outside ? -1 : 0;
}

/* The even bits of 64, moved together. */
static uint32_t gather_even(uint64_t x)
{
    x &= UINT64_C(0x5555555555555555);
    x = (x | x >> 1) & UINT64_C(0x3333333333333333);
    x = (x | x >> 2) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    x = (x | x >> 4) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x | x >> 8) & UINT64_C(0x0000FFFF0000FFFF);
    return (uint32_t)(x | x >> 16);
}

void om_geo_square(uint64_t first, uint32_t level, double lat[2], double lon[2])
{
    const double units = (double)(UINT64_C(1) << level);
    const double south = gather_even(first >> 1), west = gather_even(first);
    lat[0] = south * (180 / 4294967296.0) - 90;
    lat[1] = (south + units) * (180 / 4294967296.0) - 90;
    lon[0] = west * (360 / 4294967296.0) - 180;
    lon[1] = (west + units) * (360 / 4294967296.0) - 180;
}
