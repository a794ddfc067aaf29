package libc

import (
	"errors"
	"syscall"
)

// texts are the C library's words where Go's differ in more than the first
// letter's case.
var texts = map[syscall.Errno]string{
	0:                       "Success",
	syscall.EOPNOTSUPP:      "Operation not supported",
	syscall.ERANGE:          "Numerical result out of range",
	syscall.EIO:             "Input/output error",
	syscall.EPROTONOSUPPORT: "Protocol not supported",
}

// Strerror is the C library's text for errno.
func Strerror(errno syscall.Errno) string {
	if text, ok := texts[errno]; ok {
		return text
	}
	text := errno.Error()
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}

// ErrorText is the text of the system's error inside err, or err's own if there is none.
func ErrorText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return Strerror(errno)
	}
	return err.Error()
}
