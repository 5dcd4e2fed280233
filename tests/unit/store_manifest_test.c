/* store_manifest_test.c - manifests as bytes: round trips, damage, hostile values, memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_manifest.h"
#include "store_sample.h"

static const om_alloc libc_alloc;

static uint8_t *encode(const om_manifest *m, size_t *size)
{
    omen_error err = {0};
    uint8_t *bytes = NULL;
    if (om_manifest_encode(&libc_alloc, m, &bytes, size, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal((uintptr_t)bytes % 8, 0);
    return bytes;
}

/* Reads a copy of exactly this size, so that a sanitizer sees a read behind the end. */
static omen_status_t decode_copy(const uint8_t *bytes, size_t size, om_manifest *out,
                                 omen_error *err)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    omen_status_t status = om_manifest_decode(&libc_alloc, copy, size, out, err);
    free(copy);
    return status;
}

static void round_trip(const om_manifest *m)
{
    omen_error err = {0};
    size_t size = 0, again = 0;
    uint8_t *bytes = encode(m, &size);
    om_manifest read;
    if (decode_copy(bytes, size, &read, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_false(read.read_only);
    manifest_assert_equal(m, &read);
    uint8_t *second = encode(&read, &again);
    assert_int_equal(size, again);
    assert_memory_equal(bytes, second, size);
    om_alloc_put(&libc_alloc, bytes, size, 8);
    om_alloc_put(&libc_alloc, second, again, 8);
    om_manifest_free(&libc_alloc, &read);
    om_manifest_free(&libc_alloc, &read); /* harmless when zeroed */
}

static void test_round_trips(void **unused)
{
    (void)unused;
    static uint8_t extra[OM_MANIFEST_MAX_EXTRA];
    manifest_sample s;
    manifest_sample_make(&s, 1);
    round_trip(&s.m);
    s.m.collection_count = 0;
    round_trip(&s.m);
    manifest_sample_make(&s, UINT64_MAX);
    s.m.compat = 5;
    round_trip(&s.m);
    for (uint32_t i = 0; i < sizeof extra; i++) {
        extra[i] = (uint8_t)(i * 7);
    }
    s.m.extra = extra;
    s.m.extra_bytes = sizeof extra;
    round_trip(&s.m);
    s.m.extra_bytes = 1;
    round_trip(&s.m);
    manifest_sample_make(&s, 7);
    memset(s.collections[2].name, 'z', OMEN_MAX_NAME); /* the longest name */
    s.collections[1].options.dim = OMEN_MAX_DIM;
    s.collections[0].segments[0].rows = OMEN_MAX_ROWS;
    s.collections[0].segments[1].live = 0;
    s.collections[0].segments[1].file_bytes = INT64_MAX;
    s.m.next_segment = UINT64_MAX;
    s.collections[0].segments[1].id = UINT64_MAX - 1;
    round_trip(&s.m);
}

/* ---- Values: each at its limit and one beyond, in both directions ---- */
typedef struct field_case {
    const char *name; /* part of the message */
    size_t at, width; /* in the encoded manifest */
    uint64_t good[2];
    uint64_t bad[3];
    uint32_t bad_count;
} field_case;
enum {
    C0 = sizeof(om_mf_header),          /* alpha */
    S0 = C0 + sizeof(om_mf_collection), /* its first segment */
    S1 = S0 + sizeof(om_mf_segment),    /* its second one */
    C1 = S1 + sizeof(om_mf_segment),    /* beta-2 */
    C2 = C1 + sizeof(om_mf_collection), /* gamma_3 */
    S2 = C2 + sizeof(om_mf_collection)
};
#define HEADER(field) offsetof(om_mf_header, field), sizeof((om_mf_header *)0)->field
#define IN_COLLECTION(field) \
    C0 + offsetof(om_mf_collection, field), sizeof(((om_mf_collection *)0)->field)
#define IN_SEGMENT(field) S1 + offsetof(om_mf_segment, field), sizeof(((om_mf_segment *)0)->field)

static const field_case field_cases[] = {
    {"none may be 0", offsetof(om_mf_header, generation), 8, {1, UINT64_MAX}, {0}, 1},
    {"none may be 0", offsetof(om_mf_header, next_segment), 8, {21, UINT64_MAX}, {0}, 1},
    {"not given out", offsetof(om_mf_header, next_segment), 8, {21, 22}, {20, 9}, 2},
    {"none may be 0", offsetof(om_mf_header, next_serial), 4, {12, UINT32_MAX}, {0}, 1},
    {"serial is 11", offsetof(om_mf_header, next_serial), 4, {12, 13}, {11}, 1},
    {"dim", IN_COLLECTION(dim), {1, OMEN_MAX_DIM}, {0, OMEN_MAX_DIM + 1, UINT32_MAX}, 3},
    {"metric", IN_COLLECTION(metric), {1, 3}, {0, 4, UINT32_MAX}, 3},
    {"dtype", IN_COLLECTION(dtype), {1, 4}, {0, 5, UINT32_MAX}, 3},
    {"type of ids", IN_COLLECTION(id_type), {1, 3}, {0, 4, UINT32_MAX}, 3},
    {": m is", IN_COLLECTION(m), {2, OMEN_MAX_M}, {1, OMEN_MAX_M + 1, UINT32_MAX}, 3},
    {"ef_construction", IN_COLLECTION(ef_construction), {1, OMEN_MAX_EF}, {0, OMEN_MAX_EF + 1}, 2},
    {"quantization", IN_COLLECTION(quantization), {1, 2}, {0, 3, UINT32_MAX}, 3},
    {"rotation", IN_COLLECTION(rotation), {0, 2}, {3, UINT32_MAX}, 2},
    {"entry", IN_COLLECTION(entry), {0, 2}, {3, UINT32_MAX}, 2},
    {"durability", IN_COLLECTION(durability), {1, 3}, {0, 4, UINT32_MAX}, 3},
    {"capacity hint", IN_COLLECTION(capacity_hint), {0, OMEN_MAX_ROWS}, {OMEN_MAX_ROWS + 1u}, 1},
    {"largest backlog",
     IN_COLLECTION(max_backlog_rows),
     {1, OMEN_MAX_ROWS},
     {0, OMEN_MAX_ROWS + 1u},
     2},
    {"flags", IN_COLLECTION(flags), {0, 0}, {1, UINT32_MAX}, 2},
    {"serial", IN_COLLECTION(serial), {1, 4}, {0, 12, UINT32_MAX}, 3},
    {"serial 11 belongs", IN_COLLECTION(serial), {2, 10}, {11}, 1},
    {"above what the collection contains",
     IN_COLLECTION(contained),
     {300, UINT64_MAX},
     {299, 0},
     2},
    {"not given out", IN_SEGMENT(id), {1, 39}, {0, 40, UINT64_MAX}, 3},
    {"segment 7 belongs", IN_SEGMENT(id), {6, 10}, {7}, 1},
    {"segment 20 belongs", IN_SEGMENT(id), {19, 21}, {20}, 1},
    {"size is that",
     IN_SEGMENT(file_bytes),
     {4120, INT64_MAX},
     {4119, 0, (uint64_t)INT64_MAX + 1},
     3},
    {"more rows than the limit",
     IN_SEGMENT(rows),
     {65, OMEN_MAX_ROWS},
     {OMEN_MAX_ROWS + 1u, UINT32_MAX},
     2},
    {"more live rows", IN_SEGMENT(live), {0, 65}, {66, UINT32_MAX}, 2},
    {"lsns are not behind", IN_SEGMENT(first_lsn), {90, 300}, {89, 301, UINT64_MAX}, 3},
    {"lsns are not behind", IN_SEGMENT(last_lsn), {90, 500}, {89, 0}, 2},
    {"lsns are above", IN_SEGMENT(last_lsn), {499, 500}, {501, UINT64_MAX}, 2},
};

static void test_values(void **unused)
{
    (void)unused;
    manifest_sample s;
    size_t size = 0;
    manifest_sample_make(&s, 3);
    uint8_t *bytes = encode(&s.m, &size);
    for (size_t i = 0; i < sizeof field_cases / sizeof field_cases[0]; i++) {
        const field_case *f = &field_cases[i];
        uint8_t old[8];
        memcpy(old, bytes + f->at, f->width);
        for (uint32_t v = 0; v < 2 + f->bad_count; v++) {
            omen_error err = {0};
            om_manifest m = {0};
            memcpy(bytes + f->at, v < 2 ? &f->good[v] : &f->bad[v - 2], f->width);
            manifest_reseal(bytes, size);
            omen_status_t status = decode_copy(bytes, size, &m, &err);
            if (status != (v < 2 ? OMEN_OK : OMEN_DATA_LOSS) ||
                (v >= 2 && strstr(err.message, f->name) == NULL)) {
                fail_msg("%s, value %u: status %d, %s", f->name, v, status, err.message);
            }
            om_manifest_free(&libc_alloc, &m);
        }
        memcpy(bytes + f->at, old, f->width);
    }
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

/* What decode refuses is not written either. */
static void refuse(om_manifest *m, omen_status_t want, const char *message)
{
    omen_error err = {0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(om_manifest_encode(&libc_alloc, m, &bytes, &size, &err), want);
    assert_null(bytes);
    if (strstr(err.message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
}

static void test_encode_refuses(void **unused)
{
    (void)unused;
    manifest_sample s;
    manifest_sample_make(&s, 0);
    refuse(&s.m, OMEN_INTERNAL, "generation 0");
    manifest_sample_make(&s, 1);
    s.collections[1].options.m = 65;
    refuse(&s.m, OMEN_INTERNAL, "'beta-2': m is 65, must be 2 to 64");
    manifest_sample_make(&s, 1);
    s.segments[3].id = 9;
    refuse(&s.m, OMEN_INTERNAL, "segment 9 belongs to 'alpha' and to 'gamma_3'");
    manifest_sample_make(&s, 1);
    s.collections[0].segment_count = OM_MANIFEST_MAX_SEGMENTS + 1;
    refuse(&s.m, OMEN_INTERNAL, "number of segments is 4097");
    manifest_sample_make(&s, 1);
    s.m.collection_count = OM_MANIFEST_MAX_COLLECTIONS + 1;
    refuse(&s.m, OMEN_INTERNAL, "number of collections");
    manifest_sample_make(&s, 1);
    s.m.compat = 1;
    s.m.extra_bytes = OM_MANIFEST_MAX_EXTRA + 1;
    refuse(&s.m, OMEN_INTERNAL, "bytes of features");
    manifest_sample_make(&s, 1);
    s.m.extra_bytes = 1;
    refuse(&s.m, OMEN_INTERNAL, "none without a feature");
    manifest_sample_make(&s, 1);
    s.m.ro_compat = 2;
    refuse(&s.m, OMEN_FAILED_PRECONDITION, "only reads");
    s.m.ro_compat = 0;
    s.m.read_only = true;
    refuse(&s.m, OMEN_FAILED_PRECONDITION, "only reads");
}

static void test_names(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"",   "_a",       "-a",   "A",  "a b", "a.b", "a/b",
                                      "..", "\xC3\xA9", "a\nb", "a{", "a`",  "a:"};
    static const char *const good[] = {"0", "9-_", "az", "alpha"};
    manifest_sample s;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        manifest_sample_make(&s, 1);
        (void)snprintf(s.collections[0].name, sizeof s.collections[0].name, "%s", bad[i]);
        refuse(&s.m, OMEN_INTERNAL, "name of collection 1 does not match");
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        manifest_sample_make(&s, 1);
        (void)snprintf(s.collections[0].name, sizeof s.collections[0].name, "%s", good[i]);
        round_trip(&s.m);
    }
    manifest_sample_make(&s, 1);
    memset(s.collections[2].name, 'z', sizeof s.collections[2].name);
    refuse(&s.m, OMEN_INTERNAL, "name of collection 3");
    manifest_sample_make(&s, 1);
    (void)snprintf(s.collections[1].name, sizeof s.collections[1].name, "alpha");
    refuse(&s.m, OMEN_INTERNAL, "'alpha' does not stand behind 'alpha'");
    (void)snprintf(s.collections[1].name, sizeof s.collections[1].name, "aaa");
    refuse(&s.m, OMEN_INTERNAL, "'aaa' does not stand behind 'alpha'");
}

/* ---- Damage ---- */
static void test_every_bit(void **unused)
{
    (void)unused;
    manifest_sample s;
    size_t size = 0, harmless = 0;
    manifest_sample_make(&s, 3);
    s.m.compat = 1;
    uint8_t extra[5] = {1, 2, 3, 4, 5};
    s.m.extra = extra;
    s.m.extra_bytes = sizeof extra;
    uint8_t *bytes = encode(&s.m, &size);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        om_manifest m = {0};
        omen_error err = {0};
        memcpy(copy, bytes, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(om_manifest_decode(&libc_alloc, copy, size, &m, &err), OMEN_DATA_LOSS);
        manifest_reseal(copy, size);
        omen_status_t status = om_manifest_decode(&libc_alloc, copy, size, &m, &err);
        if (status == OMEN_OK) { /* then it is a manifest like any other */
            harmless++;
            if (!m.read_only) {
                round_trip(&m);
            }
            om_manifest_free(&libc_alloc, &m);
        } else {
            assert_true(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
        }
    }
    assert_true(harmless > size); /* keys, lsns, reserved bytes */
    free(copy);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

static void test_every_cut(void **unused)
{
    (void)unused;
    manifest_sample s;
    size_t size = 0;
    manifest_sample_make(&s, 3);
    uint8_t *bytes = encode(&s.m, &size);
    uint8_t *copy = calloc(1, size + 8);
    assert_non_null(copy);
    for (size_t cut = 0; cut <= size + 8; cut++) {
        om_manifest m = {0};
        if (cut == size) {
            continue;
        }
        memcpy(copy, bytes, size);
        omen_status_t status = decode_copy(copy, cut, &m, NULL);
        assert_int_equal(status, OMEN_DATA_LOSS);
        /* The same with the size in the header and all checksums right. */
        if (cut >= sizeof(om_mf_header)) {
            uint64_t said = cut;
            memcpy(copy + offsetof(om_head, file_bytes), &said, sizeof said);
            manifest_reseal(copy, cut);
            assert_int_equal(decode_copy(copy, cut, &m, NULL), OMEN_DATA_LOSS);
        }
    }
    free(copy);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

typedef struct patch {
    size_t at;
    uint32_t value;
    omen_status_t status;
    const char *message;
} patch;

static void test_head(void **unused)
{
    (void)unused;
    static const patch patches[] = {
        {0, 0, OMEN_DATA_LOSS, "not its magic number"},
        {offsetof(om_head, format), 2, OMEN_UNIMPLEMENTED, "manifest format 2 is newer than 1"},
        {offsetof(om_head, format), 0, OMEN_DATA_LOSS, "format 0"},
        {offsetof(om_head, header_bytes), 127, OMEN_DATA_LOSS, "header size 127"},
        {offsetof(om_head, incompat), 4, OMEN_UNIMPLEMENTED, "needs features 00000004"},
        {offsetof(om_head, byte_order), 0x04030201, OMEN_DATA_LOSS, "byte order mark 04030201"},
        {offsetof(om_head, file_bytes), 10, OMEN_DATA_LOSS, "something was appended"},
        {offsetof(om_head, file_bytes), 100000, OMEN_DATA_LOSS, "it was cut off"},
        {offsetof(om_mf_header, collections), 4, OMEN_DATA_LOSS, "collection 4 needs 160 bytes"},
        {offsetof(om_mf_header, collections), 2, OMEN_DATA_LOSS, "stand behind the collections"},
        {offsetof(om_mf_header, collections), UINT32_MAX, OMEN_DATA_LOSS, "are left"},
        {offsetof(om_mf_header, extra_bytes), 1, OMEN_DATA_LOSS, "the header says 1"},
        {C0 + offsetof(om_mf_collection, segments), UINT32_MAX, OMEN_DATA_LOSS, "are left"},
        {C0 + offsetof(om_mf_collection, segments), 3, OMEN_DATA_LOSS, "collection"},
        {C0 + 60, 0x61000000, OMEN_DATA_LOSS, "does not end in zeros"},
        {C0 + 8, 0x00000061, OMEN_DATA_LOSS, "does not end in zeros"},
    };
    manifest_sample s;
    size_t size = 0;
    manifest_sample_make(&s, 3);
    uint8_t *bytes = encode(&s.m, &size);
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        om_manifest m = {0};
        omen_error err = {0};
        uint32_t old;
        memcpy(&old, bytes + patches[i].at, sizeof old);
        memcpy(bytes + patches[i].at, &patches[i].value, sizeof old);
        manifest_reseal(bytes, size);
        assert_int_equal(decode_copy(bytes, size, &m, &err), patches[i].status);
        if (strstr(err.message, patches[i].message) == NULL) {
            fail_msg("'%s' is not in '%s'", patches[i].message, err.message);
        }
        memcpy(bytes + patches[i].at, &old, sizeof old);
    }
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

/* Unknown read-only features: it can be read, and is not written. */
static void test_read_only_features(void **unused)
{
    (void)unused;
    manifest_sample s;
    size_t size = 0;
    om_manifest m;
    const uint32_t feature = 0x80000000u;
    manifest_sample_make(&s, 3);
    uint8_t *bytes = encode(&s.m, &size);
    memcpy(bytes + offsetof(om_head, ro_compat), &feature, sizeof feature);
    manifest_reseal(bytes, size);
    assert_int_equal(decode_copy(bytes, size, &m, NULL), OMEN_OK);
    assert_true(m.read_only);
    assert_int_equal(m.ro_compat, feature);
    refuse(&m, OMEN_FAILED_PRECONDITION, "features 80000000");
    om_manifest_free(&libc_alloc, &m);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

static void test_size_limit(void **unused)
{
    (void)unused;
    om_manifest m = {0};
    omen_error err = {0};
    const uint8_t byte = 0;
    assert_int_equal(
        om_manifest_decode(&libc_alloc, &byte, (size_t)OM_MANIFEST_MAX_BYTES + 1, &m, &err),
        OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, "above the limit of 1073741824"));
}

/* 4,096 segments in each of 4,096 collections would take more than 1 GiB. */
static void test_too_many_bytes(void **unused)
{
    (void)unused;
    enum { COUNT = 4096 };
    manifest_sample s;
    manifest_sample_make(&s, 1);
    om_manifest_collection *list = calloc(COUNT, sizeof *list);
    assert_non_null(list);
    for (uint32_t i = 0; i < COUNT; i++) {
        list[i].segment_count = COUNT;
    }
    s.m.collections = list;
    s.m.collection_count = COUNT;
    refuse(&s.m, OMEN_RESOURCE_EXHAUSTED, "above the limit of 1073741824");
    free(list);
}

/* Every allocation fails once, for reading and for writing. */
static void test_without_memory(void **unused)
{
    (void)unused;
    manifest_sample s;
    size_t size = 0;
    uint8_t extra[3] = {0};
    manifest_sample_make(&s, 3);
    s.m.compat = 1;
    s.m.extra = extra;
    s.m.extra_bytes = sizeof extra;
    uint8_t *bytes = encode(&s.m, &size);
    omen_status_t status = OMEN_INTERNAL;
    uint64_t calls = 0;
    for (; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_manifest m = {0};
        omen_error err = {0};
        status = om_manifest_decode(&alloc, bytes, size, &m, &err);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        om_manifest_free(&alloc, &m);
        assert_int_equal(scarce.blocks, 0);
    }
    assert_int_equal(calls, 6); /* collections, two arrays of segments, extra, the check */
    status = OMEN_INTERNAL;
    for (calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        uint8_t *again = NULL;
        size_t length = 0;
        status = om_manifest_encode(&alloc, &s.m, &again, &length, NULL);
        om_alloc_put(&alloc, again, length, 8);
        assert_int_equal(scarce.blocks, again == NULL && status == OMEN_OK ? 1 : 0);
    }
    assert_int_equal(calls, 3);
    om_alloc_put(&libc_alloc, bytes, size, 8);
}

/* Ten thousand collections with a segment each: read once through one buffer. */
static void test_ten_thousand(void **unused)
{
    (void)unused;
    enum { COUNT = 10000 };
    manifest_sample s;
    size_t size = 0;
    manifest_sample_make(&s, 1);
    om_manifest_segment *segments = calloc(COUNT, sizeof *segments);
    om_manifest_collection *list = calloc(COUNT, sizeof *list);
    assert_non_null(segments);
    assert_non_null(list);
    for (uint32_t i = 0; i < COUNT; i++) {
        list[i] = s.collections[0];
        (void)snprintf(list[i].name, sizeof list[i].name, "tenant-%05u", i);
        list[i].serial = COUNT - i;
        segments[i] = s.segments[0];
        segments[i].id = (uint64_t)i * 7919 % 1000003 + 1;
        list[i].segments = &segments[i];
        list[i].segment_count = 1;
    }
    s.m.collections = list;
    s.m.collection_count = COUNT;
    s.m.next_serial = COUNT + 1;
    s.m.next_segment = 1000010;
    round_trip(&s.m);
    uint8_t *bytes = encode(&s.m, &size);
    assert_int_equal(size, 128 + COUNT * 224);
    om_alloc_put(&libc_alloc, bytes, size, 8);
    free(list);
    free(segments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_encode_refuses), cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_bit),      cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_head),           cmocka_unit_test(test_read_only_features),
        cmocka_unit_test(test_size_limit),     cmocka_unit_test(test_too_many_bytes),
        cmocka_unit_test(test_without_memory), cmocka_unit_test(test_ten_thousand),
    };
    return cmocka_run_group_tests_name("store manifest", tests, NULL, NULL);
}
