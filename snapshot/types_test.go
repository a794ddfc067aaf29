package snapshot

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// blob puts BTF together, for tests.
type blob struct{ types, strings []byte }

func (b *blob) name(s string) uint32 {
	at := len(b.strings)
	b.strings = append(append(b.strings, s...), 0)
	return uint32(at)
}

func (b *blob) add(words ...uint32) {
	for _, w := range words {
		b.types = le.AppendUint32(b.types, w)
	}
}

func (b *blob) bytes() []byte {
	out := append(le.AppendUint16(nil, btfMagic), 1, 0)
	for _, n := range []int{btfHeader, 0, len(b.types), len(b.types), len(b.strings)} {
		out = le.AppendUint32(out, uint32(n))
	}
	return append(append(out, b.types...), b.strings...)
}

// kernelAndModule are a kernel with an int, a struct of it with a pointer to itself, and a function, and a module with a struct made of the kernel's.
func kernelAndModule() (kernel, module []byte) {
	var k blob
	k.strings = []byte{0}
	k.add(k.name("long"), kindInt<<24, 8, 64)                                                   // 1
	k.add(k.name("inner"), kindStruct<<24|2, 16, k.name("number"), 1, 0, k.name("next"), 3, 64) // 2
	k.add(0, kindPtr<<24, 2)                                                                    // 3
	k.add(0, kindFuncProto<<24|1, 1, k.name("x"), 3)                                            // 4
	k.add(k.name("call"), kindFunc<<24, 4)                                                      // 5
	k.add(k.name("unneeded"), kindStruct<<24|1, 8, k.name("y"), 1, 0)                           // 6
	m := blob{}                                                                                 // its strings go on where the kernel's end
	name := func(s string) uint32 { return m.name(s) + uint32(len(k.strings)) }                 //
	m.add(0, kindArray<<24, 0, 2, 1, 3)                                                         // 7: of 2
	m.add(name("outer"), kindStruct<<24|2, 56, name("inners"), 7, 0, name("kind"), 9, 384)      // 8
	m.add(name("kinds"), kindEnum<<24|2, 4, name("ONE"), 1, name("TWO"), 2)                     // 9
	m.add(name("call"), kindTypedef<<24, 8)                                                     // 10: like the function
	return k.bytes(), m.bytes()
}

// TestExcerptOfKernelAndModule: what is made of each other comes along, what is only pointed to does not.
func TestExcerptOfKernelAndModule(t *testing.T) {
	kernel, module := kernelAndModule()
	names := []string{"outer", "call", "nowhere"}
	found, err := findTypes(names, kernel, module)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := found.number("call", kindFunc); n != 5 || err != nil {
		t.Error(n, err)
	}
	if _, err := found.number("nowhere", kindFunc); err == nil {
		t.Error("a type that is not there was found")
	}
	raw, err := found.excerpt(names)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var outer *btf.Struct
	if err := spec.TypeByName("outer", &outer); err != nil {
		t.Fatal(err)
	}
	if got, want := shape(outer), "struct 56 {inners@0 [3]struct 16 {number@0 int 8, next@64 *} , kind@384 enum 4 {ONE=1 TWO=2} } "; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, name := range []string{"unneeded"} {
		if _, err := spec.AnyTypeByName(name); err == nil {
			t.Errorf("%s has come along", name)
		}
	}
}

// shape describes a type and what it is made of.
func shape(t btf.Type) string {
	members := func(what string, size uint32, all []btf.Member) string {
		s := fmt.Sprintf("%s %d {", what, size)
		for i, m := range all {
			if i > 0 {
				s += ", "
			}
			s += fmt.Sprintf("%s@%d %s", m.Name, m.Offset, shape(m.Type))
			if m.BitfieldSize != 0 {
				s += fmt.Sprintf(":%d", m.BitfieldSize)
			}
		}
		return s + "} "
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return members("struct", t.Size, t.Members)
	case *btf.Union:
		return members("union", t.Size, t.Members)
	case *btf.Array:
		return fmt.Sprintf("[%d]%s", t.Nelems, shape(t.Type))
	case *btf.Enum:
		s := fmt.Sprintf("enum %d {", t.Size)
		for i, v := range t.Values {
			if i > 0 {
				s += " "
			}
			s += fmt.Sprintf("%s=%d", v.Name, v.Value)
		}
		return s + "} "
	case *btf.Pointer:
		return "*"
	case *btf.Int:
		return fmt.Sprintf("int %d", t.Size)
	default:
		return fmt.Sprintf("%T", t)
	}
}

func TestMalformedTypes(t *testing.T) {
	kernel, module := kernelAndModule()
	find := func(raw ...[]byte) error {
		found, err := findTypes([]string{"outer", "inner"}, raw...)
		if err == nil {
			_, err = found.excerpt([]string{"outer", "inner"})
		}
		return err
	}
	if err := find(kernel, module); err != nil {
		t.Fatal(err)
	}
	for n := range kernel {
		if find(kernel[:n]) == nil {
			t.Errorf("the first %d of %d bytes count as whole", n, len(kernel))
		}
	}
	broken := bytes.Clone(kernel)
	broken[btfHeader+7] = 31
	if find(broken) == nil {
		t.Error("a type of an unknown kind")
	}
}

func TestFirstBytes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"file\x00rest", "file\x00other", true}, {"file\x00", "files\x00", false}, {"nf_conntrack_man\x00", "nf_connt\x00", true},
		{"\x00", "\x00abc", true}, {"\x00", "", true}, {"a\x00", "b\x00", false}, {"1234567\x00", "1234567\x008", true}, {"\x01\x00\x80", "\x01", true},
	} {
		if same := firstBytes([]byte(c.a)) == firstBytes([]byte(c.b)); same != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, same)
		}
	}
}

// FuzzTypes: no input makes trouble, and an excerpt of an excerpt is the same again.
func FuzzTypes(f *testing.F) {
	kernel, module := kernelAndModule()
	f.Add(kernel, module)
	f.Add(kernel, []byte{})
	f.Fuzz(func(t *testing.T, kernel, module []byte) {
		names := []string{"outer", "inner", "call", "kinds"}
		raw := [][]byte{kernel}
		if len(module) > 0 {
			raw = append(raw, module)
		}
		found, err := findTypes(names, raw...)
		if err != nil {
			return
		}
		once, err := found.excerpt(names)
		if err != nil {
			return
		}
		if found, err = findTypes(names, once); err != nil {
			t.Fatal(err)
		}
		again, err := found.excerpt(names)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, again) {
			t.Errorf("%x\nbecomes\n%x", once, again)
		}
	})
}
