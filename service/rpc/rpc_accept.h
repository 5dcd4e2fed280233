/* rpc_accept.h - the transport's listening sockets, kept alive and bounded.
 * The gRPC core accepts whatever comes, and when a process has no descriptor left it closes the
 * listener for good (CVE-2023-4785). It calls accept4 through the dynamic linker, and a program's own
 * definition comes first: ours lets no more connections in than allowed, and answers a lack of
 * descriptors by turning a connection away. Other callers of accept4 get the system call.
 * Connections are known by descriptor and socket cookie, so that a descriptor used again is no
 * confusion; those that were closed are noticed when they are counted, once a second at least.
 * Depends on: metrics.h, slog.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RPC_ACCEPT_H
#define OM_RPC_ACCEPT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"
#include "slog.h"

enum {
    OM_ACCEPT_MAX_LISTENERS = 32,
    OM_ACCEPT_MAX_CONNECTIONS = 1 << 20,
    OM_ACCEPT_RESERVE = 256 /* descriptors that connections leave to files, at least */
};

typedef struct om_accept_options {
    const void *owner;         /* who may end it                                         */
    const char *const *listen; /* as given to the transport, which listens already */
    const uint16_t *ports;     /* the bound ones */
    size_t listen_count;
    uint32_t max_connections; /* 0: what the limit of descriptors allows, less a reserve */
    uint32_t max_per_address; /* of TCP peers; 0: no limit                               */
    uint32_t max_resets;      /* calls a second that a connection may cancel; ten times as many when
                                 their deadline is near; 0: any number */
    om_metrics *metrics;
    om_slog *log;
} om_accept_options;

/* Guards the listeners; one set at a time a process, the newest. False: no memory. */
bool om_accept_guard(const om_accept_options *options);
/* Ends that, when it is still the owner's. What its options pointed to is not used any more. */
void om_accept_leave(const void *owner);
/* The end of a server: new connections are turned away, and those that are open are shut down. What was
 * written to them still arrives. False: they are not the owner's, or nobody guards them. */
bool om_accept_close(const void *owner);
/* Counts what is open, and wakes a listener that had to turn its back. About once a second. */
void om_accept_tick(void);
/* Open connections when they were counted last, and what came since. */
uint32_t om_accept_connections(void);
/* The limit that is in force. */
uint32_t om_accept_limit(void);
/* A call of this peer ("ipv4:127.0.0.1:4711", as the transport writes it) was cancelled, near its
 * deadline or not. True: this was one too many, and the connection was cut. */
bool om_accept_note_reset(const char *peer, bool near, uint64_t now_ns);
/* Cuts the connection of this peer. True: it was cut. */
bool om_accept_cut_peer(const char *peer, uint32_t why, const char *text);
/* Cuts the connection that has received most bytes since connections were counted, when that is at
 * least `least`. True: it was cut. For memory and time that nothing else explains; why: OM_CUT_MEMORY,
 * OM_CUT_TIME. */
bool om_accept_cut_largest(uint64_t least, uint32_t why);
#endif
