/* reflect.c - server reflection, v1 and v1alpha (the same bytes), out of the tables of descgen.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "impls.h"
#include "method_util.h"

enum { MAX_FILES = 64, MAX_SERVICES = 64 };

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

typedef struct reflection {
    bool half_closed, writing;
} reflection;

static const om_desc_file *file_by_name(const char *name)
{
    for (uint32_t i = 0; i < om_desc_file_count; i++) {
        if (strcmp(om_desc_files[i].name, name) == 0) {
            return &om_desc_files[i];
        }
    }
    return NULL;
}

static int compare_symbol(const void *key, const void *entry)
{
    return strcmp(key, ((const om_desc_symbol *)entry)->name);
}

static const om_desc_file *file_by_symbol(const char *name)
{
    const om_desc_symbol *s = bsearch(name, om_desc_symbols, om_desc_symbol_count,
                                      sizeof om_desc_symbols[0], compare_symbol);
    return s != NULL ? &om_desc_files[s->file] : NULL;
}

/* The file, then everything it imports, each once. Returns their number. */
static size_t with_imports(const om_desc_file *file, ProtobufCBinaryData *out)
{
    const om_desc_file *list[MAX_FILES] = {file};
    size_t count = 1;
    for (size_t i = 0; i < count; i++) {
        for (const uint32_t *d = list[i]->depends; *d != UINT32_MAX; d++) {
            bool have = false;
            for (size_t k = 0; k < count; k++) {
                have = have || list[k] == &om_desc_files[*d];
            }
            if (!have && count < MAX_FILES) {
                list[count++] = &om_desc_files[*d];
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        /* protobuf-c has no const data; packing only reads. */
        out[i] = (ProtobufCBinaryData){list[i]->size, (uint8_t *)(uintptr_t)list[i]->bytes};
    }
    return count;
}

static void send_error(om_rpc *rpc, response_t *r, int32_t code, const char *text)
{
    Grpc__Reflection__V1__ErrorResponse e;
    grpc__reflection__v1__error_response__init(&e);
    e.error_code = code;
    e.error_message = (char *)(uintptr_t)text;
    r->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    r->error_response = &e;
    om_rpc_write_pb(rpc, &r->base);
    r->error_response = NULL;
}

static void send_file(om_rpc *rpc, response_t *r, const om_desc_file *file)
{
    ProtobufCBinaryData files[MAX_FILES];
    Grpc__Reflection__V1__FileDescriptorResponse f;
    grpc__reflection__v1__file_descriptor_response__init(&f);
    if (file == NULL) {
        send_error(rpc, r, OMEN_NOT_FOUND, "not known to this server");
        return;
    }
    f.n_file_descriptor_proto = with_imports(file, files);
    f.file_descriptor_proto = files;
    r->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    r->file_descriptor_response = &f;
    om_rpc_write_pb(rpc, &r->base);
    r->file_descriptor_response = NULL;
}

static void send_services(om_rpc *rpc, response_t *r)
{
    Grpc__Reflection__V1__ServiceResponse services[MAX_SERVICES];
    Grpc__Reflection__V1__ServiceResponse *pointers[MAX_SERVICES];
    Grpc__Reflection__V1__ListServiceResponse list;
    grpc__reflection__v1__list_service_response__init(&list);
    for (uint32_t i = 0; i < om_desc_service_count && i < MAX_SERVICES; i++) {
        grpc__reflection__v1__service_response__init(&services[i]);
        services[i].name = (char *)(uintptr_t)om_desc_services[i];
        pointers[i] = &services[i];
        list.n_service = i + 1;
    }
    list.service = pointers;
    r->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    r->list_services_response = &list;
    om_rpc_write_pb(rpc, &r->base);
    r->list_services_response = NULL;
}

static void answer(om_rpc *rpc, request_t *req)
{
    response_t r;
    grpc__reflection__v1__server_reflection_response__init(&r);
    r.valid_host = req->host;
    r.original_request = req;
    switch (req->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        send_file(rpc, &r, file_by_name(req->file_by_filename));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        send_file(rpc, &r, file_by_symbol(req->file_containing_symbol));
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(rpc, &r);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        send_error(rpc, &r, OMEN_NOT_FOUND, "these services have no extensions");
        break;
    default:
        send_error(rpc, &r, OMEN_INVALID_ARGUMENT, "message_request is not set");
    }
}

static void message(om_rpc *rpc, om_rpc_message *received)
{
    reflection *s = om_rpc_state(rpc);
    if (received == NULL) {
        s->half_closed = true;
        if (!s->writing) {
            om_rpc_finish(rpc, NULL);
        }
        return;
    }
    /* Every question has its own memory: the stream may go on for long. */
    om_arena_reset(om_rpc_arena(rpc));
    request_t *req =
        om_rpc_unpack(rpc, received, &grpc__reflection__v1__server_reflection_request__descriptor);
    if (req != NULL) {
        s->writing = true;
        answer(rpc, req);
    }
}

/* The next question is read only after the answer has left. */
static void written(om_rpc *rpc)
{
    reflection *s = om_rpc_state(rpc);
    s->writing = false;
    om_rpc_read(rpc);
}

static void drain(om_rpc *rpc)
{
    om_failure f;
    om_failure_set(&f, OMEN_UNAVAILABLE, "DRAINING", NULL, "the server is stopping");
    om_rpc_finish(rpc, &f);
}

#define IMPL                                                                       \
    {                                                                              \
        .verb = OM_VERB_ANY, .state_size = sizeof(reflection), .message = message, \
        .written = written, .drain = drain                                         \
    }
const om_rpc_impl om_impl_grpc_reflection_v1_ServerReflection_ServerReflectionInfo = IMPL;
const om_rpc_impl om_impl_grpc_reflection_v1alpha_ServerReflection_ServerReflectionInfo = IMPL;
