package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// ErrFormat says that a file is no capture of a kind that is known here.
var ErrFormat = errors.New("neither pcap nor pcapng")

// IsCapture reports whether a file that begins with these bytes, at least 4, is a capture.
func IsCapture(begin []byte) bool {
	if len(begin) < 4 {
		return false
	}
	le, be := binary.LittleEndian.Uint32(begin), binary.BigEndian.Uint32(begin)
	return le == sectionHeader || le == magicMicro || be == magicMicro || le == magicNano || be == magicNano
}

const (
	// pcap, see draft-ietf-opsawg-pcap.
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d

	// pcapng, see draft-ietf-opsawg-pcapng: types of blocks, and options of an interface.
	sectionHeader  = 0x0a0d0d0a
	byteOrderMagic = 0x1a2b3c4d
	interfaceBlock = 1
	simplePacket   = 3
	enhancedPacket = 6
	optionEnd      = 0
	optionTSResol  = 9
	optionTSOffset = 14

	maxPacket     = 1 << 20 // bytes; sniffers cut at 262144
	maxInterfaces = 1 << 12
)

// packet is a record of the file. The data is valid until the next one is read.
type packet struct {
	time time.Time // zero: not recorded
	link uint16    // LINKTYPE_ number
	data []byte
	cut  bool // there was more on the wire
}

// file reads records. It keeps one packet at a time.
type file struct {
	in    *bufio.Reader
	order binary.ByteOrder
	next  func(*file) (packet, error)
	buf   []byte

	// pcap
	link uint16
	tick time.Duration

	// pcapng
	devices []device
}

// device is an interface of a section.
type device struct {
	link    uint16
	snapLen uint32 // 0: no limit
	perSec  uint64 // ticks of a timestamp; 0: too fine to count
	offset  int64  // seconds
}

func openFile(r io.Reader) (*file, error) {
	f := &file{in: bufio.NewReaderSize(r, 1<<16)}
	begin, err := f.in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !IsCapture(begin) {
		return nil, ErrFormat
	}
	if binary.LittleEndian.Uint32(begin) == sectionHeader {
		f.next = (*file).nextBlock
		return f, nil
	}
	h, err := f.take(24)
	if err != nil {
		return nil, err
	}
	f.order = binary.LittleEndian
	if magic := binary.BigEndian.Uint32(h); magic == magicMicro || magic == magicNano {
		f.order = binary.BigEndian
	}
	if f.tick = time.Microsecond; f.order.Uint32(h) == magicNano {
		f.tick = time.Nanosecond
	}
	f.link = uint16(f.order.Uint32(h[20:])) // above are bits about a frame check sequence
	f.next = (*file).nextRecord
	return f, nil
}

// take reads n bytes, valid until it is called again. io.EOF is an end before the first of them.
func (f *file) take(n int) ([]byte, error) {
	if n > maxPacket {
		return nil, fmt.Errorf("a record of %d bytes: the capture is damaged", n)
	}
	if cap(f.buf) < n {
		f.buf = make([]byte, max(n, 1<<11))
	}
	b := f.buf[:n]
	_, err := io.ReadFull(f.in, b)
	return b, err
}

// whole turns the end of the file inside a record into an error.
func whole(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the capture ends inside a record")
	}
	return err
}

// nextRecord reads a record of pcap.
func (f *file) nextRecord() (packet, error) {
	h, err := f.take(16)
	if err == io.EOF {
		return packet{}, err
	} else if err != nil {
		return packet{}, whole(err)
	}
	p := packet{link: f.link, time: time.Unix(int64(f.order.Uint32(h)), int64(f.order.Uint32(h[4:]))*int64(f.tick))}
	length, onWire := f.order.Uint32(h[8:]), f.order.Uint32(h[12:])
	p.cut = length < onWire
	if p.data, err = f.take(int(min(length, maxPacket+1))); err != nil {
		return packet{}, whole(err)
	}
	return p, nil
}

// nextBlock reads up to the next packet of pcapng.
func (f *file) nextBlock() (packet, error) {
	for {
		h, err := f.take(8)
		if err == io.EOF {
			return packet{}, err
		} else if err != nil {
			return packet{}, whole(err)
		}
		section := binary.LittleEndian.Uint32(h) == sectionHeader // the same in both orders
		if section {
			magic, err := f.in.Peek(4)
			if err != nil {
				return packet{}, whole(err)
			}
			switch uint32(byteOrderMagic) {
			case binary.LittleEndian.Uint32(magic):
				f.order = binary.LittleEndian
			case binary.BigEndian.Uint32(magic):
				f.order = binary.BigEndian
			default:
				return packet{}, errors.New("a section of unknown byte order")
			}
			f.devices = f.devices[:0]
		}
		typ, length := f.order.Uint32(h), f.order.Uint32(h[4:])
		if length < 12 || length%4 != 0 {
			return packet{}, fmt.Errorf("a block of %d bytes: the capture is damaged", length)
		}
		length -= 8
		switch {
		case typ == interfaceBlock || typ == simplePacket || typ == enhancedPacket:
		default: // of no interest, and of any length
			if _, err := io.CopyN(io.Discard, f.in, int64(length)); err != nil {
				return packet{}, whole(err)
			}
			continue
		}
		body, err := f.take(int(min(length, maxPacket+1)))
		if err != nil {
			return packet{}, whole(err)
		}
		body = body[:len(body)-4] // the length again
		var p packet
		switch typ {
		case interfaceBlock:
			err = f.addDevice(body)
		case simplePacket:
			p, err = f.simple(body)
		default:
			p, err = f.enhanced(body)
		}
		if err != nil || p.data != nil {
			return p, err
		}
	}
}

func (f *file) addDevice(b []byte) error {
	if len(b) < 8 || len(f.devices) == maxInterfaces {
		return errors.New("a damaged description of an interface, or too many")
	}
	d := device{link: f.order.Uint16(b), snapLen: f.order.Uint32(b[4:]), perSec: 1e6}
	for b = b[8:]; len(b) >= 4; {
		code, length := f.order.Uint16(b), int(f.order.Uint16(b[2:]))
		if b = b[4:]; code == optionEnd || length > len(b) {
			break
		}
		switch value := b[:length]; {
		case code == optionTSResol && length == 1:
			d.perSec = ticks(value[0])
		case code == optionTSOffset && length == 8:
			d.offset = int64(f.order.Uint64(value))
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	f.devices = append(f.devices, d)
	return nil
}

// ticks returns how many of a timestamp's units make a second: a power of ten, or of two; 0 if that is more than can be counted.
func ticks(resolution byte) uint64 {
	n := resolution & 0x7f
	if resolution&0x80 != 0 {
		if n > 63 {
			return 0
		}
		return 1 << n
	}
	if n > 19 {
		return 0
	}
	perSec := uint64(1)
	for range n {
		perSec *= 10
	}
	return perSec
}

// simple reads a packet without a time, of the first interface.
func (f *file) simple(b []byte) (packet, error) {
	if len(b) < 4 || len(f.devices) == 0 {
		return packet{}, errors.New("a damaged packet, or one of no interface")
	}
	d, onWire := &f.devices[0], f.order.Uint32(b)
	length := onWire
	if d.snapLen > 0 {
		length = min(length, d.snapLen)
	}
	if b = b[4:]; uint64(length) > uint64(len(b)) {
		return packet{}, errors.New("a packet longer than its record")
	}
	return packet{link: d.link, data: b[:length], cut: length < onWire}, nil
}

func (f *file) enhanced(b []byte) (packet, error) {
	if len(b) < 20 {
		return packet{}, errors.New("a damaged packet")
	}
	n := f.order.Uint32(b)
	if uint64(n) >= uint64(len(f.devices)) {
		return packet{}, fmt.Errorf("a packet of interface %d, of which nothing is said", n)
	}
	d := &f.devices[n]
	stamp := uint64(f.order.Uint32(b[4:]))<<32 | uint64(f.order.Uint32(b[8:]))
	length, onWire := f.order.Uint32(b[12:]), f.order.Uint32(b[16:])
	if b = b[20:]; uint64(length) > uint64(len(b)) {
		return packet{}, errors.New("a packet longer than its record")
	}
	p := packet{link: d.link, data: b[:length], cut: length < onWire}
	if d.perSec > 0 {
		hi, lo := bits.Mul64(stamp%d.perSec, 1e9)
		nanos, _ := bits.Div64(hi, lo, d.perSec)
		p.time = time.Unix(int64(stamp/d.perSec)+d.offset, int64(nanos))
	}
	return p, nil
}
