/* observe.c - the parts of observation, and the thread that takes a sample every second.
 * SPDX-License-Identifier: Apache-2.0 */
#include "observe.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct om_observe_thread {
    om_history *history;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stop */
    pthread_cond_t wake;
    bool stop;
};

/* At whole seconds from the start: a tick that took long makes the next one come sooner. */
static void *thread_main(void *arg)
{
    struct om_observe_thread *t = arg;
    struct timespec next;
    (void)pthread_setname_np(pthread_self(), "omend-observe");
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        struct timespec now;
        om_history_tick(t->history);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        next.tv_sec = next.tv_sec + 1 >= now.tv_sec ? next.tv_sec + 1 : now.tv_sec;
        (void)pthread_mutex_lock(&t->mutex);
        int rc = 0;
        while (!t->stop && rc == 0) {
            rc = pthread_cond_timedwait(&t->wake, &t->mutex, &next);
        }
        bool stop = t->stop;
        (void)pthread_mutex_unlock(&t->mutex);
        if (stop) {
            return NULL;
        }
    }
}

static struct om_observe_thread *start_thread(om_history *history)
{
    pthread_condattr_t attributes;
    struct om_observe_thread *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->history = history;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&t->mutex, NULL);
    (void)pthread_cond_init(&t->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&t->thread, NULL, thread_main, t) != 0) {
        (void)pthread_cond_destroy(&t->wake);
        (void)pthread_mutex_destroy(&t->mutex);
        free(t);
        return NULL;
    }
    return t;
}

static void stop_thread(struct om_observe_thread *t)
{
    if (t == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&t->mutex);
    t->stop = true;
    (void)pthread_cond_broadcast(&t->wake);
    (void)pthread_mutex_unlock(&t->mutex);
    (void)pthread_join(t->thread, NULL);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->mutex);
    free(t);
}

bool om_observe_start(om_observe *o, const om_observe_options *options)
{
    bool watch = options->recall_sample > 0 && options->recall_permille > 0;
    om_recall_options recall = {.sample = options->recall_sample,
                                .permille = options->recall_permille,
                                .metrics = options->metrics};
    o->recall = watch ? om_recall_create(&recall) : NULL;
    om_history_options history = {.metrics = options->metrics, .recall = o->recall};
    o->slow = om_slow_create(options->metrics, options->log);
    o->history = om_history_create(&history);
    o->thread = o->history != NULL ? start_thread(o->history) : NULL;
    return (o->recall != NULL || !watch) && o->slow != NULL && o->thread != NULL;
}

void om_observe_attach(om_observe *o, om_history_look look, void *ctx)
{
    om_history_attach(o->history, look, ctx);
}

void om_observe_stop(om_observe *o)
{
    stop_thread(o->thread);
    om_history_free(o->history);
    om_recall_free(o->recall);
    om_slow_free(o->slow);
    *o = (om_observe){NULL, NULL, NULL, NULL};
}
