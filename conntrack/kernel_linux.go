package conntrack

import "golang.org/x/sys/unix"

// kernelVersion is the running kernel's; zero if it cannot be told.
func kernelVersion() version {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return version{}
	}
	return parseVersion(unix.ByteSliceToString(u.Release[:]))
}
