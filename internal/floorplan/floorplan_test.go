package floorplan

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/spoor-project/spoor"

// floors says on which floor each package lives. A package imports only from floors
// below its own. To add a package, add a row.
var floors = map[string]int{
	"flow":                          0,
	"internal/netns":                0,
	"internal/nfnetlink":            1,
	"internal/nstest":               0,
	"internal/release":              0,
	"internal/sdnotify":             0,
	"internal/floorplan":            0,
	"internal/compat/getopt":        0,
	"filter":                        1,
	"internal/render":               1,
	"internal/tally":                1,
	"internal/recording":            1,
	"internal/libc":                 0,
	"internal/config":               0,
	"internal/capture":              0,
	"internal/statesync/channel":    1,
	"internal/statesync/wire":       1,
	"internal/statesync":            4,
	"internal/tui":                  4,
	"internal/cthelper":             4,
	"internal/doctor":               4,
	"internal/agent":                5,
	"internal/mirror":               3,
	"internal/table":                3,
	"internal/metrics":              4,
	"conntrack":                     2,
	"snapshot":                      2,
	"internal/compat/conntrackcli":  6,
	"internal/compat/conntrackdcli": 6,
	"internal/cli":                  6,
	"internal/compat/nfctcli":       6,
	"cmd/conntrack":                 7,
	"cmd/spoor":                     7,
	"cmd/conntrackd":                7,
	"cmd/nfct":                      7,
	"interop":                       8,
	"interop/bench":                 8,
	"interop/demo":                  8,
	"interop/measure":               0,
	"interop/syncbench":             8,
}

// testSupport are packages that lie in their subject's folder and that only tests
// import.
var testSupport = []string{"internal/nfnetlink/nfnetlinktest", "internal/statesync/channel/channeltest", "internal/nstest", "internal/nstest/testdata/hello"}

// doors says which packages a third-party module comes in through; nil is any.
var doors = map[string][]string{
	"golang.org/x/sys":                    nil,
	"github.com/spoor-project/spoor":      nil,
	"github.com/cilium/ebpf":              {"snapshot"},
	"charm.land/bubbletea/v2":             {"internal/tui"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
}

// lean programs are started for every command of a script: they do without these modules.
var (
	lean  = []string{"cmd/conntrack", "cmd/conntrackd", "cmd/nfct"}
	heavy = []string{"charm.land/bubbletea/v2", "github.com/prometheus/client_golang"}
)

// lightweight packages are imported by other programs: they use nothing but the
// standard library, x/sys and each other.
var lightweight = []string{"flow", "filter", "conntrack"}

// unwelcome names say nothing about what is inside.
var unwelcome = []string{"util", "utils", "common", "types", "model", "models", "helpers", "misc", "sync", "net", "errors", "time"}

// goPackage is what go list tells about a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Dir          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func (p *goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func list(t *testing.T) []goPackage {
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestPackagesImportOnlyFromBelow(t *testing.T) {
	for _, p := range list(t) {
		if slices.Contains(testSupport, p.path()) {
			continue
		}
		own, known := floors[p.path()]
		if !known {
			t.Errorf("%s has no floor: add a row to floors, and to ARCHITECTURE.md", p.path())
			continue
		}
		for _, imported := range p.Imports {
			below, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if slices.Contains(testSupport, below) && own < 8 {
				t.Errorf("%s imports %s, which is for tests", p.path(), below)
			} else if floors[below] >= own {
				t.Errorf("%s on floor %d imports %s on floor %d", p.path(), own, below, floors[below])
			}
		}
	}
}

func TestModulesComeInThroughTheirDoors(t *testing.T) {
	for _, p := range list(t) {
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // standard library
			}
			door := ""
			for m := range doors {
				if imported == m || strings.HasPrefix(imported, m+"/") {
					door = m
				}
			}
			switch allowed, known := doors[door]; {
			case !known:
				t.Errorf("%s imports %s, which has no door", p.path(), imported)
			case allowed != nil && !slices.Contains(allowed, p.path()):
				t.Errorf("%s imports %s, whose door is %v", p.path(), imported, allowed)
			}
		}
	}
}

func TestPublicPackagesStayLight(t *testing.T) {
	for _, p := range list(t) {
		if !slices.Contains(lightweight, p.path()) {
			continue
		}
		for _, dep := range p.Deps {
			if first, _, _ := strings.Cut(dep, "/"); !strings.Contains(first, ".") ||
				strings.HasPrefix(dep, module+"/") || strings.HasPrefix(dep, "golang.org/x/sys/") {
				continue
			}
			t.Errorf("%s depends on %s", p.path(), dep)
		}
		if slices.Contains(p.Deps, "net/http") || slices.Contains(p.Deps, "net") || slices.Contains(p.Deps, "regexp") {
			t.Errorf("%s pulls in a heavy part of the standard library", p.path())
		}
	}
}

func TestProgramsOfScriptsStayLean(t *testing.T) {
	for _, p := range list(t) {
		if !slices.Contains(lean, p.path()) {
			continue
		}
		for _, dep := range p.Deps {
			if slices.ContainsFunc(heavy, func(m string) bool { return strings.HasPrefix(dep, m+"/") }) {
				t.Errorf("%s depends on %s", p.path(), dep)
			}
		}
	}
}

func TestEachPackageIntroducesItself(t *testing.T) {
	for _, p := range list(t) {
		if p.Name == "main" {
			continue
		}
		if slices.Contains(unwelcome, p.Name) {
			t.Errorf("%s: the name says nothing", p.path())
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, "doc.go"), nil, parser.ParseComments)
		if err != nil {
			t.Errorf("%s has no doc.go: %v", p.path(), err)
		} else if file.Doc == nil || !strings.HasPrefix(file.Doc.Text(), "Package "+p.Name) {
			t.Errorf("%s: doc.go does not begin with what the package is", p.path())
		}
	}
}

// TestOnlyProgramsActOnTheProcess: a library neither ends the process nor does
// anything at import.
func TestOnlyProgramsActOnTheProcess(t *testing.T) {
	for _, p := range list(t) {
		if p.Name == "main" {
			continue
		}
		for _, name := range p.GoFiles {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if n.Name.Name == "init" && n.Recv == nil {
						t.Errorf("%s: init", set.Position(n.Pos()))
					}
				case *ast.SelectorExpr:
					if pkg, ok := n.X.(*ast.Ident); ok && (pkg.Name == "os" && n.Sel.Name == "Exit" || pkg.Name == "slog" && n.Sel.Name == "SetDefault") {
						t.Errorf("%s: %s.%s", set.Position(n.Pos()), pkg.Name, n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// TestOtherSystemsCanImport: programs for other systems build, and are told at run
// time.
func TestOtherSystemsCanImport(t *testing.T) {
	for _, target := range []string{"darwin/arm64", "windows/amd64", "linux/386", "linux/s390x"} {
		system, arch, _ := strings.Cut(target, "/")
		args := []string{"build"}
		for _, p := range lightweight {
			args = append(args, "./"+p)
		}
		cmd := exec.Command("go", args...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", target, err, out)
		}
	}
}
