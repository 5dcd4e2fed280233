/* os_vm.c - address space that is reserved once and committed in steps: arrays grow without moving, so
 * readers keep their pointers. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"

#define SMALL_STEP ((size_t)64 << 10)
#define HUGE_STEP ((size_t)2 << 20)

omen_status_t om_vm_reserve(om_vm *vm, size_t bytes, om_budget *budget, omen_error *err)
{
    memset(vm, 0, sizeof *vm);
    if (bytes == 0 || bytes > SIZE_MAX / 2 - 2 * HUGE_STEP) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, "cannot reserve %zu bytes",
                       bytes);
    }
    size_t want = om_round_up(bytes, HUGE_STEP);
    size_t span = want + HUGE_STEP; /* the kernel aligns to small pages only */
    uint8_t *raw = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        return om_fail_errno(err, OMEN_RESOURCE_EXHAUSTED, errno, "cannot reserve %zu bytes", want);
    }
    size_t before = (size_t)(om_round_up((uintptr_t)raw, HUGE_STEP) - (uintptr_t)raw);
    size_t after = span - before - want;
    /* Giving back the ends can only fail for want of memory for the kernel's own lists. What stays
     * mapped then costs address space, nothing else. */
    if (before != 0) {
        (void)munmap(raw, before);
    }
    if (after != 0) {
        (void)munmap(raw + before + want, after);
    }
    vm->base = raw + before;
    vm->reserved = want;
    vm->budget = budget;
    return OMEN_OK;
}

omen_status_t om_vm_commit(om_vm *vm, size_t bytes, omen_error *err)
{
    om_assert(vm->base != NULL);
    if (bytes <= vm->committed) {
        return OMEN_OK;
    }
    if (bytes > vm->reserved) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "%zu bytes do not fit in the %zu that are reserved", bytes, vm->reserved);
    }
    size_t upto = om_round_up(bytes, bytes < HUGE_STEP ? SMALL_STEP : HUGE_STEP);
    size_t more = upto - vm->committed;
    if (vm->budget != NULL && !om_budget_take(vm->budget, more)) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BUDGET,
                       "memory limit: %zu more bytes, %llu in use, limit %llu", more,
                       (unsigned long long)atomic_load(&vm->budget->used),
                       (unsigned long long)vm->budget->limit);
    }
    if (mprotect(vm->base + vm->committed, more, PROT_READ | PROT_WRITE) != 0) {
        int failed = errno;
        if (vm->budget != NULL) {
            om_budget_give(vm->budget, more);
        }
        return om_fail_errno(err, OMEN_RESOURCE_EXHAUSTED, failed, "cannot commit %zu bytes", more);
    }
    if (upto >= HUGE_STEP) {
        /* A wish: kernels without huge pages refuse it and everything works all the same. */
        (void)madvise(vm->base, upto, MADV_HUGEPAGE);
    }
    vm->committed = upto;
    return OMEN_OK;
}

void om_vm_release(om_vm *vm)
{
    if (vm->base == NULL) {
        return;
    }
    int failed = munmap(vm->base, vm->reserved);
    om_assert(failed == 0);
    (void)failed;
    if (vm->budget != NULL) {
        om_budget_give(vm->budget, vm->committed);
    }
    memset(vm, 0, sizeof *vm);
}

/* ---- Hints ------------------------------------------------------------------------------------------- */
/* The whole pages that a range touches, or (inside) those that it fills. */
static size_t pages_of(const void *base, size_t bytes, bool inside, uint8_t **start)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)base;
    uintptr_t last = first + bytes;
    first = inside ? om_round_up(first, page) : first & ~(page - 1);
    last = inside ? last & ~(page - 1) : om_round_up(last, page);
    *start = (uint8_t *)first;
    return first < last ? (size_t)(last - first) : 0;
}

void om_pages_wanted(const void *base, size_t bytes)
{
#ifdef MADV_POPULATE_READ
    uint8_t *start;
    size_t length = pages_of(base, bytes, false, &start);
    if (length != 0) {
        (void)madvise(start, length, MADV_POPULATE_READ); /* older kernels: read at first use */
    }
#else
    (void)base;
    (void)bytes;
#endif
}

void om_pages_done(const void *base, size_t bytes)
{
#ifdef MADV_COLD
    uint8_t *start;
    size_t length = pages_of(base, bytes, true, &start);
    if (length != 0) {
        (void)madvise(start, length, MADV_COLD);
    }
#else
    (void)base;
    (void)bytes;
#endif
}
