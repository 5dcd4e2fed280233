/* slow.c - the ring of slow calls and their lines in the log.
 * SPDX-License-Identifier: Apache-2.0 */
#include "slow.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct om_slow {
    om_metrics *metrics;
    om_slog *log;
    pthread_mutex_t mutex; /* guards what follows */
    uint64_t added;        /* the next one goes to added % OM_SLOW_KEPT */
    om_slow_call calls[OM_SLOW_KEPT];
};

om_slow *om_slow_create(om_metrics *metrics, om_slog *log)
{
    om_slow *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->metrics = metrics;
        s->log = log;
        (void)pthread_mutex_init(&s->mutex, NULL);
    }
    return s;
}

void om_slow_free(om_slow *s)
{
    if (s != NULL) {
        (void)pthread_mutex_destroy(&s->mutex);
        free(s);
    }
}

/* What is not there is left out of the line. */
static const char *or_none(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void write_line(const om_slow *s, const om_slow_call *c)
{
    const om_slow_search *q = &c->search;
    char hash[17] = "";
    if (q->filter_hash != 0) {
        (void)snprintf(hash, sizeof hash, "%016" PRIx64, q->filter_hash);
    }
    om_slog_field fields[] = {
        OM_SLOG_STR("service", c->service), OM_SLOG_STR("method", c->method),
        OM_SLOG_STR("request_id", or_none(c->request_id)),
        OM_SLOG_STR("trace_id", or_none(c->trace_id)), OM_SLOG_STR("peer", or_none(c->peer)),
        OM_SLOG_STR("principal", or_none(c->principal)),
        OM_SLOG_STR("collection", or_none(c->collection)), OM_SLOG_U64("code", c->code),
        OM_SLOG_U64("total_us", c->total_us), OM_SLOG_U64("queue_us", c->queue_us),
        OM_SLOG_U64("engine_us", c->engine_us), OM_SLOG_U64("send_us", c->send_us),
        OM_SLOG_U64("received_bytes", c->received_bytes), OM_SLOG_U64("sent_bytes", c->sent_bytes),
        OM_SLOG_STR("error", or_none(c->why)),
        /* of searches only, from here on */
        OM_SLOG_U64("searches", q->searches), OM_SLOG_STR("plan", omen_plan_name(q->plan)),
        OM_SLOG_U64("legs", q->legs), OM_SLOG_U64("k", q->k), OM_SLOG_U64("ef", q->ef),
        OM_SLOG_U64("visited", q->visited), OM_SLOG_U64("distances", q->distances),
        OM_SLOG_STR("filter_hash", or_none(hash)), OM_SLOG_U64("filter_us", q->filter_us)};
    size_t all = sizeof fields / sizeof fields[0];
    om_slog_write(s->log, OMEN_LOG_WARN, "slow_call", "a call took long", fields,
                  q->searches > 0 ? all : all - 9);
}

void om_slow_add(om_slow *s, const om_slow_call *call)
{
    if (s == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&s->mutex);
    s->calls[s->added++ % OM_SLOW_KEPT] = *call;
    (void)pthread_mutex_unlock(&s->mutex);
    om_metrics_slow_call(s->metrics);
    write_line(s, call);
}

size_t om_slow_copy(om_slow *s, om_slow_call *out, size_t capacity)
{
    if (s == NULL) {
        return 0;
    }
    (void)pthread_mutex_lock(&s->mutex);
    size_t n = s->added < OM_SLOW_KEPT ? (size_t)s->added : OM_SLOW_KEPT;
    n = n < capacity ? n : capacity;
    for (size_t i = 0; i < n; i++) {
        out[i] = s->calls[(s->added - 1 - i) % OM_SLOW_KEPT];
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return n;
}
