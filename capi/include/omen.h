/* omen.h - the public C interface of OmenDB (libomendb). What is not here is private.
 *
 * These rules hold for every declaration below and are not repeated.
 *  Status     A call that can fail returns omen_status_t. `err` may be NULL; if not, a failing call
 *             fills it and a succeeding call leaves it alone; it needs no initialisation.
 *             On failure no other out-parameter is touched, unless its comment says so.
 *  Ownership  Pointers passed in are borrowed until the call returns, never longer; what they point to
 *             must not change meanwhile (a batch is checksummed and written from there). What the library
 *             hands out has exactly one omen_<type>_free(), which accepts NULL and cannot fail.
 *             Handles may be freed in any order: a child keeps what it needs alive.
 *  Structs    [ext]: set struct_size = sizeof, zero the rest; zero means "default". Fields are only
 *             ever appended. Non-zero bytes past what the library knows give OMEN_UNIMPLEMENTED, so an
 *             old library never ignores a new option. [frozen]: the layout never changes.
 *  Threads    [T:any] any number of threads at once. [T:one] one thread at a time per handle.
 *             [T:last] nothing else may run on the handle, nothing may follow. No thread-local state
 *             survives a call; threads are neither registered nor counted.
 *  Fork       In a forked child every call on a handle from the parent returns
 *             OMEN_FAILED_PRECONDITION / OMEN_D_FORKED; a free call there releases nothing and is
 *             harmless. Open new handles in the child.
 *  Text       UTF-8, pointer and length, no NUL. Paths and names are NUL-terminated UTF-8.
 *  Integers   Enumerations are int32_t or uint32_t with named constants; expect unknown values.
 *  Limits     Every limit is a constant below; going over one is OMEN_INVALID_ARGUMENT (shape) or
 *             OMEN_RESOURCE_EXHAUSTED (memory), and the message names field, value and limit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OMEN_H
#define OMEN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
/* clang-format off */
#if defined(__GNUC__) && !defined(_WIN32)
#  define OMEN_API __attribute__((visibility("default")))
#  define OMEN_CALL OMEN_API __attribute__((warn_unused_result)) omen_status_t
#else
#  define OMEN_API
#  define OMEN_CALL omen_status_t
#endif

/* ---- Version ------------------------------------------------------------------------------------ */
#define OMEN_ABI_MAJOR 0u   /* the soname: changes only if an old binary would break. 0: no promise  */
#define OMEN_ABI_MINOR 4u   /* grows with every new symbol, field or constant                        */
OMEN_API uint32_t omen_abi_version(void);             /* MAJOR << 16 | MINOR of the loaded library   */
OMEN_API uint32_t omen_format_version(void);          /* the segment file version that omen_save writes */
OMEN_API const char *omen_version_string(void);       /* "0.1.0"; static storage                     */
/* 1 when the library has the feature and, for an instruction set, when this machine runs it; else 0.
 * Names: "mmap", "rotation", "scalar", "avx2", "avx512", "avx512vnni", "neon".                      */
OMEN_API int32_t omen_has_feature(const char *name);
/* The kernels in use ("scalar", "avx2", "avx512", "neon"); the environment variable OMEN_ISA_MAX,
 * read once at the first use, caps the choice. Static storage. */
OMEN_API const char *omen_isa_name(void);

/* ---- Limits ------------------------------------------------------------------------------------- */
#define OMEN_MAX_DIM             65535u
#define OMEN_MAX_K               16384u
#define OMEN_MAX_EF              16384u
#define OMEN_MAX_QUERIES         65536u          /* queries in one omen_search call                  */
#define OMEN_MAX_BATCH_BYTES     1073741824u     /* vectors + ids of one omen_add_batch: 1 GiB       */
#define OMEN_MAX_BATCH_ITEMS     16777216u
#define OMEN_MAX_STRING_ID       512u            /* bytes                                            */
#define OMEN_MAX_NAME            63u             /* collection name ^[a-z0-9][a-z0-9_-]{0,62}$       */
#define OMEN_MAX_STREAM_ID       128u            /* bytes                                            */
#define OMEN_MAX_REQUEST_ID      128u            /* bytes                                            */
#define OMEN_MAX_M               64u
#define OMEN_MAX_ROWS            2147483646u     /* rows of a collection, dead ones included         */
#define OMEN_MAX_METADATA        1048576u        /* bytes of JSON of one item                        */
#define OMEN_MAX_FIELDS          1024u           /* metadata fields of a collection                  */
#define OMEN_MAX_FIELD_NAME      128u            /* bytes; no control characters, no leading '$'     */
#define OMEN_MAX_ARRAY           65536u          /* elements of an array field, or of a bound array  */
#define OMEN_MAX_FILTER          65536u          /* bytes of a filter's text                         */
#define OMEN_MAX_FILTER_DEPTH    64u             /* of its parentheses and NOTs                      */
#define OMEN_MAX_FILTER_TERMS    1024u           /* conditions, list elements included               */
#define OMEN_MAX_PARAMS          1024u           /* $1 .. $1024                                      */
#define OMEN_MAX_LEGS            16u             /* of one request                                   */
#define OMEN_MAX_LIKE            1024u           /* keys of a leg LIKE                               */
#define OMEN_MAX_TEXT_QUERY      65536u          /* bytes; at most 1,024 words of it are used        */

/* ---- Status: the numbers are the canonical gRPC codes -------------------------------------------- */
typedef int32_t omen_status_t;
enum { OMEN_OK = 0, OMEN_CANCELLED = 1, OMEN_INVALID_ARGUMENT = 3, OMEN_DEADLINE_EXCEEDED = 4,
       OMEN_NOT_FOUND = 5, OMEN_ALREADY_EXISTS = 6, OMEN_RESOURCE_EXHAUSTED = 8,
       OMEN_FAILED_PRECONDITION = 9, OMEN_ABORTED = 10, OMEN_OUT_OF_RANGE = 11,
       OMEN_UNIMPLEMENTED = 12, OMEN_INTERNAL = 13, OMEN_UNAVAILABLE = 14, OMEN_DATA_LOSS = 15 };
enum { OMEN_D_NONE = 0, OMEN_D_NO_MEMORY = 1, OMEN_D_DIM_MISMATCH = 2, OMEN_D_NOT_FINITE = 3,
       OMEN_D_IO = 4, OMEN_D_CHECKSUM = 5, OMEN_D_FORMAT_VERSION = 6, OMEN_D_LOCKED = 7,
       OMEN_D_FORKED = 8, OMEN_D_FILTER_SYNTAX = 9, OMEN_D_STRUCT_SIZE = 10, OMEN_D_BUDGET = 11,
       OMEN_D_DISK_FULL = 12, OMEN_D_RATE = 13, OMEN_D_VERSION_CONFLICT = 14, OMEN_D_READ_ONLY = 15,
       OMEN_D_OUTCOME_UNKNOWN = 16, OMEN_D_LIMIT = 17, OMEN_D_NAME = 18, OMEN_D_SEQUENCE = 19,
       OMEN_D_BACKLOG = 20, OMEN_D_HANDLE = 21, OMEN_D_TYPE = 22,
       OMEN_D_METADATA = 23, OMEN_D_FIELD = 24 };  /* JSON that is none; a field that is not there     */
enum { OMEN_ERROR_RETRIABLE = 1u };      /* omen_error.flags: the same call may succeed if tried again */
#define OMEN_NONE UINT64_MAX             /* "no such key", "no such item"; refused as an id            */
typedef struct omen_error {              /* [frozen] 256 bytes, no pointers, nothing to free           */
    omen_status_t status;
    int32_t  detail;                     /* OMEN_D_*: the machine-readable reason                      */
    int32_t  sys_errno;                  /* of the system call that failed, else 0                     */
    uint32_t flags;                      /* OMEN_ERROR_*                                               */
    uint64_t item;                       /* index in the batch that failed, or OMEN_NONE               */
    char     message[232];               /* English, NUL-terminated, cut to fit                        */
} omen_error;
OMEN_API const char *omen_status_name(omen_status_t status);    /* "NOT_FOUND"; never NULL             */
OMEN_API const char *omen_detail_name(int32_t detail);          /* "DIM_MISMATCH"; never NULL          */

typedef struct omen_runtime    omen_runtime;     /* threads, memory budget, allocator, log             */
typedef struct omen_db         omen_db;          /* a set of named collections                         */
typedef struct omen_collection omen_collection;  /* one index with its ids                             */
typedef struct omen_rows       omen_rows;        /* fetched ids                                        */
typedef struct omen_op         omen_op;          /* watches and cancels one running call               */
typedef struct omen_filter     omen_filter;      /* a compiled condition on the items of a collection  */

/* n values of variable length: value i is data[offsets[i] .. offsets[i + 1]). This is the Arrow utf8
 * and binary layout (offset_bits 32; 64 for large_*): Arrow data passes uncopied. With offset_bits 0
 * offsets is NULL and every value has `width` bytes (UUIDs: 16). data NULL: absent. */
typedef struct omen_column {             /* [frozen] */
    const void *data;
    const void *offsets;                 /* n + 1 of int32_t or int64_t, ascending, or NULL            */
    uint32_t    offset_bits;             /* 0, 32 or 64                                                */
    uint32_t    width;                   /* bytes a value when offset_bits is 0                        */
} omen_column;

/* ---- Metadata: typed fields of items, written and read as JSON objects ---------------------------- */
/* string, int64, double, bool and arrays of them are inferred from the first value of a field (an int is
 * taken where a double is expected; a batch with both makes a double); the other types are declared. The
 * type of a field never changes. null and a missing field are the same. In JSON a TIME is RFC 3339 with a
 * zone ("2026-11-20T08:00:00Z", kept in microseconds), BYTES are base64, a GEO is {"lat": y, "lon": x} in
 * degrees, a TEXT is a string whose words are indexed for text search. Nested objects are refused. */
enum { OMEN_TYPE_STRING = 1, OMEN_TYPE_INT64 = 2, OMEN_TYPE_DOUBLE = 3, OMEN_TYPE_BOOL = 4,
       OMEN_TYPE_TIME = 5, OMEN_TYPE_BYTES = 6, OMEN_TYPE_GEO = 7, OMEN_TYPE_TEXT = 8,
       OMEN_TYPE_ARRAY = 0x100 };        /* or-ed to 1 .. 6                                            */
enum { OMEN_FIELD_STOP_WORDS = 1u,       /* TEXT: Lucene's 33 English stop words are left out          */
       OMEN_FIELD_NO_STEMMING = 2u };    /* TEXT: words as they are, folded                            */
typedef struct omen_field {              /* [frozen] */
    char     name[OMEN_MAX_FIELD_NAME + 8];  /* NUL-terminated UTF-8                                   */
    uint32_t type;                       /* OMEN_TYPE_*                                                */
    uint32_t flags;                      /* OMEN_FIELD_*                                               */
    float    weight;                     /* TEXT: of its score; 0: 1                                   */
    char     language[28];               /* TEXT: a Snowball algorithm, "english", "porter", ...;      */
} omen_field;                            /* "": english                                                */
/* Values that are bound to $1, $2, ... of a filter. More than one: for IN $1 and CONTAINS ANY $1. */
typedef struct omen_param {              /* [frozen] */
    uint32_t type;                       /* OMEN_TYPE_STRING, INT64, DOUBLE, BOOL, TIME or BYTES        */
    uint32_t count;                      /* 0 .. OMEN_MAX_ARRAY; with 0 any type fits                   */
    const void *data;                    /* int64_t (TIME: microseconds since 1970), double, uint8_t    */
                                         /* (BOOL) [count]; STRING and BYTES: the bytes                 */
    const uint64_t *offsets;             /* STRING and BYTES: [count + 1]                               */
} omen_param;

/* ---- Runtime: nothing is process-wide; two users in one process do not meet. [T:any] -------------- */
typedef struct omen_allocator {          /* [frozen] sized and aligned, as in Rust and Zig             */
    void *(*alloc)(void *ctx, size_t size, size_t align);               /* NULL on failure             */
    void  (*free)(void *ctx, void *ptr, size_t size, size_t align);
    void  *ctx;
} omen_allocator;
enum { OMEN_LOG_OFF = 0, OMEN_LOG_ERROR = 1, OMEN_LOG_WARN = 2, OMEN_LOG_INFO = 3, OMEN_LOG_DEBUG = 4 };
/* Runs on any thread, perhaps under internal locks: return soon, do not call back, do not unwind. */
typedef void (*omen_log_fn)(void *ctx, int32_t level, const char *module, const char *text, size_t len);
typedef struct omen_runtime_options {    /* [ext] */
    uint32_t struct_size, flags;
    uint32_t threads;                    /* build, background and batch-search workers; 0: one per core */
    int32_t  log_level;                  /* OMEN_LOG_*; 0: off                                          */
    uint64_t memory_limit;               /* bytes of index and scratch, 0: none; beyond it a write is   */
                                         /* refused with OMEN_RESOURCE_EXHAUSTED / OMEN_D_BUDGET        */
    omen_allocator allocator;            /* all NULL: the C library. Large arrays come from mmap and    */
                                         /* are counted in the limit all the same.                      */
    omen_log_fn log;                     /* NULL: silence                                               */
    void    *log_ctx;
} omen_runtime_options;
OMEN_CALL omen_runtime_create(const omen_runtime_options *opt, omen_runtime **out, omen_error *err);
OMEN_API void omen_runtime_free(omen_runtime *rt);

/* ---- Databases. [T:any] --------------------------------------------------------------------------- */
enum { OMEN_DURABILITY_DEFAULT = 0, OMEN_DURABILITY_NONE = 1, OMEN_DURABILITY_INTERVAL = 2,
       OMEN_DURABILITY_BATCH = 3 };       /* rising: a request may only raise its collection's level   */
enum { OMEN_WARM_CODES = 0, OMEN_WARM_NONE = 1, OMEN_WARM_ALL = 2 };  /* what is read ahead, in the back-  */
                                                                    /* ground: codes and links; nothing; all */
enum { OMEN_DB_READ_ONLY = 1u,           /* flags: any number of processes beside the one writer; they   */
                                         /* see the database as it was at open or at omen_refresh        */
       OMEN_DB_MUST_EXIST = 2u,          /* OMEN_NOT_FOUND instead of making an empty database           */
       OMEN_DB_RAM = 4u };               /* segments are copied into huge-page memory (and charged to    */
                                         /* the budget) instead of being served from mapped files        */
typedef struct omen_db_options {         /* [ext] */
    uint32_t struct_size, flags;
    omen_runtime *runtime;               /* NULL: a private one, with defaults                         */
    uint32_t warm;                       /* OMEN_WARM_*                                                */
    uint32_t interval_ms;                /* of fsync at OMEN_DURABILITY_INTERVAL; 0: 50                */
    uint64_t seal_bytes;                 /* raw vectors of the growing segment before it is sealed;     */
                                         /* 0: 512 MiB, less under a small memory limit                 */
    uint64_t seal_rows;                  /* rows likewise; 0: 262,144                                   */
    uint64_t reserve_bytes;              /* free disk space below which writes are refused with         */
                                         /* OMEN_D_DISK_FULL; 0: 5 % of the file system, at most 1 GiB  */
} omen_db_options;
/* path NULL: in memory; nothing is kept. Else a directory, made when it is missing (its parent must be
 * there). What was acknowledged at its durability level is there again after any end of the process or of
 * the machine; opening maps the segments, replays the end of the log and serves at once, while what was not
 * in the graph yet is indexed in the background. OMEN_FAILED_PRECONDITION / OMEN_D_LOCKED: another process
 * writes. OMEN_DATA_LOSS: the manifest is damaged, or the path holds files that are not ours. When the log
 * is damaged below what was once durable the database opens for reading: writes give
 * OMEN_FAILED_PRECONDITION / OMEN_D_READ_ONLY and omen_get_db_stats tells why. */
OMEN_CALL omen_db_open(const char *path, const omen_db_options *opt, omen_db **out, omen_error *err);
/* Collections stay alive as long as their handles. The last reference makes everything durable, seals
 * growing segments of 65,536 rows or more when their graph is complete, and unlocks the directory. */
OMEN_API void omen_db_free(omen_db *db);
/* Everything written so far into segment files, and the log trimmed. Blocks; writers go on. */
OMEN_CALL omen_checkpoint(omen_db *db, omen_op *op, omen_error *err);
/* Read-only databases: moves on to what the writer has made durable since; *changed (may be NULL) 1 if
 * there was something. Handles see it from then on. */
OMEN_CALL omen_refresh(omen_db *db, uint32_t *changed, omen_error *err);
enum { OMEN_DB_WRITABLE = 0, OMEN_DB_OPENED_READ_ONLY = 1, OMEN_DB_DISK_FULL = 2, OMEN_DB_FAILED = 3,
       OMEN_DB_DAMAGED = 4 };            /* state: FAILED: a log write failed, open again; DAMAGED: above */
#define OMEN_SYNC_TIMES 17u
typedef struct omen_db_stats {           /* [ext] a poll, cheap                                         */
    uint32_t struct_size, state;         /* OMEN_DB_*                                                   */
    uint64_t version, durable_version, checkpoint_version;
    uint64_t collections, segments, growing_rows;
    uint64_t log_bytes, segment_bytes, log_syncs, log_records;
    uint64_t disk_available;
    uint64_t checkpoints, seals, merges, replayed_records, replayed_ns, recovered_rows;
    char     reason[160];                /* of a state other than WRITABLE, NUL-terminated              */
    uint64_t log_written_bytes;          /* since the open; records with their frames                   */
    uint64_t log_unsynced_bytes;         /* of these: not on stable storage yet                         */
    uint64_t log_sync_ns;                /* time in all syncs                                           */
    uint64_t log_sync_times[OMEN_SYNC_TIMES];  /* syncs of at most 100 us << i; the last: that took longer */
} omen_db_stats;
OMEN_CALL omen_get_db_stats(omen_db *db, omen_db_stats *out, omen_error *err);

/* ---- Backups. [T:any] ------------------------------------------------------------------------------ */
enum { OMEN_BACKUP_COPY = 1u };          /* flags: copy always; else hard links where that is possible   */
typedef struct omen_backup_options {     /* [ext] */
    uint32_t struct_size, flags;
    omen_runtime *runtime;               /* of omen_restore and omen_verify; NULL: a private one         */
    const char *previous;                /* NULL, or an older backup: files that it has are linked from  */
                                         /* it, not read again (incremental)                             */
    omen_op *op;
} omen_backup_options;
typedef struct omen_backup_result {      /* [ext] */
    uint32_t struct_size, reserved;
    uint64_t version;                    /* everything durable up to it is in the backup                 */
    uint64_t files, bytes;               /* in all                                                       */
    uint64_t files_linked, bytes_copied; /* of these                                                     */
} omen_backup_result;
/* A consistent copy of db in a new directory `path`, while writes and searches go on. The directory is a
 * database with a list of its files and their checksums beside it; it appears whole (what a killed
 * backup leaves is "<path>.partial", which the next one to that path clears). */
OMEN_CALL omen_backup(omen_db *db, const char *path, const omen_backup_options *opt,
                      omen_backup_result *out, omen_error *err);
/* Checks a backup against its list and copies it into a new directory `to`, which omen_db_open opens. The
 * backup is not changed. OMEN_DATA_LOSS names the file that is missing, cut or changed. */
OMEN_CALL omen_restore(const char *from, const char *to, const omen_backup_options *opt,
                       omen_backup_result *out, omen_error *err);
/* Reads every byte of a database or backup (not open for writing meanwhile: OMEN_D_LOCKED) and checks all
 * checksums, links, maps and the log. Changes nothing. */
OMEN_CALL omen_verify(const char *path, const omen_backup_options *opt, omen_backup_result *out,
                      omen_error *err);

/* ---- Collections. [T:any] ------------------------------------------------------------------------- */
enum { OMEN_L2 = 1, OMEN_IP = 2, OMEN_COSINE = 3, OMEN_HAMMING = 4 };           /* metric              */
/* Distances, smaller is nearer: L2 is the squared Euclidean distance, IP is minus the inner product,
 * cosine is 1 - cos; a zero vector has cosine distance 1 to everything. HAMMING: UNIMPLEMENTED.       */
enum { OMEN_F32 = 1, OMEN_F16 = 2, OMEN_I8 = 3, OMEN_U8 = 4, OMEN_BF16 = 5, OMEN_B1 = 6 };  /* dtype   */
enum { OMEN_ID_U64 = 1, OMEN_ID_UUID = 2, OMEN_ID_STRING = 3 };                 /* id_type             */
enum { OMEN_QUANT_SQ8 = 1, OMEN_QUANT_NONE = 2 };         /* int8 traversal + exact rerank; or raw f32 */
enum { OMEN_ROTATE_AUTO = 0, OMEN_ROTATE_OFF = 1, OMEN_ROTATE_ON = 2 };
enum { OMEN_ENTRY_AUTO = 0, OMEN_ENTRY_SEEDS = 1, OMEN_ENTRY_HIERARCHY = 2 };
typedef struct omen_options {            /* [ext] */
    uint32_t struct_size, flags;
    uint32_t dim;                        /* 1 .. OMEN_MAX_DIM; required                                */
    uint32_t metric;                     /* 0: OMEN_L2                                                 */
    uint32_t dtype;                      /* of stored vectors; 0: OMEN_F32. They come back bit for bit. */
    uint32_t id_type;                    /* 0: OMEN_ID_U64                                             */
    uint32_t m;                          /* links chosen a new item; a node keeps 2m - 1; 0: 16        */
    uint32_t ef_construction;            /* 0: 100                                                     */
    uint32_t quantization;               /* 0: OMEN_QUANT_SQ8                                          */
    uint32_t rotation;                   /* OMEN_ROTATE_*                                              */
    uint32_t entry;                      /* OMEN_ENTRY_*                                               */
    uint32_t durability;                 /* level of acknowledged writes; 0: BATCH                     */
    uint64_t capacity_hint;              /* rows expected; a hint only                                 */
    uint64_t max_backlog_rows;           /* rows not yet in the graph before writers wait; 0: chosen   */
    const omen_field *fields;            /* [field_count] declared fields; omen_describe: NULL and 0   */
    uint64_t field_count;
} omen_options;
/* Creates an empty collection in db. OMEN_ALREADY_EXISTS, OMEN_INVALID_ARGUMENT. */
OMEN_CALL omen_create(omen_db *db, const char *name, const omen_options *opt, omen_collection **out,
                      omen_error *err);
enum { OMEN_OPEN_VERIFY = 1u };          /* flags: check every block and link now, not at first touch  */
typedef struct omen_open_options {       /* [ext] */
    uint32_t struct_size, flags;
    const char *file;                    /* a file written by omen_save: it is mapped read-only and    */
                                         /* becomes the collection `name` of db. NULL: a collection    */
                                         /* that db already has.                                       */
    uint32_t warm;                       /* OMEN_WARM_*: what is read ahead, in the background         */
    uint32_t reserved;
    omen_op *op;
} omen_open_options;
/* A handle to a collection of db. Costs O(1) whatever the size of the file. OMEN_NOT_FOUND,
 * OMEN_ALREADY_EXISTS (file given, name taken), OMEN_DATA_LOSS (the file is damaged). */
OMEN_CALL omen_open(omen_db *db, const char *name, const omen_open_options *opt, omen_collection **out,
                    omen_error *err);
OMEN_API void omen_collection_free(omen_collection *c);
/* Removes the collection from db; its memory goes with the last handle. Calls through other handles
 * return OMEN_NOT_FOUND from then on. */
OMEN_CALL omen_drop(omen_db *db, const char *name, omen_error *err);
/* Writes up to `capacity` names, each OMEN_MAX_NAME + 1 bytes and NUL-terminated, in ascending order
 * after `after` (NULL: from the first), and their number to *count. */
OMEN_CALL omen_list(omen_db *db, const char *after, char *names, size_t capacity, size_t *count,
                    omen_error *err);
/* What the collection was created with, defaults filled in. out: [ext], struct_size set. */
OMEN_CALL omen_describe(omen_collection *c, omen_options *out, omen_error *err);
/* Declares more fields. One that is there with the same type, flags, weight and language is fine; with
 * others it is OMEN_ALREADY_EXISTS / OMEN_D_FIELD, and none is added. Items written before have it null. */
OMEN_CALL omen_declare_fields(omen_collection *c, const omen_field *fields, uint64_t count, omen_error *err);
/* The fields in the order of their appearance: up to `capacity` of them and their number in all. */
OMEN_CALL omen_list_fields(omen_collection *c, omen_field *fields, uint64_t capacity, uint64_t *count,
                           omen_error *err);
/* Writes the collection as one checksummed segment file: to a temporary file beside `path`, fsynced,
 * then renamed over it, so that path holds the old or the new file, never a part. Waits until all rows
 * are in the graph. Writers are not blocked; rows written meanwhile are left out. */
OMEN_CALL omen_save(omen_collection *c, const char *path, omen_op *op, omen_error *err);

/* Merges all segments of the collection into one without dead rows: what searches fastest. Waits until all
 * rows are in the graph. Collections in memory: only the waiting. */
OMEN_CALL omen_optimize(omen_collection *c, omen_op *op, omen_error *err);
/* A read-only handle to the collection as it is now: searches, counts, scans and gets through it see exactly
 * the items of this version, whatever is written later. Free it soon: it keeps old segments alive. */
OMEN_CALL omen_snapshot(omen_collection *c, omen_collection **out, omen_error *err);
typedef struct omen_estimate_result {    /* [ext] bytes; within 10 % of what rows of random data take   */
    uint32_t struct_size, reserved;
    uint64_t memory_serving;             /* codes, links and ids in memory or page cache, of sealed rows */
    uint64_t memory_growing;             /* most that growing, sealing and merging take beside it        */
    uint64_t disk;                       /* segment files and log, after omen_optimize                   */
    uint64_t disk_peak;                  /* while merging                                                */
} omen_estimate_result;
/* What `rows` items with ids of `id_bytes` bytes (STRING) will take. */
OMEN_CALL omen_estimate(const omen_options *opt, uint64_t rows, uint32_t id_bytes,
                        omen_estimate_result *out, omen_error *err);

/* ---- Writing: a batch is all or nothing. [T:any] --------------------------------------------------- */
enum { OMEN_UPSERT = 1, OMEN_INSERT = 2, OMEN_UPDATE = 3,    /* INSERT: ALREADY_EXISTS if an id exists;  */
       OMEN_PATCH = 4 };                                     /* UPDATE: NOT_FOUND if one does not. PATCH: */
/* NOT_FOUND likewise; fields of the metadata are set, null ones unset, all others stay; the vector stays when
 * batch.vectors is NULL. The others replace the whole item. */
enum { OMEN_NOWAIT = 1u,                 /* return when queued; ask omen_wait for the rest              */
       OMEN_PER_ITEM = 2u,               /* refuse bad items only: item_status tells which              */
       OMEN_NO_THROTTLE = 4u };          /* at max_backlog_rows: RESOURCE_EXHAUSTED / BACKLOG at once,  */
                                         /* where the call would otherwise wait for the indexer         */
typedef struct omen_batch {              /* [ext] */
    uint32_t struct_size, flags;
    uint64_t count;
    const void *vectors;                 /* row i at (const char *)vectors + i * stride; any alignment  */
    uint64_t stride;                     /* bytes; 0: dense                                             */
    uint32_t dtype, dim;                 /* dtype 0: the collection's. f32 goes into f32 and f16;       */
                                         /* otherwise dtype must equal the collection's.                */
    const uint64_t *keys;                /* U64 collections: the ids. NULL: assigned, rising            */
    omen_column ids;                     /* UUID and STRING collections                                 */
    uint64_t *keys_out;                  /* NULL or [count]: the key of every item                      */
    int32_t  *item_status;               /* NULL or [count], with OMEN_PER_ITEM: omen_status_t          */
    uint32_t mode;                       /* 0: OMEN_UPSERT                                              */
    uint32_t durability;                 /* OMEN_DURABILITY_*; 0: the collection's                      */
    const char *stream_id;               /* NULL or a resumable stream: seq must be its last + 1;       */
    size_t   stream_id_len;              /* a seq at or below the last is acknowledged, not applied     */
    uint64_t seq;                        /* 1, 2, 3, ... within the stream                              */
    uint64_t stream_epoch;               /* of omen_stream_open; 0: not fenced                          */
    const char *request_id;              /* NULL or an idempotency token: the newest 65,536 of a        */
    size_t   request_id_len;             /* database are remembered, and a repeat is not applied again  */
    uint32_t crc;                        /* with stream_id: of the client's bytes, 0: none. The last seq  */
    uint32_t reserved;                   /* sent again with another crc is INVALID_ARGUMENT / SEQUENCE   */
    omen_column metadata;                /* absent, or a JSON object (or nothing: {}) an item            */
    const uint64_t *if_version;          /* NULL or [count]: write only while the item has this version  */
                                         /* (0: is not there), else ABORTED / VERSION_CONFLICT: read     */
                                         /* the item again first                                         */
} omen_batch;
typedef struct omen_write_result {       /* [ext] */
    uint32_t struct_size;
    uint32_t replayed;                   /* 1: stream_id/seq or request_id was seen before              */
    uint64_t version;                    /* of this write; the first one's when replayed                */
    uint64_t applied;                    /* items inserted or replaced, or deleted                      */
    uint64_t replaced;                   /* of these: items that existed                                */
    uint64_t refused;                    /* with OMEN_PER_ITEM                                          */
    uint64_t backlog_rows;               /* rows of the collection not yet in the graph                 */
} omen_write_result;
/* Adds or replaces items. Returns when the batch is durable at its level and visible to searches.
 * result may be NULL. On OMEN_NOT_FINITE, id and size errors err->item is the offending row. */
OMEN_CALL omen_add_batch(omen_collection *c, const omen_batch *batch, omen_write_result *result,
                         omen_op *op, omen_error *err);
/* Deletes items: by key, or (ids.data not NULL) by id; vectors, dtype, dim, mode are ignored. Absent
 * ones are skipped: result->applied counts the removed. Streams and request ids work as above. */
OMEN_CALL omen_delete_batch(omen_collection *c, const omen_batch *batch, omen_write_result *result,
                            omen_op *op, omen_error *err);
/* Deletes the items that pass; result->applied counts them. batch: NULL, or request_id, stream, durability. */
OMEN_CALL omen_delete_where(omen_collection *c, const omen_filter *filter, const omen_batch *batch,
                            omen_write_result *result, omen_op *op, omen_error *err);
/* Opens (or makes) a stream: *last_seq is the highest seq applied, 0 if none. The newest open fences the
 * older ones: a batch that carries an older *epoch is refused with OMEN_ABORTED / OMEN_D_SEQUENCE. */
OMEN_CALL omen_stream_open(omen_collection *c, const char *stream_id, size_t stream_id_len,
                           uint64_t *last_seq, uint64_t *epoch, omen_error *err);
enum { OMEN_WAIT_DURABLE = 1, OMEN_WAIT_VISIBLE = 2, OMEN_WAIT_INDEXED = 3 };
/* Blocks until everything up to `version` (0: all so far) is in the state. INDEXED also pushes the last,
 * incomplete micro-batch into the graph. timeout_us 0: no limit; else OMEN_DEADLINE_EXCEEDED. */
OMEN_CALL omen_wait(omen_collection *c, uint64_t version, uint32_t state, uint64_t timeout_us,
                    omen_op *op, omen_error *err);
typedef struct omen_write_progress {     /* [ext] a poll, never blocks                                  */
    uint32_t struct_size, reserved;
    uint64_t durable_version, visible_version, indexed_version;
    uint64_t backlog_rows, backlog_limit_rows, backlog_bytes;
} omen_write_progress;
OMEN_CALL omen_get_progress(omen_collection *c, omen_write_progress *out, omen_error *err);

/* ---- Filters. [T:any] ------------------------------------------------------------------------------ */
/* A condition as text:
 *   or   := and { OR and }        and := not { AND not }        not := [NOT] ( '(' or ')' | test )
 *   test := field ( = | != | < | <= | > | >= ) value | field [NOT] IN ( '(' value, ... ')' | $n )
 *         | field [NOT] BETWEEN value AND value | field IS [NOT] NULL | field [NOT] LIKE 'prefix%'
 *         | field [NOT] CONTAINS value | field [NOT] CONTAINS ( ANY | ALL ) ( '(' value, ... ')' | $n )
 *         | DISTANCE(field, lat, lon) ( < | <= | > | >= ) metres | TRUE | FALSE | a BOOL field alone
 * Words in any case. Fields: letters, digits, '_' and '.', or anything in double quotes. Values: 'text' ('' is
 * one quote), 12, -1.5e3, TRUE, FALSE, $1 .. $1024; a TIME is RFC 3339 text; BYTES are X'0aff'.
 * As in SQL a comparison with null is unknown, and what is unknown does not pass, nor does its NOT.
 * CONTAINS asks arrays (of fields that are no arrays: the value itself); text compares by its bytes; ints and
 * doubles compare by value. DISTANCE is along the sphere of radius 6,371,008.8 m.
 * OMEN_INVALID_ARGUMENT / OMEN_D_FILTER_SYNTAX (what was expected at which byte), OMEN_D_FIELD (no such field),
 * OMEN_D_TYPE (a value that the field cannot have), OMEN_D_LIMIT (also when its lists have more than 1,048,576
 * values in all, a bound array counted wherever it is used). A filter is used with the collection it was
 * compiled for, by any number of threads, and keeps answers that it has computed. */
OMEN_CALL omen_filter_compile(omen_collection *c, const char *text, size_t text_len,
                              const omen_param *params, uint64_t param_count, omen_filter **out,
                              omen_error *err);
/* The items of these keys (those that are there when a search runs). Any order; at most OMEN_MAX_ROWS. */
OMEN_CALL omen_filter_from_keys(omen_collection *c, const uint64_t *keys, uint64_t count,
                                omen_filter **out, omen_error *err);
OMEN_API void omen_filter_free(omen_filter *filter);
/* Live items that pass; filter NULL: all. */
OMEN_CALL omen_count_where(omen_collection *c, const omen_filter *filter, uint64_t *count, omen_error *err);
/* Values of a field and how many passing items have each (of an array: each of its different values),
 * most frequent first, ties by value: at most `limit` (0: none) in *out, as columns OMEN_FIELD_VALUE (JSON
 * values) and OMEN_FIELD_COUNT (uint64_t). STRING, INT64, DOUBLE, BOOL, TIME and arrays of these. */
OMEN_CALL omen_facet(omen_collection *c, const omen_filter *filter, const char *field, uint32_t limit,
                     omen_rows **out, omen_error *err);

/* ---- Reading: neither blocks writers nor is blocked by them. [T:any] ------------------------------- */
enum { OMEN_EXACT = 1u,                  /* brute force over all rows with the same kernels             */
       OMEN_PARTIAL_OK = 2u,             /* at the deadline: best so far and OMEN_HITS_PARTIAL, not an error */
       OMEN_GRAPH_ONLY = 4u };           /* measure the graph: small collections are not scanned instead */
typedef struct omen_query {              /* [ext] */
    uint32_t struct_size, flags;
    const void *vectors;                 /* [count] rows                                                */
    uint64_t stride;                     /* bytes; 0: dense                                             */
    uint32_t dtype, dim;                 /* dtype 0: the collection's; f32 is always accepted           */
    uint32_t count, k;
    uint32_t ef;                         /* beam width; 0: chosen; raised to k when smaller             */
    uint32_t rerank;                     /* candidates re-scored in full precision; 0: chosen           */
    uint32_t threads;                    /* for count > 1: 0 all of the runtime, 1 the caller's only    */
    uint32_t reserved;
    uint64_t timeout_us;                 /* 0: none                                                     */
    uint64_t min_version;                /* read your writes: wait until this version is visible        */
    omen_op *op;
    const omen_filter *filter;           /* NULL: all items                                             */
} omen_query;
enum { OMEN_HITS_PARTIAL = 1u };         /* time ran out: the best found so far, still OMEN_OK          */
/* How a leg was answered; with several segments the plan of the one with most rows. EMPTY: nothing passes.
 * FILTER_*: the graph, with only passing items in the result: IN: walked as it is; HOP: over the neighbours of
 * what does not pass when few pass; BRIDGE: among passing items and the bridges between them; ABANDONED: such
 * a walk that cost more than reading all that pass, which was then done. */
enum { OMEN_PLAN_EXACT = 1, OMEN_PLAN_GRAPH = 2, OMEN_PLAN_EMPTY = 3, OMEN_PLAN_FILTER_IN = 4,
       OMEN_PLAN_FILTER_HOP = 5, OMEN_PLAN_FILTER_BRIDGE = 6, OMEN_PLAN_ABANDONED = 7, OMEN_PLAN_TEXT = 8,
       OMEN_PLAN_HYBRID = 9 };
OMEN_API const char *omen_plan_name(uint32_t plan);       /* "filter_in"; never NULL                    */
typedef struct omen_explain {            /* [frozen] of one query                                       */
    uint32_t plan, ef;
    uint64_t distances, hops, scanned, reranked;          /* graph distances; rows scanned; exact scores */
    uint64_t entry_ns, graph_ns, scan_ns, rerank_ns;
} omen_explain;
typedef struct omen_filter_explain {     /* [frozen] of one query                                       */
    double   estimated, selectivity;     /* share of passing items: guessed from the fields, and counted */
    uint64_t matches, tests;             /* passing items; rows tested while walking                    */
    uint64_t filter_ns, text_ns, fuse_ns;
    uint64_t postings, candidates;       /* text: postings decoded (rows not in an index yet have none); */
                                         /* items whose score was computed                              */
} omen_filter_explain;
typedef struct omen_hits {               /* [ext] the caller's arrays; row q starts at q * k            */
    uint32_t  struct_size, reserved;
    uint64_t *keys;                      /* [count * k] nearest first, ties by key; the rest OMEN_NONE  */
    float    *distances;                 /* NULL or [count * k]; the rest +infinity                     */
    uint32_t *counts;                    /* NULL or [count]                                             */
    uint32_t *flags;                     /* NULL or [count] of OMEN_HITS_*                              */
    omen_explain *explain;               /* NULL or [count]                                             */
    uint64_t  version;                   /* set: everything up to it was visible                        */
    omen_filter_explain *filters;        /* NULL or [count]                                             */
    float    *scores;                    /* omen_find with text or several legs: NULL or [k], larger is */
                                         /* better; the rest -infinity. distances are +infinity then.   */
    uint32_t *groups;                    /* omen_find with group_by: NULL or [k], 0, 1, ...             */
} omen_hits;
/* k nearest items of each query; fewer only when the collection has fewer. When a call of several queries
 * fails, the arrays of hits may hold the results of some. */
OMEN_CALL omen_search(omen_collection *c, const omen_query *query, omen_hits *hits, omen_error *err);
/* One search of several parts ("legs"), whose lists become one. With one vector leg (VECTOR or LIKE) hits->
 * distances are filled, else hits->scores.
 * Text: the first 1,024 words of a leg's text are used; over more than 16 fields the first 16,384 / fields.
 * Equal scores are ordered by key: pages (offset) fit together as long as nothing is written or merged. A
 * score depends on how many items have a word and on how long their texts are; deleted and replaced items
 * count until a merge drops them. On a snapshot that is counted over its own rows, so that its scores, and
 * its pages, stay the same whatever is written or merged later. */
enum { OMEN_LEG_VECTOR = 1, OMEN_LEG_TEXT = 2, OMEN_LEG_LIKE = 3 };
typedef struct omen_leg {                /* [ext] */
    uint32_t struct_size, flags;         /* OMEN_EXACT, OMEN_GRAPH_ONLY                                 */
    uint32_t kind;                       /* OMEN_LEG_*                                                  */
    uint32_t limit;                      /* its best that count; 0: max(100, offset + k), of one leg    */
                                         /* alone offset + k. Pages of several legs agree with each      */
                                         /* other when it is set, the same for all pages                 */
    const void *vector;                  /* VECTOR                                                      */
    uint32_t dtype, dim;                 /* as in omen_query                                            */
    uint32_t ef, rerank;                 /* VECTOR, LIKE                                                */
    const char *text;                    /* TEXT: words; of "..." the words one after the other         */
    size_t   text_len;
    const char *field;                   /* TEXT: NULL: all TEXT fields, by their weights               */
    const uint64_t *keys;                /* LIKE: the mean of the vectors of these items is the query,  */
    uint64_t key_count;                  /* and they are left out of its list (at most OMEN_MAX_K with  */
                                         /* them); 1 .. OMEN_MAX_LIKE                                   */
    float    weight;                     /* in the fusion; 0: 1; not negative                           */
    float    k1, b;                      /* TEXT: of BM25; both 0: 1.2 and 0.75                         */
    uint32_t reserved;
} omen_leg;
/* RRF: the sum of weight / (rank_constant + rank), rank 1 is the best (Cormack, Clarke, Buettcher 2009).
 * WEIGHTED: the sum of weight * s, s being 1 for the best of a leg's list and 0 for its last, linear in score
 * or distance between. An item that a leg did not find gets nothing from it. */
enum { OMEN_FUSE_RRF = 1, OMEN_FUSE_WEIGHTED = 2 };
enum { OMEN_FIND_MAX_DISTANCE = 16u,     /* flags: one vector leg: only items within max_distance       */
       OMEN_FIND_MIN_SCORE = 32u };      /* text or fused: only items with at least min_score           */
typedef struct omen_request {            /* [ext] */
    uint32_t struct_size, flags;         /* OMEN_PARTIAL_OK, OMEN_FIND_*                                */
    const omen_leg *legs;                /* [leg_count]; element i at i * legs[0].struct_size           */
    uint32_t leg_count;                  /* 1 .. OMEN_MAX_LEGS                                          */
    uint32_t k, offset;                  /* hits [offset, offset + k); offset + k <= OMEN_MAX_K         */
    uint32_t fusion;                     /* OMEN_FUSE_*; 0: RRF                                         */
    float    rank_constant;              /* RRF; 0: 60                                                  */
    float    max_distance, min_score;
    uint32_t group_size;                 /* with group_by: the best so many of each group; 0: 1         */
    const char *group_by;                /* NULL, or a field that is no array: k then counts groups of   */
                                         /* its values (null is one); hits: k * group_size at most       */
    const omen_filter *filter;           /* NULL: all items; applied inside every leg                    */
    uint64_t timeout_us, min_version;
    omen_op *op;
} omen_request;
/* hits: as of a query with count 1; arrays hold k (with group_by k * group_size) entries, groups in the
 * order of their best. */
OMEN_CALL omen_find(omen_collection *c, const omen_request *request, omen_hits *hits, omen_error *err);
/* The same for the common case: dense f32 queries, distances may be NULL, the caller's thread only. */
OMEN_CALL omen_search_f32(omen_collection *c, const float *queries, uint32_t count, uint32_t k,
                          uint32_t ef, uint64_t *keys, float *distances, omen_error *err);
/* Keys of ids (UUID and STRING collections; in U64 collections ids.data is uint64_t[count], width 8).
 * keys: [count], OMEN_NONE where absent. */
OMEN_CALL omen_lookup(omen_collection *c, const omen_column *ids, uint64_t count, uint64_t *keys,
                      omen_error *err);
/* Stored vectors of keys. out: row i at (char *)out + i * stride (0: dense), dtype the collection's
 * (0) or OMEN_F32. found: NULL or [count] of 0/1; with NULL an absent key is OMEN_NOT_FOUND. */
OMEN_CALL omen_get_vectors(omen_collection *c, const uint64_t *keys, uint64_t count, void *out,
                           uint64_t stride, uint32_t dtype, uint8_t *found, omen_error *err);
enum { OMEN_FIELD_ID = 1u, OMEN_FIELD_METADATA = 2u,  /* METADATA: a JSON object each, fields in order    */
       OMEN_FIELD_VERSION = 4u,                       /* VERSION: uint64_t each, for if_version; 0: absent */
       OMEN_FIELD_VALUE = 8u, OMEN_FIELD_COUNT = 16u };                       /* of omen_facet            */
/* The ids of keys as a column: 8 bytes each in U64 collections, 16 in UUID ones, variable in STRING
 * ones (64-bit offsets); an absent key has a value of length 0 (STRING) or all bits set. Metadata of an absent
 * key (OMEN_NONE too) has length 0, that of an item without any is {}. */
OMEN_CALL omen_fetch(omen_collection *c, const uint64_t *keys, uint64_t count, uint32_t fields,
                     omen_rows **out, omen_error *err);
/* The same with only the named fields in the metadata. */
OMEN_CALL omen_fetch_fields(omen_collection *c, const uint64_t *keys, uint64_t count, uint32_t fields,
                            const char *const *names, uint64_t name_count, omen_rows **out,
                            omen_error *err);
OMEN_API void omen_rows_column(const omen_rows *r, uint32_t field, omen_column *out);  /* lives as r    */
OMEN_API uint64_t omen_rows_count(const omen_rows *r);                  /* values of each column        */
OMEN_API void omen_rows_free(omen_rows *r);
OMEN_CALL omen_count(omen_collection *c, uint64_t *count, omen_error *err);
/* The keys of the live items, in the order they were written, or, once a collection has several
 * segments, of the keys: up to `capacity` of them from *cursor on
 * (0: the first), which is moved behind them. *count below capacity: that was the end. What is written
 * or deleted meanwhile may be seen or not; every other item is seen exactly once. */
OMEN_CALL omen_scan(omen_collection *c, uint64_t *cursor, uint64_t *keys, uint64_t capacity,
                    uint64_t *count, omen_error *err);
typedef struct omen_listing {            /* [ext] */
    uint32_t struct_size, flags;         /* OMEN_LIST_*                                                 */
    const omen_filter *filter;           /* NULL: all items                                             */
    const char *order_by;                /* NULL: in the order they were written; else a field that is   */
                                         /* no array, GEO or TEXT; nulls last, ties by key               */
    uint64_t after;                      /* OMEN_LIST_AFTER: the last key of the page before; it must    */
} omen_listing;                          /* be there (use a snapshot): else OMEN_NOT_FOUND              */
enum { OMEN_LIST_DESCENDING = 1u, OMEN_LIST_AFTER = 2u };
/* A page of the keys of live items that pass: up to `capacity` of them. *count below capacity: that was the
 * last page. Pages of one listing agree with each other on a snapshot. */
OMEN_CALL omen_list_items(omen_collection *c, const omen_listing *listing, uint64_t *keys,
                          uint64_t capacity, uint64_t *count, omen_error *err);

typedef struct omen_recall_options {     /* [ext] */
    uint32_t struct_size, flags;         /* OMEN_GRAPH_ONLY                                             */
    uint32_t k, ef;                      /* 0: 10 and the search default                                */
    uint32_t samples;                    /* stored rows used as queries; 0: 200                         */
    uint32_t reserved;
    uint64_t seed;
    const void *vectors;                 /* NULL, or [samples] queries of the caller                    */
    uint64_t stride;
    uint32_t dtype, dim;
} omen_recall_options;
typedef struct omen_recall {             /* [ext] */
    uint32_t struct_size, samples;
    double   recall, low, high;          /* mean and 95 % interval (Wilson); ties count as found        */
    double   distances;                  /* per query, mean                                             */
} omen_recall;
/* Searches sampled queries as a user would and exactly, and compares. */
OMEN_CALL omen_measure_recall(omen_collection *c, const omen_recall_options *opt, omen_recall *out,
                              omen_op *op, omen_error *err);

/* ---- Watching: poll or cancel a running call from another thread. [T:any] -------------------------- */
typedef struct omen_progress {           /* [frozen] */
    uint64_t done, total;
    uint32_t stage, reserved;
} omen_progress;
OMEN_CALL omen_op_create(omen_op **out, omen_error *err);
OMEN_API void omen_op_free(omen_op *op);                                /* after the call it watches    */
OMEN_API void omen_op_reset(omen_op *op);                               /* before it is used again      */
OMEN_API void omen_op_cancel(omen_op *op);                              /* async-signal-safe            */
OMEN_API void omen_op_progress(const omen_op *op, omen_progress *out);

typedef struct omen_stats {              /* [ext] a poll, cheap                                         */
    uint32_t struct_size, dim;
    uint64_t count, deleted, rows, indexed_rows, backlog_rows;
    uint64_t bytes_codes, bytes_links, bytes_ids, bytes_vectors, bytes_scratch;  /* in memory            */
    uint64_t bytes_mapped, bytes_disk;
    uint64_t searches, distances, hops, version;
    uint64_t retrained, clipped_rows;    /* quantiser: times re-trained, rows beyond its range          */
    uint32_t rotated, read_only;
    uint32_t segments, frozen;           /* in all; of these in memory, waiting to be written            */
    uint64_t bytes_metadata, bytes_text; /* in memory                                                    */
    uint64_t fields, text_rows;          /* fields of the metadata; rows whose words are indexed         */
} omen_stats;
OMEN_CALL omen_get_stats(omen_collection *c, omen_stats *out, omen_error *err);
typedef struct omen_runtime_stats {      /* [ext] */
    uint32_t struct_size, threads;
    uint64_t memory_limit, memory_used, memory_rejections;
} omen_runtime_stats;
OMEN_CALL omen_get_runtime_stats(omen_runtime *rt, omen_runtime_stats *out, omen_error *err);
/* clang-format on */
#ifdef __cplusplus
}
#endif
#endif
