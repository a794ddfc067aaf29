package conntrack

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

var rewrite = flag.Bool("update", false, "record the kernel's messages anew, and write what they mean")

const (
	messagesFile = "testdata/messages.txt" // lines of a name and a message in hexadecimal
	meaningsFile = "testdata/meanings.txt" // lines of a name and what was decoded
)

// RecordedMessage is a message that a kernel sent once, by the name of its scene.
type RecordedMessage struct {
	Name string
	Data []byte
}

// recorded reads the messages, in the byte order of common machines.
func recorded(t testing.TB) (all []RecordedMessage) {
	t.Helper()
	f, err := os.Open(messagesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, digits, _ := strings.Cut(lines.Text(), "\t")
		data, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, RecordedMessage{name, data})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// WriteRecorded writes the messages, and what they mean, for later runs.
func WriteRecorded(all []RecordedMessage) error {
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintf(&b, "%s\t%x\n", m.Name, m.Data)
	}
	if err := os.WriteFile(messagesFile, []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(meaningsFile, []byte(meanings(all)), 0o644)
}

func meanings(all []RecordedMessage) string {
	var b strings.Builder
	for _, m := range all {
		fmt.Fprintf(&b, "%s\t%s\n", m.Name, Meaning(m.Data))
	}
	return b.String()
}

// Recorded and Meaning are for tests outside the package.
var Recorded = recorded

// Updating reports whether the recorded messages are to be written anew.
func Updating() bool { return *rewrite }

// Meaning decodes a message and writes out what is in it: the fields that are not zero.
func Meaning(data []byte) string {
	m, _, err := nfnetlink.Next(data)
	if err != nil {
		return err.Error()
	}
	if end, err := m.End(); end {
		return fmt.Sprintf("end %v", err)
	}
	var d decoder
	switch m.Subsystem() {
	case nfnetlink.ConntrackExpect:
		e := flow.ExpectEvent{}
		if ok, err := d.expectEvent(&m, &e); !ok {
			return fmt.Sprintf("no event %v", err)
		}
		return meaningOf(e)
	default:
		e := flow.Event{}
		if ok, err := d.event(&m, &e); !ok {
			return fmt.Sprintf("no event %v", err)
		}
		return meaningOf(e)
	}
}

// meaningOf writes the fields of a struct that are not zero.
func meaningOf(v any) string {
	value := reflect.ValueOf(v)
	if s, ok := v.(fmt.Stringer); ok || value.Kind() != reflect.Struct {
		if ok {
			return s.String()
		}
		return fmt.Sprint(v)
	}
	var fields []string
	for i := range value.NumField() {
		if f := value.Field(i); !f.IsZero() {
			fields = append(fields, value.Type().Field(i).Name+":"+meaningOf(f.Interface()))
		}
	}
	return "{" + strings.Join(fields, " ") + "}"
}

func TestRecordedMessagesMeanWhatTheyDid(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the messages were recorded on a machine of the other byte order")
	}
	got := strings.Split(meanings(recorded(t)), "\n")
	golden, err := os.ReadFile(meaningsFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(golden), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, line := range got {
		if line != want[i] {
			t.Errorf("line %d:\ngot  %s\nwant %s", i+1, line, want[i])
		}
	}
}
