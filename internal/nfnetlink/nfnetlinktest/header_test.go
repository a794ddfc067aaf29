package nfnetlinktest_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

func TestConstantsReadsMacrosAndEnumerations(t *testing.T) {
	const header = `
/* #define COMMENT 1 */
#ifndef _X_H
#define _X_H
#define PLAIN	7	/* seven,
	on two lines */
#define HEX 0x1F
#define MACRO(x) (x + 1)
#define SHIFTED (1 << 15)
#define JOINED	(PLAIN|HEX | SHIFTED)
#define MASK ~(JOINED)
enum a { A_ZERO, A_ONE, // one
#define A_ONE A_ONE
	A_FIVE = 5, A_SIX, A_ALIAS = A_FIVE, A_BIT_BIT = 3,
	A_BIT = (1 << A_BIT_BIT), A_UNKNOWN = (A_BIT + 1), A_LOST, __A_MAX
};
enum {
	B_ZERO,
	B_ONE
};
`
	want := map[string]uint64{"PLAIN": 7, "HEX": 31, "SHIFTED": 1 << 15, "JOINED": 31 | 1<<15,
		"A_ZERO": 0, "A_ONE": 1, "A_FIVE": 5, "A_SIX": 6, "A_ALIAS": 5, "A_BIT_BIT": 3, "A_BIT": 8,
		"B_ZERO": 0, "B_ONE": 1}
	file := filepath.Join(t.TempDir(), "x.h")
	if err := os.WriteFile(file, []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := nfnetlinktest.Constants(file)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestCopiesReadsConstantsThatNameTheirOriginal(t *testing.T) {
	const source = `package x

// WRONG_PLACE
const (
	a uint8 = 3 // A_NAME
	b = 0x10 // B_NAME: and what it is for
	c = 5 // not one of the kernel's
	d = a + b // D_NAME
	e = 6 // E_NAME, as used by f
)
`
	file := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := nfnetlinktest.Copies(file)
	want := []nfnetlinktest.Copy{{Go: "a", C: "A_NAME", Value: 3}, {Go: "b", C: "B_NAME", Value: 16}, {Go: "e", C: "E_NAME", Value: 6}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("constant %d: got %v, want %v", i, got[i], want[i])
		}
	}
}
