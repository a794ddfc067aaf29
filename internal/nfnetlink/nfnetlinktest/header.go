package nfnetlinktest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// HeaderDir is where systems install the kernel's headers.
const HeaderDir = "/usr/include/linux"

var (
	commentText = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	macroLine   = regexp.MustCompile(`(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(.+)$`)
	anyMacro    = regexp.MustCompile(`(?m)^[ \t]*#.*$`)
	enumBody    = regexp.MustCompile(`(?s)\benum\b\s*\w*\s*\{(.*?)\}`)
	shift       = regexp.MustCompile(`^1\s*<<\s*(\w+)$`)
)

// Constants returns the numbers that kernel headers define: macros, and members of
// enumerations, that are a number or count up, are another constant, one shifted by
// either, or several of these joined by |. Others are left out.
func Constants(headers ...string) (map[string]uint64, error) {
	found := map[string]uint64{}
	for _, name := range headers {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		code := commentText.ReplaceAllString(string(text), "")
		for _, m := range macroLine.FindAllStringSubmatch(code, -1) {
			if n, ok := evaluate(m[2], found); ok {
				found[m[1]] = n
			}
		}
		for _, m := range enumBody.FindAllStringSubmatch(anyMacro.ReplaceAllString(code, ""), -1) {
			readEnum(m[1], found)
		}
	}
	return found, nil
}

func readEnum(body string, found map[string]uint64) {
	next, known := uint64(0), true
	for member := range strings.SplitSeq(body, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(member), "=")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if given {
			next, known = evaluate(value, found)
		}
		if known {
			found[name] = next
			next++
		}
	}
}

func evaluate(value string, found map[string]uint64) (n uint64, ok bool) {
	value = strings.TrimSpace(value)
	if inside, ok := strings.CutPrefix(value, "("); ok {
		if value, ok = strings.CutSuffix(inside, ")"); !ok {
			return 0, false
		}
	}
	for part := range strings.SplitSeq(value, "|") {
		part = strings.TrimSpace(part)
		m := shift.FindStringSubmatch(part)
		if m != nil {
			part = m[1]
		}
		v, ok := found[part]
		if !ok {
			var err error
			if v, err = strconv.ParseUint(part, 0, 64); err != nil {
				return 0, false
			}
		}
		if m != nil {
			v = 1 << v
		}
		n |= v
	}
	return n, true
}

// Copy is a constant of a Go file that stands for one of the kernel's.
type Copy struct {
	Go, C string // names in Go and in C
	Value uint64
}

var cName = regexp.MustCompile(`^// ([A-Z][A-Z0-9_]+)(?:[:, ]|$)`)

// Copies returns the constants of a Go source file that are plain numbers and whose
// comment at the end of the line begins with a C name in capitals.
func Copies(file string) ([]Copy, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var all []Copy
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Comment == nil || len(spec.Values) != 1 {
			return true
		}
		number, ok := spec.Values[0].(*ast.BasicLit)
		m := cName.FindStringSubmatch(spec.Comment.List[0].Text)
		if !ok || m == nil {
			return true
		}
		if v, err := strconv.ParseUint(number.Value, 0, 64); err == nil {
			all = append(all, Copy{Go: spec.Names[0].Name, C: m[1], Value: v})
		}
		return true
	})
	return all, nil
}
