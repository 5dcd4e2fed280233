// Errors of the library as Go values.
// SPDX-License-Identifier: Apache-2.0

package omen

/*
#include <omen.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"syscall"
)

// Code is the kind of failure: the canonical gRPC codes, so that library and service agree.
type Code int32

// The codes. A newer library may return others.
const (
	Cancelled          Code = C.OMEN_CANCELLED
	InvalidArgument    Code = C.OMEN_INVALID_ARGUMENT
	DeadlineExceeded   Code = C.OMEN_DEADLINE_EXCEEDED
	NotFound           Code = C.OMEN_NOT_FOUND
	AlreadyExists      Code = C.OMEN_ALREADY_EXISTS
	ResourceExhausted  Code = C.OMEN_RESOURCE_EXHAUSTED
	FailedPrecondition Code = C.OMEN_FAILED_PRECONDITION
	Aborted            Code = C.OMEN_ABORTED
	OutOfRange         Code = C.OMEN_OUT_OF_RANGE
	Unimplemented      Code = C.OMEN_UNIMPLEMENTED
	Internal           Code = C.OMEN_INTERNAL
	Unavailable        Code = C.OMEN_UNAVAILABLE
	DataLoss           Code = C.OMEN_DATA_LOSS
)

// String names the code, such as "NOT_FOUND".
func (c Code) String() string {
	return C.GoString(C.omen_status_name(C.omen_status_t(c)))
}

// Detail is the machine-readable reason beside a Code.
type Detail int32

// The details. A newer library may return others.
const (
	DetailNone            Detail = C.OMEN_D_NONE
	DetailNoMemory        Detail = C.OMEN_D_NO_MEMORY
	DetailDimMismatch     Detail = C.OMEN_D_DIM_MISMATCH
	DetailNotFinite       Detail = C.OMEN_D_NOT_FINITE
	DetailIO              Detail = C.OMEN_D_IO
	DetailChecksum        Detail = C.OMEN_D_CHECKSUM
	DetailFormatVersion   Detail = C.OMEN_D_FORMAT_VERSION
	DetailLocked          Detail = C.OMEN_D_LOCKED
	DetailForked          Detail = C.OMEN_D_FORKED
	DetailFilterSyntax    Detail = C.OMEN_D_FILTER_SYNTAX
	DetailStructSize      Detail = C.OMEN_D_STRUCT_SIZE
	DetailBudget          Detail = C.OMEN_D_BUDGET
	DetailDiskFull        Detail = C.OMEN_D_DISK_FULL
	DetailRate            Detail = C.OMEN_D_RATE
	DetailVersionConflict Detail = C.OMEN_D_VERSION_CONFLICT
	DetailReadOnly        Detail = C.OMEN_D_READ_ONLY
	DetailOutcomeUnknown  Detail = C.OMEN_D_OUTCOME_UNKNOWN
	DetailLimit           Detail = C.OMEN_D_LIMIT
	DetailName            Detail = C.OMEN_D_NAME
	DetailSequence        Detail = C.OMEN_D_SEQUENCE
	DetailBacklog         Detail = C.OMEN_D_BACKLOG
	DetailHandle          Detail = C.OMEN_D_HANDLE
	DetailType            Detail = C.OMEN_D_TYPE
	DetailMetadata        Detail = C.OMEN_D_METADATA // metadata that is no JSON object
	DetailField           Detail = C.OMEN_D_FIELD    // a field that is not there, or is declared otherwise
)

// String names the detail, such as "DIM_MISMATCH".
func (d Detail) String() string {
	return C.GoString(C.omen_detail_name(C.int32_t(d)))
}

// NoItem is the Item of an error that no single item is to blame for.
const NoItem = math.MaxUint64

// ErrClosed is returned by every method of a handle after Close.
var ErrClosed = errors.New("omen: the handle is closed")

// Error is a failed call. Use errors.As to get it.
type Error struct {
	Code      Code
	Detail    Detail
	Item      uint64        // position in the batch, or NoItem
	Errno     syscall.Errno // of the system call that failed, or 0
	Retriable bool          // the same call may succeed if tried again
	Message   string
}

// Error names the code and says what happened.
func (e *Error) Error() string {
	return fmt.Sprintf("omen: %s: %s", e.Code, e.Message)
}

// Unwrap gives the error of the operating system, when there was one.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// failure turns the answer of a call into an error.
func failure(status C.omen_status_t, err *C.omen_error) error {
	if status == C.OMEN_OK {
		return nil
	}
	return &Error{
		Code:      Code(status),
		Detail:    Detail(err.detail),
		Item:      uint64(err.item),
		Errno:     syscall.Errno(err.sys_errno),
		Retriable: err.flags&C.OMEN_ERROR_RETRIABLE != 0,
		Message:   C.GoString(&err.message[0]),
	}
}

// invalid is a refusal by this package, before the library is asked.
func invalid(detail Detail, format string, args ...interface{}) error {
	return &Error{
		Code:    InvalidArgument,
		Detail:  detail,
		Item:    NoItem,
		Message: fmt.Sprintf(format, args...),
	}
}
