module github.com/spoor-project/spoor/interop/bench/golibs

go 1.26.0

require (
	github.com/spoor-project/spoor v0.0.0
	github.com/vishvananda/netlink v1.3.1
)

require (
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/spoor-project/spoor => ../../..
