package getopt_test

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// A dump option takes the next element as its table, if that looks like one.
func ExampleScanner_Next() {
	long := []getopt.Long{{Name: "dump", Value: 'L'}, {Name: "mark", Arg: getopt.Required, Value: 'm'}}
	s := getopt.New([]string{"prog", "stray", "--dump", "expect", "-m5", "-x"}, "Lm:", long, false)
	for {
		opt, ok := s.Next()
		if !ok {
			break
		}
		switch {
		case opt.Err != nil:
			fmt.Printf("%v: %s\n", opt.Err, opt.Word)
		case opt.Value == 'L' && s.Index < len(s.Args) && !strings.HasPrefix(s.Args[s.Index], "-"):
			fmt.Println("table", s.Args[s.Index])
			s.Index++
		default:
			fmt.Printf("-%c %s\n", opt.Value, opt.Arg)
		}
	}
	fmt.Println("ignored", s.Args[s.Index:])
	// Output:
	// table expect
	// -m 5
	// unknown option: -x
	// ignored [stray]
}
