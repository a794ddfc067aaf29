package nfctcli

import (
	"fmt"

	"github.com/spoor-project/spoor/internal/libc"
)

// version is that of the program whose command line this is: others parse it.
const version = "1.4.9"

// prefix begins every message. It does not depend on the program's name.
const prefix = "nfct v" + version + ": "

// versionText is the original's, which programs look at.
const versionText = prefix + `utility for the Netfilter's Connection Tracking System
Copyright (C) 2012 Pablo Neira Ayuso <pablo@netfilter.org>
This program comes with ABSOLUTELY NO WARRANTY.
This is free software, and you are welcome to redistribute it under certain 
conditions; see LICENSE file distributed in this package for details.
`

// failure is an error with its exit code and all of its text, as the original prints it.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func failf(format string, args ...any) error {
	return &failure{code: 1, text: prefix + fmt.Sprintf(format, args...) + "\n"}
}

// fail is a message to which the original adds the last error of the C library, whatever
// that was about.
func (x *executor) fail(text string) error {
	if x.stale != 0 {
		text += ": " + libc.Strerror(x.stale)
	}
	return failf("%s", text)
}

// refused is the message about a request that failed; nil stays nil.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return failf("netlink error: %s", libc.ErrorText(err))
}

func (x *executor) usage() string {
	return "Usage: " + x.program + " command subsystem [parameters]...\n"
}

func (x *executor) unknown(what, word string) error {
	return &failure{code: 1, text: prefix + "Unknown " + what + ": " + word + "\n" + x.usage()}
}

const (
	tooMany     = "too many arguments"
	noPolicy    = "missing timeout policy name"
	noHelper    = "missing helper policy name"
	badFamily   = "unknown layer 3 protocol"
	badProto    = "unknown layer 4 protocol"
	noTransport = "unsupported layer 4 protocol"
	noValue     = "missing value for this timeout"
	noSuch      = "that helper is not supported"
)

// missing is the message about too few arguments.
func (x *executor) missing(syntax string) error {
	return x.fail("missing parameters\nsyntax: nfct " + syntax)
}
