/* fault.c - the handler of SIGBUS. Everything in it is a plain system call or a lock-free atomic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include "config.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* initial-exec: reading it in a handler must not allocate. */
static _Thread_local _Atomic uint32_t *charged __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t replaced;
static uintptr_t page_size;

static void die(void)
{
    static const char text[] =
        "omend: a mapped file was cut, or its disk failed, while a background thread read it "
        "(SIGBUS); stopping\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    _exit(OM_EXIT_IO);
}

static void on_bus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t page = (uintptr_t)info->si_addr & ~(page_size - 1);
    (void)number;
    (void)context;
    if (charged == NULL ||
        info->si_code <= 0) { /* sent by somebody, or on a thread of the engine */
        die();
    }
    atomic_store(charged, 1);
    atomic_fetch_add(&replaced, 1);
    /* Writable: the tombstones of a segment are a private copy that may be written. */
    if (mmap((void *)page, page_size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        die();
    }
    errno = saved;
}

void om_fault_install(void)
{
    struct sigaction action;
    long size = sysconf(_SC_PAGESIZE);
    page_size = size > 0 ? (uintptr_t)size : 4096;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus;
    action.sa_flags = SA_SIGINFO;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

void om_fault_enter(_Atomic uint32_t *flag)
{
    charged = flag;
    atomic_signal_fence(memory_order_seq_cst); /* the handler runs on this thread */
}

void om_fault_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    charged = NULL;
}

uint64_t om_fault_count(void)
{
    return atomic_load(&replaced);
}
