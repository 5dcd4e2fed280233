/* console_int.h - one call of the console's API, and what its parts share.
 * Depends on: console.h, rt_shared.h, jansson.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONSOLE_INT_H
#define OM_CONSOLE_INT_H
#include <jansson.h>
#include <pthread.h>

#include "console.h"
#include "failure.h"
#include "method_util.h"
#include "rt_shared.h"
#include "tenants.h"
#include "write_reader.h"

enum {
    OM_CONSOLE_SEARCH_MS = 10000, /* most that one search may take       */
    OM_CONSOLE_MAX_HITS = 1000,   /* of one search, and items of a page  */
    OM_CONSOLE_MAX_LIST = 500,    /* collections of one page             */
    OM_CONSOLE_MAX_BODY = 2 << 20 /* a vector of 65,535 numbers as text  */
};

typedef struct om_console_asset {
    const char *name;
    const unsigned char *data;
    size_t size;
} om_console_asset;
extern const om_console_asset
    om_console_assets[]; /* made by embed.c: page.html, page.css, page.js */
extern const size_t om_console_asset_count;

struct om_console {
    om_console_options options;
    int64_t started_unix;
    char *page;
    size_t page_size;
    char policy[512]; /* Content-Security-Policy of the page */
    om_admin_header_line page_headers[8];
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t idle;
    om_rt *rt; /* NULL: starting or stopping */
    uint32_t users;
    omen_op *ops[OM_ADMIN_WORKERS]; /* of the searches that run; a free one is NULL */
};

typedef struct om_console_call {
    om_console *console;
    const om_admin_request *request;
    const om_principal *who; /* never NULL */
    om_rt_shared *shared;    /* NULL: starting or stopping; only om_console_state copes with that */
    om_failure f;
} om_console_call;
/* The answer, or NULL with call->f filled. */
typedef json_t *(*om_console_fn)(om_console_call *call);

/* console_gate.c: who may come in, and the way around a call. */
bool om_console_admit_page(void *ctx, const om_admin_request *r, om_admin_answer *a);
bool om_console_admit_api(void *ctx, const om_admin_request *r, om_admin_answer *a);
void om_console_run(om_console *c, const om_admin_request *r, om_admin_answer *a, om_console_fn fn);
/* PERMISSION_DENIED unless the caller may do this to the collection (NULL: ADMIN). */
bool om_console_may(om_console_call *call, const char *collection, uint32_t verb);
/* The collection, when the caller may do this to it; else NULL. */
om_coll *om_console_coll(om_console_call *call, const char *name, uint32_t verb);
/* The request's JSON object. NULL: it is none. */
json_t *om_console_body(om_console_call *call);
/* INVALID_ARGUMENT unless all members of the object are among `names`, which a NULL ends. */
bool om_console_known(om_console_call *call, json_t *object, const char *const *names);
/* A member that is a text, or a number 0 .. max; absent ones are "" and 0. */
bool om_console_text(om_console_call *call, json_t *object, const char *name, const char **out);
bool om_console_number(om_console_call *call, json_t *object, const char *name, uint64_t max,
                       uint32_t *out);
bool om_console_flag(om_console_call *call, json_t *object, const char *name, bool *out);
/* Registers the op of a search, so that a stop cancels it. */
void om_console_op_begin(om_console *c, omen_op *op);
void om_console_op_end(om_console *c, omen_op *op);

/* The parts. */
json_t *om_console_state(om_console_call *call);
json_t *om_console_history(om_console_call *call);
json_t *om_console_slow(om_console_call *call);
json_t *om_console_collections(om_console_call *call);
json_t *om_console_collection(om_console_call *call);
json_t *om_console_search(om_console_call *call);
json_t *om_console_items(om_console_call *call);
json_t *om_console_operations(om_console_call *call);
json_t *om_console_start(om_console_call *call);
json_t *om_console_cancel(om_console_call *call);

/* console_json.c: numbers and names as JSON. Sizes and counts are far below 2^53; ids and versions, which
 * may not be, travel as texts, since a page has doubles only. */
json_t *om_console_u64(uint64_t value);
json_t *om_console_real(double value);                    /* null when it is not finite */
json_t *om_console_string(const char *text, size_t size); /* "" when it is no UTF-8 */
json_t *om_console_version(uint64_t value);
const char *om_console_metric(uint32_t metric);
const char *om_console_type(uint32_t dtype);
const char *om_console_id_type(uint32_t id_type);
/* Ids of hits or items as texts: U64 from keys, the others from the column (64-bit offsets). */
json_t *om_console_id(uint32_t id_type, uint64_t key, const omen_column *ids, size_t i);

/* console_ids.c: ids in a request's JSON, as the engine's columns. */
bool om_console_ids(om_console_call *call, const json_t *array, uint32_t id_type, om_arena *arena,
                    om_wire_ids *out);
#endif
