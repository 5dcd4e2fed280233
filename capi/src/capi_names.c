/* capi_names.c - versions, features and the names of constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "om_version.h"
#include "omen.h"
#include "segfile.h"
#include "simd.h"

_Static_assert(OM_VERSION_ABI_MAJOR == OMEN_ABI_MAJOR, "the build and omen.h agree on the ABI");
_Static_assert(OM_VERSION_ABI_MINOR == OMEN_ABI_MINOR, "the build and omen.h agree on the ABI");

uint32_t omen_abi_version(void)
{
    return OMEN_ABI_MAJOR << 16 | OMEN_ABI_MINOR;
}

uint32_t omen_format_version(void)
{
    return OM_FORMAT_VERSION;
}

const char *omen_version_string(void)
{
    return OM_VERSION_STRING;
}

const char *omen_isa_name(void)
{
    return om_kernels_get()->name;
}

int32_t omen_has_feature(const char *name)
{
    if (name == NULL) {
        return 0;
    }
    if (strcmp(name, "mmap") == 0 || strcmp(name, "rotation") == 0) {
        return 1;
    }
    if (strcmp(name, "avx512vnni") == 0) {
        return om_kernels_by_name("avx512") != NULL && om_cpu_has("avx512vnni");
    }
    if (strcmp(name, "scalar") == 0 || strcmp(name, "avx2") == 0 || strcmp(name, "avx512") == 0 ||
        strcmp(name, "neon") == 0) {
        return om_kernels_by_name(name) != NULL;
    }
    return 0;
}

const char *omen_status_name(omen_status_t status)
{
    static const char *const names[] = {
        [OMEN_OK] = "OK",
        [OMEN_CANCELLED] = "CANCELLED",
        [OMEN_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [OMEN_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [OMEN_NOT_FOUND] = "NOT_FOUND",
        [OMEN_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [OMEN_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [OMEN_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [OMEN_ABORTED] = "ABORTED",
        [OMEN_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [OMEN_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [OMEN_INTERNAL] = "INTERNAL",
        [OMEN_UNAVAILABLE] = "UNAVAILABLE",
        [OMEN_DATA_LOSS] = "DATA_LOSS",
    };
    const int32_t count = (int32_t)(sizeof names / sizeof names[0]);
    return status >= 0 && status < count && names[status] != NULL ? names[status] : "UNKNOWN";
}

const char *omen_detail_name(int32_t detail)
{
    static const char *const names[] = {
        [OMEN_D_NONE] = "NONE",
        [OMEN_D_NO_MEMORY] = "NO_MEMORY",
        [OMEN_D_DIM_MISMATCH] = "DIM_MISMATCH",
        [OMEN_D_NOT_FINITE] = "NOT_FINITE",
        [OMEN_D_IO] = "IO",
        [OMEN_D_CHECKSUM] = "CHECKSUM",
        [OMEN_D_FORMAT_VERSION] = "FORMAT_VERSION",
        [OMEN_D_LOCKED] = "LOCKED",
        [OMEN_D_FORKED] = "FORKED",
        [OMEN_D_FILTER_SYNTAX] = "FILTER_SYNTAX",
        [OMEN_D_STRUCT_SIZE] = "STRUCT_SIZE",
        [OMEN_D_BUDGET] = "BUDGET",
        [OMEN_D_DISK_FULL] = "DISK_FULL",
        [OMEN_D_RATE] = "RATE",
        [OMEN_D_VERSION_CONFLICT] = "VERSION_CONFLICT",
        [OMEN_D_READ_ONLY] = "READ_ONLY",
        [OMEN_D_OUTCOME_UNKNOWN] = "OUTCOME_UNKNOWN",
        [OMEN_D_LIMIT] = "LIMIT",
        [OMEN_D_NAME] = "NAME",
        [OMEN_D_SEQUENCE] = "SEQUENCE",
        [OMEN_D_BACKLOG] = "BACKLOG",
        [OMEN_D_HANDLE] = "HANDLE",
        [OMEN_D_TYPE] = "TYPE",
        [OMEN_D_METADATA] = "METADATA",
        [OMEN_D_FIELD] = "FIELD",
    };
    const int32_t count = (int32_t)(sizeof names / sizeof names[0]);
    return detail >= 0 && detail < count ? names[detail] : "UNKNOWN";
}

const char *omen_plan_name(uint32_t plan)
{
    static const char *const names[] = {
        [OMEN_PLAN_EXACT] = "exact",           [OMEN_PLAN_GRAPH] = "graph",
        [OMEN_PLAN_EMPTY] = "empty",           [OMEN_PLAN_FILTER_IN] = "filter_in",
        [OMEN_PLAN_FILTER_HOP] = "filter_hop", [OMEN_PLAN_FILTER_BRIDGE] = "filter_bridge",
        [OMEN_PLAN_ABANDONED] = "abandoned",   [OMEN_PLAN_TEXT] = "text",
        [OMEN_PLAN_HYBRID] = "hybrid",
    };
    const uint32_t count = sizeof names / sizeof names[0];
    return plan < count && names[plan] != NULL ? names[plan] : "unknown";
}
