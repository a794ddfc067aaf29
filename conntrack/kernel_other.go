//go:build !linux

package conntrack

func kernelVersion() version { return version{} }
