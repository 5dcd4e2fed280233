/* service_rt_test.c - start, drain and stop of the server without clients: addresses, ports, failures.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"

#include "colls.h"
#include "rpc.h"
#include "rt.h"

static omen_db *db;

static int open_db(void **state)
{
    (void)state;
    omen_db_options opt = {.struct_size = sizeof opt};
    return omen_db_open(NULL, &opt, &db, NULL) == OMEN_OK ? 0 : -1;
}

static int close_db(void **state)
{
    (void)state;
    omen_db_free(db);
    return 0;
}

static omen_status_t start(const char *const *listen, size_t count, om_rt **out, omen_error *err)
{
    om_rt_options opt = {.db = db, .listen = listen, .listen_count = count};
    return om_rt_start(&opt, out, err);
}

static void stop(om_rt *rt)
{
    om_rt_drain(rt, 1000);
    om_rt_stop(rt, 1000);
    om_rt_free(rt);
}

static bool can_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return ok;
}

static void test_kernel_chooses_ports(void **state)
{
    (void)state;
    static const char *const listen[] = {"127.0.0.1:0", "127.0.0.1:0"};
    om_rt *rt = NULL;
    omen_error err;
    assert_int_equal(start(listen, 2, &rt, &err), OMEN_OK);
    uint16_t first = om_rt_port(rt, 0);
    uint16_t second = om_rt_port(rt, 1);
    assert_true(first != 0 && second != 0 && first != second);
    assert_int_equal(om_rt_port(rt, 2), 0);
    assert_true(can_connect(first) && can_connect(second));
    om_rt_stats stats;
    om_rt_get_stats(rt, &stats);
    assert_int_equal(stats.in_flight, 0);
    assert_true(stats.oldest_beat_ns != 0 && stats.oldest_beat_ns != UINT64_MAX);
    stop(rt);
    assert_false(can_connect(first));
}

/* Two servers on one port would share the connections silently if the core had its way. */
static void test_taken_port(void **state)
{
    (void)state;
    static const char *const any[] = {"127.0.0.1:0"};
    om_rt *rt = NULL;
    om_rt *other = NULL;
    omen_error err = {0};
    char address[32];
    assert_int_equal(start(any, 1, &rt, &err), OMEN_OK);
    snprintf(address, sizeof address, "127.0.0.1:%u", om_rt_port(rt, 0));
    const char *const taken[] = {address};
    assert_int_equal(start(taken, 1, &other, &err), OMEN_UNAVAILABLE);
    assert_null(other);
    assert_non_null(strstr(err.message, address));
    assert_true(can_connect(om_rt_port(rt, 0)));
    stop(rt);
}

static void test_wrong_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"127.0.0.1:65536", "127.0.0.1", "127.0.0.1:7x",
                                        "192.0.2.1:0", "unix:/nonexistent/dir/sock"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        om_rt *rt = NULL;
        omen_error err = {0};
        assert_int_equal(start(&wrong[i], 1, &rt, &err),
                         i < 3 ? OMEN_INVALID_ARGUMENT : OMEN_UNAVAILABLE);
        assert_null(rt);
        assert_true(err.message[0] != '\0');
    }
    om_rt *rt = NULL;
    omen_error err;
    assert_int_equal(start(NULL, 0, &rt, &err), OMEN_INVALID_ARGUMENT);
}

static void test_unix_socket(void **state)
{
    (void)state;
    char dir[] = "/tmp/service_rt_XXXXXX";
    char path[64];
    char address[80];
    om_rt *rt = NULL;
    omen_error err;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sock", dir);
    snprintf(address, sizeof address, "unix:%s", path);
    const char *const listen[] = {address};
    /* A proxy that is in our group may connect whatever the umask is, and nobody else. */
    mode_t before = umask(0077);
    assert_int_equal(start(listen, 1, &rt, &err), OMEN_OK);
    (void)umask(before);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_int_equal(om_rt_port(rt, 0), 0);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    close(fd);
    stop(rt);
    unlink(path);
    rmdir(dir);
}

static void test_again_and_again(void **state)
{
    (void)state;
    static const char *const listen[] = {"127.0.0.1:0"};
    for (int round = 0; round < 5; round++) {
        om_rt *rt = NULL;
        omen_error err;
        assert_int_equal(start(listen, 1, &rt, &err), OMEN_OK);
        om_rt_set_serving(rt, true);
        if (round % 2 == 0) {
            om_rt_drain(rt, 0);
        }
        om_rt_stop(rt, 1000);
        om_rt_free(rt);
    }
    om_rt_free(NULL);
}

static void test_method_table(void **state)
{
    (void)state;
    bool search = false;
    assert_true(om_rpc_method_count >= 16);
    for (uint32_t i = 0; i < om_rpc_method_count; i++) {
        const om_rpc_method *m = &om_rpc_methods[i];
        char path[256];
        snprintf(path, sizeof path, "/%s/%s", m->service, m->name);
        assert_string_equal(m->path, path);
        assert_non_null(m->impl->message);
        search = search || strcmp(path, "/omen.v1.Items/Search") == 0;
    }
    assert_true(search);
}

static void test_collection_table(void **state)
{
    (void)state;
    omen_options opt = {.struct_size = sizeof opt, .dim = 4};
    omen_collection *handle = NULL;
    omen_error err;
    om_coll *a = NULL;
    om_coll *b = NULL;
    om_colls *colls = om_colls_create(db, NULL);
    assert_non_null(colls);
    assert_int_equal(om_colls_get(colls, "there", &a, &err), OMEN_NOT_FOUND);
    assert_int_equal(omen_create(db, "there", &opt, &handle, &err), OMEN_OK);
    omen_collection_free(handle);
    assert_int_equal(om_colls_get(colls, "there", &a, &err), OMEN_OK);
    assert_int_equal(om_colls_get(colls, "there", &b, &err), OMEN_OK);
    assert_ptr_equal(a, b);
    assert_int_equal(a->row_bytes, 16);
    om_coll_release(b);
    assert_int_equal(omen_drop(db, "there", &err), OMEN_OK);
    om_colls_forget(colls, "there");
    assert_int_equal(om_colls_get(colls, "there", &b, &err), OMEN_NOT_FOUND);
    uint64_t count = 0;
    assert_int_equal(omen_count(a->handle, &count, &err), OMEN_NOT_FOUND);
    om_coll_release(a);
    om_colls_free(colls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel_chooses_ports), cmocka_unit_test(test_taken_port),
        cmocka_unit_test(test_wrong_addresses),      cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_again_and_again),      cmocka_unit_test(test_method_table),
        cmocka_unit_test(test_collection_table),
    };
    return cmocka_run_group_tests(tests, open_db, close_db);
}
