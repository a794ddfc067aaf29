package agent

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spoor-project/spoor/internal/statesync"
)

// Log is where the daemon says what happens: the console while there is one, a file, syslog, or several.
// Lines have the form of conntrackd's. It may be used by several goroutines.
type Log struct {
	// Out and Err are the console, for what is normal and for what is not; nil is none.
	Out, Err io.Writer
	mu       sync.Mutex // of file: what is being written is not closed
	file     *os.File   // nil is none
	// Syslog may be nil.
	Syslog *syslog.Writer
}

var levelNames = [...]string{statesync.Info: "info", statesync.Notice: "notice", statesync.Warning: "warning", statesync.Error: "ERROR"}

// Reopen begins to append to the file at path, "" is none; what was appended to before is closed. If that fails
// nothing is changed.
func (l *Log) Reopen(path string) error {
	var f *os.File
	if path != "" {
		var err error
		if f, err = openLog(path); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	return nil
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// write appends a line to the file.
func (l *Log) write(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		io.WriteString(l.file, line)
	}
}

// Printf logs a line, without a newline at its end.
func (l *Log) Printf(level statesync.Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	line := fmt.Sprintf("[%s] (pid=%d) [%s] %s\n", time.Now().Format(time.ANSIC), os.Getpid(), levelNames[level], text)
	console := l.Out
	if level >= statesync.Warning {
		console = l.Err
	}
	if console != nil {
		io.WriteString(console, line)
	}
	l.write(line)
	if s := l.Syslog; s != nil {
		switch level {
		case statesync.Info:
			s.Info(text)
		case statesync.Notice:
			s.Notice(text)
		case statesync.Warning:
			s.Warning(text)
		default:
			s.Err(text)
		}
	}
}

// Entry logs a flow or an expectation that the kernel has refused.
func (l *Log) Entry(text string) {
	text = strings.TrimSuffix(text, "\n")
	l.write(fmt.Sprintf("%s\t%s\n", time.Now().Format(time.ANSIC), text))
	if l.Syslog != nil {
		l.Syslog.Err(text)
	}
}

// OpenSyslog opens the facility of that name: daemon, local0 to local7.
func OpenSyslog(facility string) (*syslog.Writer, error) {
	p, ok := facilities[facility]
	if !ok {
		return nil, fmt.Errorf("%q is no facility", facility)
	}
	return syslog.New(p|syslog.LOG_NOTICE, "conntrack-tools")
}

var facilities = map[string]syslog.Priority{
	"daemon": syslog.LOG_DAEMON, "local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2,
	"local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6,
	"local7": syslog.LOG_LOCAL7,
}
