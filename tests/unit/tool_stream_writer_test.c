/* tool_stream_writer_test.c - credit and resuming of the streaming client, alone and against a
 * model of a server that loses connections at random: every batch is applied once, in order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "stream_writer.h"

static int live; /* payloads not yet released */

static void release(void *payload)
{
    free(payload);
    live--;
}

static void *payload(void)
{
    void *p = malloc(1);
    assert_non_null(p);
    live++;
    return p;
}

static void credit(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    assert_int_equal(om_swriter_on_opened(w, 0, 100), OM_SWRITER_OK);
    assert_int_equal(om_swriter_next_seq(w), 1);
    assert_int_equal(om_swriter_push(w, payload(), 60), OM_SWRITER_OK);
    assert_true(om_swriter_has_room(w, 40));
    assert_false(om_swriter_has_room(w, 41));
    assert_int_equal(om_swriter_push(w, payload(), 60), OM_SWRITER_OK);
    assert_int_equal(om_swriter_send_next(w)->seq, 1);
    assert_null(om_swriter_send_next(w)); /* 120 > 100 */
    assert_int_equal(om_swriter_unacked_bytes(w), 60);
    assert_int_equal(om_swriter_on_window(w, 120), OM_SWRITER_OK);
    assert_int_equal(om_swriter_send_next(w)->seq, 2);
    assert_int_equal(om_swriter_on_ack(w, 1), OM_SWRITER_OK);
    assert_int_equal(om_swriter_unacked_bytes(w), 60);
    assert_false(om_swriter_idle(w));
    assert_int_equal(om_swriter_on_ack(w, 2), OM_SWRITER_OK);
    assert_true(om_swriter_idle(w));
    assert_int_equal(live, 0);
    assert_int_equal(om_swriter_push(w, payload(), 121), OM_SWRITER_TOO_LARGE);
    assert_int_equal(live, 0);
    om_swriter_free(w);
}

static void a_window_of_zero_lets_one_batch_through(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    (void)om_swriter_on_opened(w, 0, 100);
    (void)om_swriter_push(w, payload(), 60);
    (void)om_swriter_push(w, payload(), 40);
    (void)om_swriter_on_window(w, 0);
    assert_int_equal(om_swriter_send_next(w)->seq, 1);
    assert_null(om_swriter_send_next(w));
    (void)om_swriter_on_ack(w, 1);
    assert_int_equal(om_swriter_send_next(w)->seq, 2);
    om_swriter_free(w);
    assert_int_equal(live, 0);
}

/* A window that shrinks for a while says nothing about how large a batch may be. */
static void a_shrunk_window_takes_the_batches_of_before(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    assert_int_equal(om_swriter_on_opened(w, 0, 100), OM_SWRITER_OK);
    assert_int_equal(om_swriter_on_window(w, 10), OM_SWRITER_OK);
    assert_int_equal(om_swriter_push(w, payload(), 80), OM_SWRITER_OK);
    assert_non_null(om_swriter_send_next(w)); /* nothing else is under way */
    assert_int_equal(om_swriter_push(w, payload(), 20), OM_SWRITER_OK);
    assert_null(om_swriter_send_next(w));
    assert_int_equal(om_swriter_on_ack(w, 1), OM_SWRITER_OK);
    assert_non_null(om_swriter_send_next(w));
    assert_int_equal(om_swriter_push(w, payload(), 101), OM_SWRITER_TOO_LARGE);
    om_swriter_free(w);
}

static void a_reconnect_goes_on_behind_what_the_server_has(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    (void)om_swriter_on_opened(w, 0, 1000);
    for (int i = 0; i < 5; i++) {
        (void)om_swriter_push(w, payload(), 10);
        assert_int_equal(om_swriter_send_next(w)->seq, i + 1);
    }
    (void)om_swriter_on_ack(w, 1);
    om_swriter_on_disconnect(w);
    assert_null(om_swriter_send_next(w));
    /* Batches 2 and 3 had arrived although their acknowledgement was lost. */
    assert_int_equal(om_swriter_on_opened(w, 3, 1000), OM_SWRITER_OK);
    assert_int_equal(om_swriter_send_next(w)->seq, 4);
    assert_int_equal(om_swriter_send_next(w)->seq, 5);
    assert_null(om_swriter_send_next(w));
    assert_int_equal(om_swriter_unacked_bytes(w), 20);
    om_swriter_free(w);
    assert_int_equal(live, 0);
}

static void a_new_process_skips_what_the_server_has(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    (void)om_swriter_on_opened(w, 2, 1000);
    assert_true(om_swriter_is_applied(w));
    assert_int_equal(om_swriter_push(w, NULL, 0), OM_SWRITER_OK);
    assert_int_equal(om_swriter_push(w, NULL, 0), OM_SWRITER_OK);
    assert_false(om_swriter_is_applied(w));
    assert_int_equal(om_swriter_next_seq(w), 3);
    assert_true(om_swriter_idle(w));
    (void)om_swriter_push(w, payload(), 10);
    assert_int_equal(om_swriter_send_next(w)->seq, 3);
    om_swriter_free(w);
    assert_int_equal(live, 0);
}

static void lost_data_and_nonsense_are_told(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    (void)om_swriter_on_opened(w, 0, 1000);
    (void)om_swriter_push(w, payload(), 10);
    assert_int_equal(om_swriter_on_ack(w, 1), OM_SWRITER_PROTOCOL); /* not even sent */
    (void)om_swriter_send_next(w);
    assert_int_equal(om_swriter_on_ack(w, 2), OM_SWRITER_PROTOCOL);
    assert_int_equal(om_swriter_on_ack(w, 1), OM_SWRITER_OK);
    om_swriter_on_disconnect(w);
    assert_int_equal(om_swriter_on_opened(w, 0, 1000), OM_SWRITER_LOST);
    assert_int_equal(om_swriter_on_opened(w, 7, 1000), OM_SWRITER_PROTOCOL);
    assert_int_equal(om_swriter_on_opened(w, 1, 1000), OM_SWRITER_OK);
    om_swriter_free(w);
}

static void the_ring_is_bounded(void **state)
{
    (void)state;
    om_swriter *w = om_swriter_create(release);
    (void)om_swriter_on_opened(w, 0, UINT64_MAX);
    for (uint32_t i = 0; i < OM_SWRITER_BATCHES_MAX; i++) {
        assert_true(om_swriter_has_room(w, 1));
        assert_int_equal(om_swriter_push(w, payload(), 1), OM_SWRITER_OK);
    }
    assert_false(om_swriter_has_room(w, 1));
    assert_int_equal(om_swriter_push(w, payload(), 1), OM_SWRITER_NO_MEMORY);
    om_swriter_free(w);
    assert_int_equal(live, 0);
}

/* ---- Against a model ------------------------------------------------------------------------- */

typedef struct model {
    uint64_t applied;  /* of the server: the highest seq it has */
    uint64_t wire[64]; /* seqs under way on the connection, in order */
    size_t wire_len;
    uint64_t wire_bytes; /* sent and not acknowledged, as the server counts */
    uint64_t window;
    uint32_t rng;
} model;

static uint32_t roll(model *m, uint32_t n)
{
    m->rng = m->rng * 1664525u + 1013904223u;
    return (m->rng >> 8) % n;
}

static size_t size_of(uint64_t seq)
{
    return 1 + (size_t)(seq * 37 % 90);
}

/* The server takes the next batch off the wire; perhaps its acknowledgement arrives. */
static void deliver(model *m, om_swriter *w)
{
    if (m->wire_len == 0) {
        return;
    }
    uint64_t seq = m->wire[0];
    for (size_t i = 1; i < m->wire_len; i++) {
        m->wire[i - 1] = m->wire[i];
    }
    m->wire_len--;
    /* Exactly once, in order: it is the next one, and none is ever sent that the server told it
     * has. */
    assert_int_equal(seq, m->applied + 1);
    m->applied = seq;
    if (roll(m, 3) != 0) {
        assert_int_equal(om_swriter_on_ack(w, seq), OM_SWRITER_OK);
    }
}

static void reconnect(model *m, om_swriter *w)
{
    size_t arrive = m->wire_len > 0 ? roll(m, (uint32_t)m->wire_len + 1) : 0;
    for (size_t i = 0; i < arrive; i++) { /* some of it still gets through */
        assert_int_equal(m->wire[i], m->applied + 1);
        m->applied = m->wire[i];
    }
    m->wire_len = 0;
    om_swriter_on_disconnect(w);
    m->window = 50 + roll(m, 200);
    assert_int_equal(om_swriter_on_opened(w, m->applied, m->window), OM_SWRITER_OK);
}

static void random_connections(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 50; seed++) {
        enum { BATCHES = 300 };
        model m = {.rng = seed, .window = 100};
        om_swriter *w = om_swriter_create(release);
        (void)om_swriter_on_opened(w, 0, m.window);
        while (m.applied < BATCHES) {
            uint64_t next = om_swriter_next_seq(w);
            uint32_t action = roll(&m, 20);
            if (action == 0) {
                reconnect(&m, w);
            } else if (action < 8 && next <= BATCHES && size_of(next) <= m.window &&
                       om_swriter_has_room(w, size_of(next))) {
                assert_int_equal(om_swriter_push(w, payload(), size_of(next)), OM_SWRITER_OK);
            } else if (action < 14 && m.wire_len < 64) {
                const om_swriter_batch *b = om_swriter_send_next(w);
                if (b != NULL) {
                    m.wire[m.wire_len++] = b->seq;
                }
                /* More than the window only as a single batch, after the window has shrunk. */
                uint64_t unacked = om_swriter_unacked_bytes(w);
                assert_true(unacked <= m.window || unacked == size_of(om_swriter_acked_seq(w) + 1));
            } else {
                deliver(&m, w);
            }
        }
        assert_int_equal(om_swriter_on_ack(w, BATCHES), OM_SWRITER_OK);
        assert_true(om_swriter_idle(w));
        assert_int_equal(live, 0);
        om_swriter_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credit),
        cmocka_unit_test(a_window_of_zero_lets_one_batch_through),
        cmocka_unit_test(a_shrunk_window_takes_the_batches_of_before),
        cmocka_unit_test(a_reconnect_goes_on_behind_what_the_server_has),
        cmocka_unit_test(a_new_process_skips_what_the_server_has),
        cmocka_unit_test(lost_data_and_nonsense_are_told),
        cmocka_unit_test(the_ring_is_bounded),
        cmocka_unit_test(random_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
