/* base.h - what every module shares: attributes, status macros, failure reports, checked arithmetic.
 * Status codes, limits and omen_error come from the public omen.h: one table for the whole system.
 * Depends on: nothing.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_BASE_H
#define OM_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

#define OM_NODISCARD __attribute__((warn_unused_result))
#define OM_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define OM_LIKELY(x) __builtin_expect(!!(x), 1)
#define OM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define OM_CACHE_LINE 64u

/* Invariants. Checked in debug, sanitizer and fuzz builds (OMEN_ASSERT >= 1), no code otherwise. */
#if defined(OMEN_ASSERT) && OMEN_ASSERT >= 1
#define om_assert(x) ((x) ? (void)0 : om_assert_failed(#x, __FILE__, __LINE__))
#else
#define om_assert(x) ((void)sizeof((x) ? 1 : 0))
#endif
_Noreturn void om_assert_failed(const char *expression, const char *file, int line);

/* Runs a call that returns a status; leaves through the function's `out:` label when it fails.
 * The function declares `omen_status_t status = OMEN_OK;` and returns it after `out:`. */
#define OM_TRY(call)             \
    do {                         \
        status = (call);         \
        if (status != OMEN_OK) { \
            goto out;            \
        }                        \
    } while (0)

/* Fills *err (which may be NULL) and returns `status`. The message names field, value and limit. */
omen_status_t om_fail(omen_error *err, omen_status_t status, int32_t detail, const char *format,
                      ...) OM_PRINTF(4, 5);
/* The same for item `item` of a batch. */
omen_status_t om_fail_item(omen_error *err, omen_status_t status, int32_t detail, uint64_t item,
                           const char *format, ...) OM_PRINTF(5, 6);
/* The same for a failed system call: appends the text of `sys_errno`. ENOSPC and EDQUOT become
 * RESOURCE_EXHAUSTED / DISK_FULL, ENOENT becomes NOT_FOUND, ENOMEM RESOURCE_EXHAUSTED / NO_MEMORY;
 * the rest `status` / OMEN_D_IO. */
omen_status_t om_fail_errno(omen_error *err, omen_status_t status, int sys_errno,
                            const char *format, ...) OM_PRINTF(4, 5);
/* OMEN_RESOURCE_EXHAUSTED / NO_MEMORY for `bytes` of `what`. */
omen_status_t om_fail_memory(omen_error *err, const char *what, uint64_t bytes);
#if defined(__clang_analyzer__) && !defined(OM_BASE_FAIL_C)
/* Static analysers do not see into these functions; this tells them that a failure is never OMEN_OK. */
#define om_fail_memory(...) ((void)om_fail_memory(__VA_ARGS__), OMEN_RESOURCE_EXHAUSTED)
#define om_fail(...) ((void)om_fail(__VA_ARGS__), OMEN_INTERNAL)
#define om_fail_errno(...) ((void)om_fail_errno(__VA_ARGS__), OMEN_INTERNAL)
#endif

static inline bool om_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool om_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline size_t om_round_up(size_t value, size_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}
static inline uint32_t om_min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t om_max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}
static inline uint64_t om_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Bytes of one component of an OMEN_F32 .. OMEN_U8 vector; 0 for types that are not stored. */
uint32_t om_dtype_width(uint32_t dtype);
const char *om_dtype_name(uint32_t dtype);   /* "f32"; "?" for unknown values */
const char *om_metric_name(uint32_t metric); /* "l2", "ip", "cosine"; "?"     */
#endif
