/* config.h - the options of omend: flags, environment (OMEND_<NAME>), file, defaults, in this
 * order. Every option is one row of a table, which gives parsing, bounds, --help and
 * --print-config. A list that is given in one source replaces the whole list of the weaker ones.
 * Depends on: nothing.  Threads: one.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONFIG_H
#define OM_CONFIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    OM_CONFIG_MAX_LISTEN = 8,
    OM_CONFIG_MAX_OPEN = 64,
    OM_CONFIG_MAX_VALUE = 4096,      /* bytes of one value */
    OM_CONFIG_MAX_FILE = 256 * 1024, /* bytes of the configuration file */
    OM_CONFIG_MAX_ADDRESS = 262,     /* "[host]:port" with its end */
    OM_CONFIG_MAX_OPTIONS = 96
};
/* Exit codes of omend, from sysexits.h. */
enum {
    OM_EXIT_OK = 0,        /* a clean stop, --help, --version, --check-config */
    OM_EXIT_USAGE = 64,    /* a flag or an environment variable is wrong */
    OM_EXIT_DATA = 65,     /* the data folder is damaged, not ours, or of a newer version */
    OM_EXIT_INTERNAL = 70, /* could not start or go on: port taken, no memory, a failed log write */
    OM_EXIT_IO = 74,       /* a mapped file was cut under a background thread */
    OM_EXIT_LOCKED = 75,   /* another process has the data folder */
    OM_EXIT_CONFIG = 78    /* the file, the combination, or a file that it names is wrong */
};
/* Who may use the console. LOCAL: peers on this machine that call it by a name or an address of itself. ANY:
 * whoever reaches the port; credentials travel as they are, so that wants a proxy with TLS in front. */
enum { OM_CONSOLE_OFF = 0, OM_CONSOLE_LOCAL = 1, OM_CONSOLE_ANY = 2 };
enum { OM_CONFIG_RUN = 0, OM_CONFIG_HELP, OM_CONFIG_VERSION, OM_CONFIG_CHECK, OM_CONFIG_PRINT };

typedef struct om_config_open {
    char *name; /* of the collection */
    char *file;
} om_config_open;

typedef struct om_config {
    uint32_t action;                    /* OM_CONFIG_* */
    char *listen[OM_CONFIG_MAX_LISTEN]; /* "HOST:PORT", "[V6]:PORT", or "unix:/path" */
    size_t listen_count;
    char *admin_listen;                 /* NULL: no admin server */
    char *data_dir, *backup_dir;        /* NULL: none */
    uint32_t durability, warm;          /* OMEN_DURABILITY_*, OMEN_WARM_* */
    uint32_t interval_ms, seal_rows;    /* seal_rows 0: chosen */
    uint64_t seal_bytes, reserve_bytes; /* 0: chosen */
    bool ram;
    char *tls_cert, *tls_key, *tls_client_ca; /* NULL: not given */
    bool insecure_expose;
    char *catalog, *bootstrap_key_file, *audit_log;            /* NULL: not given */
    char *jwt_key, *jwt_algorithm, *jwt_issuer, *jwt_audience; /* NULL: not given */
    bool certificate_identities;
    uint32_t threads, search_workers, io_threads; /* 0: chosen */
    uint64_t memory_limit;                        /* bytes; 0: none. "auto" is resolved by load */
    uint32_t max_message_bytes, max_streams_per_connection, max_inflight;
    uint32_t max_connections, max_connections_per_address; /* 0: chosen, none */
    uint32_t max_collections_per_tenant;                   /* 0: any number   */
    uint32_t connection_idle_ms, connection_age_ms, connection_grace_ms;
    uint32_t keepalive_ms, keepalive_timeout_ms;
    uint32_t stalled_call_ms, max_resets; /* max_resets 0: any number */
    uint64_t stream_window_bytes;
    uint32_t predrain_ms, grace_ms, slow_log_ms; /* slow_log_ms 0: off */
    int32_t log_level;                           /* OMEN_LOG_* */
    uint32_t log_format;                         /* OM_SLOG_* */
    char *log_file;                              /* NULL: stderr */
    char *ready_file;                            /* NULL: none */
    uint32_t metrics_collections;
    uint32_t recall_sample, recall_cost; /* sample 0: off; cost: thousandths of one core */
    uint32_t console;                    /* OM_CONSOLE_* */
    om_config_open open[OM_CONFIG_MAX_OPEN];
    size_t open_count;
    char *file;                            /* the configuration file, NULL: none */
    uint8_t source[OM_CONFIG_MAX_OPTIONS]; /* where each value came from; for print */
} om_config;

typedef struct om_config_error {
    int exit_code;     /* OM_EXIT_USAGE or OM_EXIT_CONFIG */
    char message[512]; /* names option, source, value and limit */
} om_config_error;

/* Reads everything and checks it; environment is an array like environ, or NULL. False: *error says
 * why and *config holds nothing. Free with om_config_free. */
bool om_config_load(om_config *config, int argc, char *const *argv, char *const *environment,
                    om_config_error *error);
void om_config_free(om_config *config);
/* The next variable from environment[*at] on that looks like an option and is none, as a line to warn with,
 * without its value; moves *at behind it. False: no more. It is no error, since other programs set some. */
bool om_config_stray_variable(char *const *environment, size_t *at, char *out, size_t size);
void om_config_help(FILE *out);
/* Every option with its value, as a file that --config accepts. */
void om_config_print(const om_config *config, FILE *out);
/* True when `address` ("HOST:PORT", ...) can be reached from this machine only. */
bool om_config_is_loopback(const char *address);
/* Splits "HOST:PORT" or "[V6]:PORT"; host holds OM_CONFIG_MAX_ADDRESS. False: not of this form. */
bool om_config_split(const char *address, char *host, uint16_t *port);
/* The memory limit of this process's control group (v1 or v2) below `root` ("/" outside tests), or
 * of the machine when there is none; 0 when nothing is known. */
uint64_t om_config_cgroup_memory(const char *root);
/* What the engine may use of `most` bytes when memory-limit is auto, and what the transport may buffer: both
 * together, with some 30 MiB of code and tables, fit into it. 0: not known. */
uint64_t om_config_auto_memory(uint64_t most);
uint64_t om_config_transport_memory(uint64_t most);
#endif
