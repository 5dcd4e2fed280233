/* fuzz_wire_guard.c - guard, arena and protobuf-c on any bytes, as each message that the server
 * unpacks. The first byte chooses the message. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "guard.h"
#include "omen/v1/collections.pb-c.h"
#include "omen/v1/items.pb-c.h"
#include "omen/v1/maintenance.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &omen__v1__create_collection_request__descriptor,
        &omen__v1__list_collections_request__descriptor,
        &omen__v1__list_collections_response__descriptor,
        &omen__v1__batch_get_request__descriptor,
        &omen__v1__count_request__descriptor,
        &omen__v1__search_request__descriptor,
        &omen__v1__batch_search_request__descriptor,
        &omen__v1__measure_recall_request__descriptor,
        &omen__v1__list_request__descriptor,
        &omen__v1__declare_fields_request__descriptor,
        &grpc__health__v1__health_check_request__descriptor,
        &grpc__reflection__v1__server_reflection_request__descriptor};
    if (size == 0) {
        return 0;
    }
    const ProtobufCMessageDescriptor *type = types[data[0] % (sizeof types / sizeof types[0])];
    om_failure f = {0};
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    ProtobufCMessage *message = om_guard_unpack(type, &arena, data + 1, size - 1, &f);
    if (message != NULL) {
        /* What was taken can be written again. */
        size_t packed = protobuf_c_message_get_packed_size(message);
        uint8_t *out = malloc(packed + 1);
        if (out != NULL && protobuf_c_message_pack(message, out) != packed) {
            abort();
        }
        free(out);
    } else if (f.code == 0) {
        abort();
    }
    om_arena_reset(&arena);
    return 0;
}
