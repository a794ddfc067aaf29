package wire

import "encoding/binary"

// Begins reports whether b, or what follows it, may be the beginning of a message: what there is of the version, the type, the flags
// and the length make sense. Other protocols seldom begin so.
func Begins(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	t := Type(b[0] & 0x0f)
	if b[0]>>4 != version || !t.IsFlow() && !t.IsExpect() && t != Control {
		return false
	}
	if len(b) > 1 && Flags(b[1])&^(Resync|Nack|Ack|Alive|Hello|HelloBack) != 0 {
		return false
	}
	if len(b) < 4 {
		return true
	}
	length := binary.BigEndian.Uint16(b[2:])
	return length >= headerSize && length%4 == 0
}
