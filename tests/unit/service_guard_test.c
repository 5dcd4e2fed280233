/* service_guard_test.c - the guard in front of protobuf-c, and the arena behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "unit.h"

#include "guard.h"
#include "omen/v1/collections.pb-c.h"
#include "omen/v1/items.pb-c.h"
#include "service_random.h"
#include "wwrite.h"

enum { ROUNDS = 3000 };

static const ProtobufCMessageDescriptor *const items_type =
    &omen__v1__batch_get_request__descriptor;

/* A message type that contains itself, which our protocol has not: for the depth limit. */
static const ProtobufCFieldDescriptor self_fields[1];
static const ProtobufCIntRange self_ranges[] = {{1, 0}, {0, 1}};
static const unsigned self_names[] = {0};
static const ProtobufCMessageDescriptor self_type = {.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
                                                     .name = "Self",
                                                     .short_name = "Self",
                                                     .c_name = "Self",
                                                     .package_name = "",
                                                     .sizeof_message =
                                                         sizeof(ProtobufCMessage) + sizeof(void *),
                                                     .n_fields = 1,
                                                     .fields = self_fields,
                                                     .fields_sorted_by_name = self_names,
                                                     .n_field_ranges = 1,
                                                     .field_ranges = self_ranges};
static const ProtobufCFieldDescriptor self_fields[1] = {{.name = "self",
                                                         .id = 1,
                                                         .label = PROTOBUF_C_LABEL_OPTIONAL,
                                                         .type = PROTOBUF_C_TYPE_MESSAGE,
                                                         .offset = sizeof(ProtobufCMessage),
                                                         .descriptor = &self_type}};

static bool nested(uint32_t levels, om_failure *f)
{
    uint8_t bytes[512];
    size_t size = 0;
    for (uint32_t i = 0; i < levels; i++) {
        uint8_t copy[sizeof bytes];
        memcpy(copy, bytes, size);
        om_wbuf w = om_wbuf_of(bytes, sizeof bytes);
        om_w_len(&w, 1, size);
        om_w_raw(&w, copy, size);
        assert_false(w.full);
        size = (size_t)(w.at - bytes);
    }
    return om_guard_check(&self_type, bytes, size, f);
}

static void test_depth(void **state)
{
    (void)state;
    om_failure f = {0};
    assert_true(nested(OM_GUARD_DEPTH - 1, &f));
    assert_false(nested(OM_GUARD_DEPTH, &f));
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(f.field, "self");
}

static void test_field_count(void **state)
{
    (void)state;
    om_failure f = {0};
    size_t size = 2 * (size_t)(OM_GUARD_FIELDS + 1);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 99 << 1 & 0x78; /* an unknown varint field with a one-byte tag */
        bytes[i + 1] = 1;
    }
    assert_true(om_guard_check(items_type, bytes, size - 2, &f));
    assert_false(om_guard_check(items_type, bytes, size, &f));
    free(bytes);
}

/* Refused, with words. */
static void refused(const ProtobufCMessageDescriptor *type, const char *bytes, size_t size)
{
    om_failure f = {0};
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    assert_null(om_guard_unpack(type, &arena, (const uint8_t *)bytes, size, &f));
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(f.reason, "MALFORMED");
    assert_true(strlen(f.message) > 10);
    om_arena_reset(&arena);
}
#define REFUSED(type, literal) refused((type), literal, sizeof literal - 1)

static void test_malformed(void **state)
{
    (void)state;
    REFUSED(items_type, "\x0a"); /* tag without length                       */
    REFUSED(items_type, "\x0a\x05"
                        "ab"); /* longer than the message                  */
    REFUSED(items_type, "\x0a\x02"
                        "a\0");              /* NUL in text                              */
    REFUSED(items_type, "\x0a\x02\xc3\x28"); /* not UTF-8                                */
    REFUSED(items_type, "\x12\x00\x12\x00"); /* singular message twice                   */
    REFUSED(items_type, "\x0b\x0c");         /* groups                                   */
    REFUSED(items_type, "\x0e\x00");         /* wire type 6                              */
    REFUSED(items_type, "\x00\x01");         /* field number 0                           */
    REFUSED(items_type, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"); /* more than 64 bits  */
    REFUSED(items_type, "\x21\x01\x02"); /* half a fixed64                           */
    REFUSED(items_type, "\x08\x01");     /* a number where text is: protobuf-c's view */
}

static void test_good(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x0a, 0x01, 'c', 0x12, 0x03, 0x1a, 0x01, 'x', 0x18, 0x01};
    om_failure f = {0};
    uint8_t room[512];
    om_arena arena;
    om_arena_init(&arena, room, sizeof room, sizeof room);
    Omen__V1__BatchGetRequest *q = om_guard_unpack(items_type, &arena, bytes, sizeof bytes, &f);
    assert_non_null(q);
    assert_string_equal(q->collection, "c");
    assert_int_equal(q->ids->n_str, 1);
    assert_string_equal(q->ids->str[0], "x");
    assert_true(q->with_vectors);
    om_arena_reset(&arena);
}

/* 32 KiB of empty sub-messages would need 60 times as much: the arena says no. */
static void test_amplification(void **state)
{
    (void)state;
    enum { BYTES = 32768 };
    static uint8_t bytes[BYTES];
    om_failure f = {0};
    om_arena arena;
    for (size_t i = 0; i < BYTES; i += 2) {
        bytes[i] = 0x0a; /* ListCollectionsResponse.collections */
    }
    om_arena_init(&arena, NULL, 0, 0);
    assert_null(om_guard_unpack(&omen__v1__list_collections_response__descriptor, &arena, bytes,
                                BYTES, &f));
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_true(arena.used <= OM_ARENA_SLACK + OM_ARENA_FACTOR * (size_t)BYTES);
    om_arena_reset(&arena);
}

static void test_random_damage(void **state)
{
    (void)state;
    uint64_t seed = 5;
    uint32_t taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[256];
        om_wbuf w = om_wbuf_of(bytes, sizeof bytes);
        om_w_string(&w, 1, "name");
        om_w_len(&w, 2, 30);
        om_w_len(&w, 1, 16);
        om_w_raw(&w, "0123456789abcdef", 16);
        om_w_string(&w, 3, "some text0");
        om_w_uint(&w, 3, 1);
        size_t size = (size_t)(w.at - bytes);
        for (uint32_t n = below(&seed, 3); n > 0; n--) {
            bytes[below(&seed, (uint32_t)size)] = (uint8_t)next_random(&seed);
        }
        uint8_t *exact = malloc(size);
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        om_failure f = {0};
        om_arena arena;
        om_arena_init(&arena, NULL, 0, 0);
        void *message = om_guard_unpack(items_type, &arena, exact, size, &f);
        assert_int_equal(message != NULL, f.code == 0);
        taken += message != NULL;
        om_arena_reset(&arena);
        free(exact);
    }
    assert_true(taken > 0 && taken < ROUNDS);
}

static void test_arena(void **state)
{
    (void)state;
    _Alignas(64) uint8_t room[256];
    om_arena arena;
    om_arena_init(&arena, room, sizeof room, 100000);
    uint8_t *first = om_arena_alloc(&arena, 10, 1);
    assert_ptr_equal(first, room);
    for (size_t align = 1; align <= 64; align *= 2) {
        uint8_t *p = om_arena_alloc(&arena, 100, align);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        memset(p, 1, 100);
    }
    uint8_t *big = om_arena_alloc(&arena, 50000, 64);
    assert_non_null(big);
    memset(big, 1, 50000);
    assert_null(om_arena_alloc(&arena, 100000 - arena.used + 1, 1));
    assert_non_null(om_arena_alloc(&arena, 100000 - arena.used, 1));
    om_arena_reset(&arena);
    assert_ptr_equal(om_arena_alloc(&arena, 10, 1), room);
    om_arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_field_count),
        cmocka_unit_test(test_malformed),     cmocka_unit_test(test_good),
        cmocka_unit_test(test_amplification), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
