/* remote.h - shared by the files that talk to a server: connecting, packing, calling, reading
 * answers.
 * Depends on: target.h, rpc_client.h, guard.h, the generated messages.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_REMOTE_H
#define OM_REMOTE_H
#include "guard.h"
#include "omen/v1/collections.pb-c.h"
#include "omen/v1/items.pb-c.h"
#include "omen/v1/maintenance.pb-c.h"
#include "rpc_client.h"
#include "target.h"

/* What is needed to connect, read once from the options and files. */
typedef struct om_endpoint {
    om_rpcc_options options;
    char *ca, *cert, *key; /* PEM texts */
    char *authorization;   /* "Bearer ...", or NULL */
    uint64_t timeout_ms;
} om_endpoint;
bool om_endpoint_load(const om_args *args, om_endpoint *out, om_tool_error *err);
void om_endpoint_free(om_endpoint *e);
/* Whether an address is of this machine, so that what is sent to it cannot be read on the way. */
bool om_endpoint_is_local(const char *address);
bool om_endpoint_connect(const om_endpoint *e, om_rpcc **out, om_tool_error *err);

/* A message as bytes; NULL when memory runs out. */
om_rpcc_buf *om_remote_pack(const ProtobufCMessage *message);
/* Takes over the status of a call and returns false. */
bool om_remote_fail(const om_endpoint *e, const om_rpcc_status *status, om_tool_error *err);
/* An answer, unpacked into the arena; NULL: *err is set. */
void *om_remote_unpack(const ProtobufCMessageDescriptor *type, om_rpcc_buf *from, om_arena *arena,
                       om_tool_error *err);
/* Sends a request, waits, unpacks the answer. NULL: *err is set. */
void *om_remote_call(const om_endpoint *e, om_rpcc *c, const char *method,
                     const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                     om_arena *arena, om_tool_error *err);

/* A connection without a collection. */
struct om_remote_link {
    om_endpoint endpoint;
    om_rpcc *client;
    om_arena arena;
};

/* Ids [first, first + count) as a message; strings are copied into *texts, to be freed. */
bool om_remote_ids(const om_ids *ids, size_t first, size_t count, Omen__V1__Ids *out, char ***texts,
                   om_tool_error *err);
/* Appends the ids of an answer. */
bool om_remote_take_ids(const Omen__V1__Ids *from, om_ids *to, om_tool_error *err);
size_t om_remote_ids_count(const Omen__V1__Ids *ids);
/* The texts of the wire messages are never written to, but have no const. */
char *om_remote_text(const char *text);

typedef struct om_remote_writer om_remote_writer;
typedef struct om_remote {
    om_target base;
    om_endpoint endpoint;
    om_rpcc *client;
    om_arena arena;
    const char *name; /* of the collection */
    om_remote_writer *writer;
    char token[128]; /* of the next page of a scan */
    bool listed;     /* there is none */
} om_remote;

extern const om_target_ops om_remote_ops;

bool om_remote_describe(om_target *base, om_target_info *info, om_tool_error *err);
bool om_remote_fields(om_target *base, om_field_list *out, om_tool_error *err);
bool om_remote_declare(om_target *base, const om_field_list *fields, om_tool_error *err);
bool om_remote_count(om_target *base, const om_condition *where, uint64_t *count,
                     om_tool_error *err);
bool om_remote_facet(om_target *base, const om_condition *where, const char *field, uint32_t limit,
                     om_facet *out, om_tool_error *err);
bool om_remote_get_items(om_target *base, const om_ids *ids, const om_item_parts *parts,
                         uint8_t *found, om_tool_error *err);
bool om_remote_erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err);
bool om_remote_erase_where(om_target *base, const om_condition *where, uint64_t *removed,
                           om_tool_error *err);
bool om_remote_find(om_target *base, const om_find_params *p, size_t query, om_search_result *r,
                    om_tool_error *err);
bool om_remote_scan(om_target *base, const om_scan_params *p, om_ids *ids,
                    const om_item_parts *parts, om_tool_error *err);
bool om_remote_search(om_target *base, const om_search_params *p, om_search_result *r,
                      om_tool_error *err);
bool om_remote_session_open(om_target *base, const om_search_params *p, size_t in_flight,
                            om_session **out, om_tool_error *err);
bool om_remote_session_step(om_session *base, uint64_t *latency_ns, om_tool_error *err);
void om_remote_session_close(om_session *base);
bool om_remote_write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err);
bool om_remote_write(om_target *base, const om_target_batch *batch, om_tool_error *err);
bool om_remote_write_end(om_target *base, om_target_written *out, om_tool_error *err);
void om_remote_writer_free(om_remote_writer *w);
/* A text nobody else will choose: for stream and request ids. */
void om_remote_random_id(char *out, size_t size, const char *prefix);
#endif
