package measure

import (
	"slices"
	"testing"
	"time"
)

func TestMedianOfAnEvenNumberIsBetweenTheMiddleTwo(t *testing.T) {
	for _, c := range []struct {
		in   []time.Duration
		want time.Duration
	}{
		{[]time.Duration{3}, 3},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{8, 1, 2, 4}, 3},
	} {
		if got := Median(slices.Clone(c.in)); got != c.want {
			t.Errorf("Median(%v): got %v, want %v", c.in, got, c.want)
		}
	}
}

func TestOnlyTheMeasuredSectionIsReplaced(t *testing.T) {
	s := Section{"<!-- begin -->\n", "<!-- end -->\n"}
	old := "before\n" + s.Begin + "old\n" + s.End + "after\n"
	got, err := s.Replace([]byte(old), "new\n")
	want := "before\n" + s.Begin + "new\n" + s.End + "after\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := s.Replace([]byte("no markers\n"), "new\n"); err == nil {
		t.Error("a file without markers: got no error")
	}
}
