/* remote_pack.h - parts of requests that several calls have: filters with their parameters, fields, lists of
 * texts. What is made lives in an arena; what it points to must live as long.
 * Depends on: remote.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_REMOTE_PACK_H
#define OM_REMOTE_PACK_H
#include "remote.h"

typedef struct om_packed_filter {
    char *text; /* "": none */
    size_t count;
    Omen__V1__Value **params;
} om_packed_filter;
bool om_remote_filter(const om_condition *where, om_arena *arena, om_packed_filter *out,
                      om_tool_error *err);
bool om_remote_pack_fields(const omen_field *fields, size_t count, om_arena *arena,
                           Omen__V1__Field ***out, om_tool_error *err);
/* The field names of a request; NULL and none are the same. */
char **om_remote_names(const om_texts *names, size_t *count);
/* A column of objects as a message. */
bool om_remote_metadata(const om_json_column *from, om_arena *arena, Omen__V1__Metadata *out,
                        om_tool_error *err);
/* Appends the n objects of an answer; an answer without any has n empty ones. */
bool om_remote_take_metadata(const Omen__V1__Metadata *from, size_t n, om_json_column *to,
                             om_tool_error *err);
#endif
