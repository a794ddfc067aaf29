package conntrack

// version is a kernel version; zero is older than all.
type version struct{ major, minor int }

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// parseVersion reads the first two numbers of a release name ("6.18.44-cloud").
func parseVersion(release string) version {
	var n [2]int
	i := 0
	for _, r := range release {
		switch {
		case r >= '0' && r <= '9' && n[i] < 1<<20:
			n[i] = n[i]*10 + int(r-'0')
		case r == '.' && i == 0:
			i = 1
		default:
			return version{n[0], n[1]}
		}
	}
	return version{n[0], n[1]}
}
