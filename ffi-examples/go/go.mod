module github.com/omendb/omendb/ffi-examples/go

go 1.19
