/* cmd_bench.c - bench: queries a second and latencies by number of threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

enum { THREADS_MAX = 256, RUNS_MAX = 16, IN_FLIGHT_MAX = 512 };
static const double warm_up_s = 0.2;

typedef struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    om_session *session;
    double seconds, elapsed;
    om_latency latency;
    om_tool_error err;
    bool ok;
} worker;

typedef struct bench_row {
    uint32_t threads;
    uint64_t searches;
    double qps;
    uint64_t p50, p90, p99;
} bench_row;

static bool step(worker *w, bool measured)
{
    uint64_t ns = 0;
    w->ok = w->session->ops->session_step(w->session, &ns, &w->err);
    if (w->ok && measured) {
        om_latency_add(&w->latency, ns);
    }
    return w->ok;
}

static void *work(void *arg)
{
    worker *w = arg;
    double begin = om_tool_now();
    w->ok = true;
    while (w->ok && om_tool_now() - begin < warm_up_s) {
        (void)step(w, false);
    }
    (void)pthread_barrier_wait(w->start);
    begin = om_tool_now();
    while (w->ok && w->elapsed < w->seconds && !om_tool_interrupted()) {
        (void)step(w, true);
        w->elapsed = om_tool_now() - begin;
    }
    return NULL;
}

/* Runs the workers, whose sessions are open, and sums up. */
static bool run_workers(worker *workers, uint32_t threads, bench_row *row, om_tool_error *err)
{
    pthread_barrier_t start;
    uint32_t started = 0;
    if (pthread_barrier_init(&start, NULL, threads) != 0) {
        return om_tool_fail(err, OM_EXIT_RUNTIME, "cannot make a barrier");
    }
    for (; started < threads; started++) {
        workers[started].start = &start;
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0) {
            break;
        }
    }
    if (started < threads) {
        /* Those that wait at the barrier would wait for ever. */
        (void)fprintf(stderr, "omen: cannot start %u threads\n", threads);
        exit(OM_EXIT_RUNTIME);
    }
    bool ok = true;
    double longest = 0;
    om_latency *all = &workers[0].latency;
    for (uint32_t i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        if (!workers[i].ok && ok) {
            *err = workers[i].err;
            ok = false;
        }
        longest = workers[i].elapsed > longest ? workers[i].elapsed : longest;
        if (i > 0) {
            om_latency_merge(all, &workers[i].latency);
        }
    }
    (void)pthread_barrier_destroy(&start);
    row->threads = threads;
    row->searches = all->count;
    row->qps = longest > 0 ? (double)all->count / longest : 0;
    row->p50 = om_latency_quantile(all, 0.50);
    row->p90 = om_latency_quantile(all, 0.90);
    row->p99 = om_latency_quantile(all, 0.99);
    if (ok && om_tool_interrupted()) {
        ok = om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
    }
    return ok;
}

static bool measure(const om_args *args, om_target *t, const om_search_params *params,
                    uint32_t threads, bench_row *row, om_tool_error *err)
{
    worker *workers = calloc(threads, sizeof *workers);
    bool ok = workers != NULL ? true : om_tool_no_memory(err, threads * sizeof *workers);
    for (uint32_t i = 0; ok && i < threads; i++) {
        workers[i].seconds = args->seconds;
        ok = t->ops->session_open(t, params, (size_t)args->in_flight, &workers[i].session, err);
    }
    ok = ok && run_workers(workers, threads, row, err);
    for (uint32_t i = 0; workers != NULL && i < threads; i++) {
        if (workers[i].session != NULL) {
            t->ops->session_close(workers[i].session);
        }
    }
    free(workers);
    return ok;
}

static bool parse_threads(const char *list, uint32_t *out, size_t *count, om_tool_error *err)
{
    const char *p = list != NULL ? list : "1,2";
    *count = 0;
    while (*p != '\0') {
        char *end;
        unsigned long n = strtoul(p, &end, 10);
        if (end == p || n < 1 || n > THREADS_MAX || *count == RUNS_MAX ||
            (*end != '\0' && *end != ',')) {
            return om_tool_fail(err, OM_EXIT_USAGE,
                                "--threads wants up to %d numbers from 1 to %d, as in 1,2,4",
                                RUNS_MAX, THREADS_MAX);
        }
        out[(*count)++] = (uint32_t)n;
        p = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* Recall of the same searches, when there is something to compare with. */
static bool bench_recall(const om_args *args, om_target *t, om_search_params params, double *recall,
                         om_tool_error *err)
{
    om_search_result found = {0};
    om_truth truth = {0};
    *recall = -1;
    if (args->truth == NULL) {
        return true;
    }
    params.threads = 0;
    bool ok = om_truth_load(args, &truth, err) && t->ops->search(t, &params, &found, err) &&
              om_truth_recall(&truth, &found, params.count, params.k, recall, err);
    om_truth_free(&truth);
    om_search_result_free(&found);
    return ok;
}

static void print_rows(const om_args *args, const bench_row *rows, size_t count, double recall,
                       bool remote)
{
    if (args->json) {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
            (void)json_array_append_new(
                list,
                json_pack("{s:i, s:I, s:f, s:f, s:f, s:f, s:I}", "threads", (int)rows[i].threads,
                          "in_flight", (json_int_t)args->in_flight, "qps", rows[i].qps, "p50_us",
                          (double)rows[i].p50 / 1e3, "p90_us", (double)rows[i].p90 / 1e3, "p99_us",
                          (double)rows[i].p99 / 1e3, "searches", (json_int_t)rows[i].searches));
        }
        json_t *o = json_pack("{s:s, s:I, s:I, s:o}", "mode", remote ? "server" : "embedded", "k",
                              (json_int_t)args->k, "ef", (json_int_t)args->ef, "results", list);
        if (recall >= 0) {
            (void)json_object_set_new(o, "recall", json_real(recall));
        }
        om_out_object(o);
        return;
    }
    if (recall >= 0) {
        (void)printf("recall@%llu = %.4f\n", (unsigned long long)args->k, recall);
    }
    (void)printf("%8s %10s %12s %12s %12s %12s\n", "THREADS", "IN FLIGHT", "QUERIES/S", "P50 US",
                 "P90 US", "P99 US");
    for (size_t i = 0; i < count; i++) {
        char qps[32];
        (void)printf("%8u %10llu %12s %12.1f %12.1f %12.1f\n", rows[i].threads,
                     (unsigned long long)args->in_flight,
                     om_out_count(qps, (uint64_t)(rows[i].qps + 0.5)), (double)rows[i].p50 / 1e3,
                     (double)rows[i].p90 / 1e3, (double)rows[i].p99 / 1e3);
    }
}

static bool run(const om_args *args, om_target *t, bool remote, om_tool_error *err)
{
    uint32_t threads[RUNS_MAX] = {0};
    bench_row rows[RUNS_MAX] = {0};
    size_t count = 0;
    double recall = -1;
    om_matrix queries = {0};
    om_search_params params;
    om_args no_threads = *args; /* here --threads is a list */
    om_import_options opt = {.format = args->format, .offset = args->offset, .limit = args->limit};
    no_threads.thread_list = NULL;
    if (args->queries == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--queries FILE is needed");
    }
    bool ok = parse_threads(args->thread_list, threads, &count, err) &&
              om_check_range("--in-flight", args->in_flight, 1, IN_FLIGHT_MAX, err) &&
              om_matrix_load(args->queries, &opt, &queries, err) &&
              om_matrix_for_query(&queries, t, err) &&
              om_search_from_args(&no_threads, &queries, &params, err);
    if (ok && queries.rows == 0) {
        ok = om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: has no rows", args->queries);
    }
    ok = ok && bench_recall(args, t, params, &recall, err);
    for (size_t i = 0; ok && i < count; i++) {
        ok = measure(args, t, &params, threads[i], &rows[i], err);
    }
    if (ok) {
        print_rows(args, rows, count, recall, remote);
    }
    om_matrix_free(&queries);
    return ok;
}

bool om_cmd_bench(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    if (!om_place_find(args, true, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        return false;
    }
    bool ok = run(args, t, place.remote, err);
    om_target_close(t);
    return ok;
}
