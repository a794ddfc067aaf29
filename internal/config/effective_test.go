package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// roundTrip holds a file without errors to the law: its effective text parses to an equal configuration, and is its own
// effective text.
func roundTrip(t *testing.T, f *File) []byte {
	t.Helper()
	text := f.Config.AppendEffective(nil)
	again := Parse("effective", text, known)
	if err := again.Err(); err != nil {
		t.Fatalf("the effective text is not valid: %v\n%s", err, text)
	}
	if !reflect.DeepEqual(again.Config, f.Config) {
		t.Fatalf("the effective text says something else:\n%s", text)
	}
	if second := again.Config.AppendEffective(nil); !bytes.Equal(second, text) {
		t.Fatalf("the effective text changes from\n%s\nto\n%s", text, second)
	}
	return text
}

// samples are the files that packages install.
func samples(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "packaging", "conntrackd", "*.conf"))
	if err != nil || len(names) < 4 {
		t.Fatalf("samples: %q, %v", names, err)
	}
	return names
}

func TestSamplesHaveNoProblems(t *testing.T) {
	for _, name := range samples(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f := Parse(name, text, known)
		for _, p := range f.Problems {
			t.Error(p)
		}
		roundTrip(t, f)
		base := strings.TrimSuffix(filepath.Base(name), ".conf")
		if s := f.Config.Sync; base == "stats" {
			if s != nil || f.Config.Stats == nil {
				t.Errorf("%s: is none of statistics", name)
			}
		} else if base == "helper" {
			if s != nil || len(f.Config.Helpers) == 0 {
				t.Errorf("%s: is none of helpers", name)
			}
		} else if s == nil || !strings.EqualFold(s.Mode.String(), base) {
			t.Errorf("%s: is of another mode", name)
		}
	}
}

// Files as they are in use are accepted, with these words of 1.4.9.
func TestFilesInUse(t *testing.T) {
	for name, want := range map[string][]string{
		"example":    nil,
		"router":     nil,
		"everything": nil,
		"neutron":    {"deprecated unix backlog configuration, ignoring."},
		"keepalived": {"deprecated nice configuration, ignoring. The nice value can be set externally with nice(1) and renice(1).",
			"deprecated unix backlog configuration, ignoring."},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".conf"))
		if err != nil {
			t.Fatal(err)
		}
		f := Parse(name+".conf", text, known)
		if f.Err() != nil || !slices.Equal(said(f), want) {
			t.Errorf("%s: %v, says %q", name, f.Err(), said(f))
		}
		golden(t, name+".effective", string(roundTrip(t, f)))
	}
}

// everything.conf has no default left, so what it does not change is not tested.
func TestEverythingIsInEverything(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "everything.conf"))
	if err != nil {
		t.Fatal(err)
	}
	words := newVocabulary(&fileBlock)
	for word := range words.places {
		// What only other modes and kinds have, and what is not shown.
		other := strings.Fields("Stats Multicast UDP Group IPv4_interface IPv6_interface ResendQueueSize ACKWindowSize " +
			"DisableInternalCache DisableExternalCache StartupResync Backlog Nice SocketBufferSize SocketBufferSizeMaxGrowth SocketBufferSizeMaxGrown Syslog")
		if !slices.Contains(strings.Fields(string(text)), word) && !slices.Contains(other, word) {
			t.Errorf("%s is not in everything.conf", word)
		}
	}
	base, got := parse("Sync { }").Config, Parse("", text, known).Config
	compare(t, "General", reflect.ValueOf(got.General), reflect.ValueOf(base.General))
	for _, field := range strings.Fields("Mode RefreshTime CacheTimeout CommitTimeout PurgeTimeout Channels ErrorQueueLength TCPWindowTracking ExpectationSync ExpectationHelpers") {
		if reflect.DeepEqual(reflect.ValueOf(*got.Sync).FieldByName(field).Interface(), reflect.ValueOf(*base.Sync).FieldByName(field).Interface()) {
			t.Errorf("Sync.%s is the default", field)
		}
	}
}

func compare(t *testing.T, name string, got, base reflect.Value) {
	for i := range got.NumField() {
		if field := got.Type().Field(i).Name; reflect.DeepEqual(got.Field(i).Interface(), base.Field(i).Interface()) {
			t.Errorf("%s.%s is the default", name, field)
		}
	}
}

// Every valid value of every setting comes back.
func TestEverySettingComesBack(t *testing.T) {
	for _, s := range settings {
		for block := range strings.SplitSeq(s.blocks, ",") {
			for value := range s.valid {
				roundTrip(t, parse(in(block, s.word+" "+value)))
			}
		}
	}
}
