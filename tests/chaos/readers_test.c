/* readers_test.c - one process writes a database, several others read it: they see whole batches, never fewer
 * than were acknowledged before they looked, and never go back.
 *     readers_test [BATCHES [READERS]]
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "omen.h"

enum { DIM = 8, ITEMS = 64, READERS_MOST = 8, REOPEN_EVERY = 40 };

/* Between the processes. Batch n writes n into every one of the 64 items. */
typedef struct shared {
    _Atomic uint64_t acked;
    atomic_bool done;
    _Atomic uint64_t looks[READERS_MOST];
} shared;

static _Noreturn void fail(const char *who, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)fprintf(stderr, "readers_test: %s: ", who);
    (void)vfprintf(stderr, fmt, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    _exit(1);
}

static void must(omen_status_t status, const omen_error *err, const char *who, const char *what)
{
    if (status != OMEN_OK) {
        fail(who, "%s: %s: %s", what, omen_status_name(status), err->message);
    }
}

/* ---- The writer -------------------------------------------------------------------------------- */

static void write_batch(omen_collection *c, uint64_t number)
{
    static float rows[ITEMS][DIM];
    static uint64_t keys[ITEMS];
    omen_error err;
    for (uint64_t i = 0; i < ITEMS; i++) {
        keys[i] = i;
        for (uint32_t d = 0; d < DIM; d++) {
            rows[i][d] = d == 0 ? (float)number : (float)((i * 31 + d * 7) % 64);
        }
    }
    const omen_batch batch = {
        .struct_size = sizeof batch, .count = ITEMS, .vectors = rows, .dim = DIM, .keys = keys};
    must(omen_add_batch(c, &batch, NULL, NULL, &err), &err, "writer", "add");
}

static void write_all(const char *path, shared *s, uint64_t batches, int go, uint32_t readers)
{
    omen_db *db;
    omen_collection *c;
    omen_error err;
    const omen_db_options options = {.struct_size = sizeof options, .seal_rows = 1024};
    const omen_options shape = {.struct_size = sizeof shape, .dim = DIM};
    must(omen_db_open(path, &options, &db, &err), &err, "writer", "open");
    must(omen_create(db, "items", &shape, &c, &err), &err, "writer", "create");
    for (uint64_t n = 1; n <= batches; n++) {
        write_batch(c, n);
        atomic_store(&s->acked, n);
        for (uint32_t i = 0; n == 1 && i < readers; i++) {
            if (write(go, "g", 1) != 1) {
                fail("writer", "the readers cannot be told");
            }
        }
        if (n % 150 == 0) {
            must(omen_checkpoint(db, NULL, &err), &err, "writer", "checkpoint");
        }
        if (n % 700 == 0) {
            must(omen_optimize(c, NULL, &err), &err, "writer", "optimize");
        }
    }
    atomic_store(&s->done, true);
    omen_collection_free(c);
    omen_db_free(db);
}

/* ---- A reader ---------------------------------------------------------------------------------- */

typedef struct reader {
    const char *path;
    char who[32];
    omen_db *db;
    omen_collection *c;
    uint64_t last; /* batch seen */
} reader;

static void open_reader(reader *r)
{
    omen_error err;
    const omen_db_options options = {.struct_size = sizeof options, .flags = OMEN_DB_READ_ONLY};
    must(omen_db_open(r->path, &options, &r->db, &err), &err, r->who, "open");
    must(omen_open(r->db, "items", NULL, &r->c, &err), &err, r->who, "collection");
}

static void close_reader(reader *r)
{
    omen_collection_free(r->c);
    omen_db_free(r->db);
    r->db = NULL;
}

/* All items exactly, each once, all of one batch. */
static void check_search(reader *r, uint64_t number)
{
    float query[DIM] = {0};
    uint64_t keys[ITEMS + 8];
    bool seen[ITEMS] = {false};
    omen_error err;
    const omen_query q = {.struct_size = sizeof q,
                          .flags = OMEN_EXACT,
                          .vectors = query,
                          .dim = DIM,
                          .count = 1,
                          .k = ITEMS + 8};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys};
    must(omen_search(r->c, &q, &hits, &err), &err, r->who, "search");
    for (uint32_t i = 0; i < ITEMS + 8; i++) {
        if (i >= ITEMS ? keys[i] != OMEN_NONE : keys[i] >= ITEMS || seen[keys[i]]) {
            fail(r->who, "a search at batch %llu gives key %llu at place %u",
                 (unsigned long long)number, (unsigned long long)keys[i], i);
        }
        if (i < ITEMS) {
            seen[keys[i]] = true;
        }
    }
}

static void look(reader *r, uint64_t acked)
{
    float rows[ITEMS][DIM];
    uint64_t keys[ITEMS];
    uint64_t count = 0;
    omen_error err;
    for (uint64_t i = 0; i < ITEMS; i++) {
        keys[i] = i;
    }
    must(omen_get_vectors(r->c, keys, ITEMS, rows, 0, 0, NULL, &err), &err, r->who, "get");
    for (uint32_t i = 1; i < ITEMS; i++) {
        if (rows[i][0] != rows[0][0]) {
            fail(r->who, "item 0 is of batch %.0f, item %u of batch %.0f", (double)rows[0][0], i,
                 (double)rows[i][0]);
        }
    }
    uint64_t number = (uint64_t)rows[0][0];
    if (number < acked || number < r->last) {
        fail(r->who, "it sees batch %llu; %llu was acknowledged, %llu was seen before",
             (unsigned long long)number, (unsigned long long)acked, (unsigned long long)r->last);
    }
    r->last = number;
    must(omen_count(r->c, &count, &err), &err, r->who, "count");
    if (count != ITEMS) {
        fail(r->who, "%llu items", (unsigned long long)count);
    }
    check_search(r, number);
}

static _Noreturn void read_all(const char *path, shared *s, uint32_t index, int go,
                               uint64_t batches)
{
    reader r = {.path = path};
    char byte;
    (void)snprintf(r.who, sizeof r.who, "reader %u", index);
    if (read(go, &byte, 1) != 1) {
        fail(r.who, "the writer did not begin");
    }
    open_reader(&r);
    look(&r, 1);
    for (bool more = true; more;) {
        omen_error err;
        more = !atomic_load(&s->done);
        uint64_t acked = atomic_load(&s->acked);
        if ((atomic_load(&s->looks[index]) + index) % REOPEN_EVERY == 0) {
            close_reader(&r);
            open_reader(&r);
        } else {
            must(omen_refresh(r.db, NULL, &err), &err, r.who, "refresh");
        }
        look(&r, acked);
        (void)atomic_fetch_add(&s->looks[index], 1);
    }
    close_reader(&r);
    if (r.last != batches) {
        fail(r.who, "it ends at batch %llu of %llu", (unsigned long long)r.last,
             (unsigned long long)batches);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t batches = argc > 1 ? strtoull(argv[1], NULL, 10) : 1500;
    uint32_t readers = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3;
    char folder[] = "readers-XXXXXX";
    char path[64];
    int go[2];
    shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED || mkdtemp(folder) == NULL || pipe(go) != 0 || readers > READERS_MOST) {
        perror("readers_test");
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/db", folder);
    for (uint32_t i = 0; i < readers; i++) { /* before the library has made a thread here */
        if (fork() == 0) {
            (void)close(go[1]); /* so that the end of the writer is noticed */
            read_all(path, s, i, go[0], batches);
        }
    }
    write_all(path, s, batches, go[1], readers);
    (void)close(go[1]);
    bool good = true;
    for (uint32_t i = 0; i < readers; i++) {
        int status = 0;
        good = wait(&status) > 0 && status == 0 && good;
    }
    for (uint32_t i = 0; i < readers; i++) {
        uint64_t looks = atomic_load(&s->looks[i]);
        (void)printf("readers_test: reader %u looked %llu times\n", i, (unsigned long long)looks);
        good = good && looks > 0;
    }
    if (good) {
        const char *const argv_rm[] = {"rm", "-rf", folder, NULL};
        char *words[4];
        memcpy(words, argv_rm, sizeof words);
        (void)execvp(words[0], words);
    }
    return 1;
}
