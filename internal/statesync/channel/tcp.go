//go:build linux

package channel

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// retryAfter is the time from one attempt to connect to the next.
	retryAfter = time.Second
	// connectLimit ends an attempt that nobody answers. The kernel would go on for two
	// minutes with growing pauses, and sleep while the peer comes back.
	connectLimit = 3 * time.Second
	// silenceLimit ends a connection whose peer does not acknowledge (TCP_USER_TIMEOUT),
	// because it lost its power or its cable; the kernel would try for a quarter of an
	// hour. It also ends one whose peer does not read for so long.
	silenceLimit = 10 * time.Second
	// acceptPause is for a process that has no file descriptors left.
	acceptPause = 100 * time.Millisecond

	defaultQueueLength = 128
)

// stream carries a TCP channel: two connections, each used in one direction.
type stream struct {
	in   incoming
	out  outgoing
	done chan struct{} // closed by close
	wg   sync.WaitGroup
}

func openStream(s *site, count *counters) (carrier, error) {
	listener, err := s.listen()
	if err != nil {
		return nil, err
	}
	conn, err := s.connect()
	if err != nil {
		listener.close()
		return nil, err
	}
	length := s.ErrorQueueLength
	if length <= 0 {
		length = defaultQueueLength
	}
	c := &stream{done: make(chan struct{})}
	c.in = incoming{count: count, listener: listener, split: s.Split, done: c.done}
	c.in.changed.L = &c.in.mu
	c.out = outgoing{
		count: count, connect: s.connect, conn: conn, queue: queue{ring: make([][]byte, length)},
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: c.done,
	}
	c.wg.Go(c.in.accept)
	c.wg.Go(c.out.run)
	return c, nil
}

func (s *site) listen() (*socket, error) {
	fd, err := s.socket(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	// Connections inherit the options.
	if err = s.receiveOptions(fd); err == nil {
		err = setOptions(fd, option{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, "SO_KEEPALIVE"})
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, s.sockaddr(s.local)))
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, 1))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newSocket(fd, "listening socket")
}

// connect begins to connect. The socket is nil if the peer refused at once.
func (s *site) connect() (*socket, error) {
	fd, err := s.socket(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	if err = s.sendOptions(fd); err == nil {
		err = setOptions(fd,
			// Small messages wait for others here already, not also in the kernel.
			option{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, "TCP_NODELAY"},
			option{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silenceLimit.Milliseconds()), "TCP_USER_TIMEOUT"})
	}
	if err == nil {
		err = unix.Connect(fd, s.sockaddr(s.remote))
		if err == unix.EINPROGRESS || err == unix.EINTR {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		if err == unix.ECONNREFUSED {
			return nil, nil
		}
		return nil, os.NewSyscallError("connect", err)
	}
	return newSocket(fd, "connection to the peer")
}

func (c *stream) send(list [][]byte) error { return c.out.send(list) }
func (c *stream) receive(b *Batch) error   { return c.in.receive(b) }

func (c *stream) stats(s *Stats) {
	s.Server = c.in.connected()
	c.out.stats(s)
}

func (c *stream) close() error {
	close(c.done)
	err := c.in.close()
	c.out.close()
	c.wg.Wait()
	return err
}

// incoming is the connection that is received from: the last one accepted.
type incoming struct {
	count    *counters
	listener *socket
	split    func([]byte) int
	done     chan struct{}

	mu      sync.Mutex
	changed sync.Cond // of what follows
	conn    *socket   // nil: nobody is connected
	closed  bool

	// The receiver's own.
	from *socket // where tail came from
	tail []byte  // begin of a message
}

// accept runs until the channel is closed.
func (in *incoming) accept() {
	for {
		var fd int
		var errno error
		err := in.listener.read(func(listener uintptr) bool {
			fd, _, errno = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return errno != unix.EAGAIN && errno != unix.EINTR
		})
		if err != nil {
			return
		}
		var conn *socket
		if errno == nil {
			conn, errno = newSocket(fd, "connection of the peer")
		}
		if errno != nil {
			in.count.receivedErrors.Add(1)
			select {
			case <-time.After(acceptPause):
			case <-in.done:
			}
			continue
		}
		in.replace(conn)
	}
}

// replace closes the connection there was: a peer that connects again has lost it.
func (in *incoming) replace(conn *socket) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn != nil {
		in.conn.close()
	}
	in.conn = conn
	if in.closed && conn != nil {
		in.conn = nil
		conn.close()
	}
	in.changed.Broadcast()
}

// forget closes a connection that has ended, unless it was replaced before.
func (in *incoming) forget(conn *socket) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn == conn {
		in.conn = nil
		conn.close()
	}
}

// current waits for a connection; after close it is nil.
func (in *incoming) current() *socket {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.conn == nil && !in.closed {
		in.changed.Wait()
	}
	return in.conn
}

func (in *incoming) connected() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.conn != nil
}

func (in *incoming) close() error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.replace(nil)
	return in.listener.close()
}

func (in *incoming) receive(b *Batch) error {
	buf := b.buffer(0)
	b.Datagrams = b.Datagrams[:0]
	for {
		conn := in.current()
		if conn == nil {
			return os.ErrClosed
		}
		if conn != in.from {
			in.from, in.tail = conn, in.tail[:0] // what is missing went down with the old one
		}
		kept := copy(buf, in.tail)
		n, err := conn.file.Read(buf[kept:])
		if err != nil {
			// A clean end is no error, and neither is our own doing.
			if err != io.EOF && !conn.closed.Load() || err == io.EOF && kept > 0 {
				in.count.receivedErrors.Add(1)
			}
			in.forget(conn)
			continue
		}
		in.count.received(1, n)
		all := buf[:kept+n]
		whole := len(all)
		if in.split != nil {
			whole = in.split(all)
		}
		if whole == 0 && len(all) == len(buf) {
			whole = len(all)
		}
		in.tail = append(in.tail[:0], all[whole:]...)
		if whole > 0 {
			b.Datagrams = append(b.Datagrams, all[:whole:whole])
			return nil
		}
	}
}

// outgoing is the connection that is sent on, and the queue before it. One goroutine, run,
// connects and writes.
type outgoing struct {
	count   *counters
	connect func() (*socket, error)
	wake    chan struct{} // something is in the queue
	room    chan struct{} // the queue has room again, or there is no use in waiting for it
	done    chan struct{}

	mu        sync.Mutex
	queue     queue
	conn      *socket // connected or about to be; nil is neither
	connected bool
	impatient bool // the peer was too slow for a sender, and has taken nothing since
	closed    bool

	batch [][]byte // run's own: what is being written
}

// signal sets a flag that somebody waits for.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}

func (o *outgoing) send(list [][]byte) (first error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, b := range list {
		if len(b) > MaxSize {
			o.count.sendErrors.Add(1)
			if first == nil {
				first = os.NewSyscallError("send", unix.EMSGSIZE)
			}
			continue
		}
		for o.queue.full() && o.connected && !o.impatient && !o.closed {
			o.awaitRoom()
		}
		if o.closed {
			return os.ErrClosed
		}
		o.queue.push(b)
	}
	signal(o.wake)
	return first
}

// awaitRoom lets go of the lock while it waits.
func (o *outgoing) awaitRoom() {
	o.mu.Unlock()
	signal(o.wake)
	timer := time.NewTimer(patience)
	late := false
	select {
	case <-o.room:
	case <-timer.C:
		late = true
	case <-o.done:
	}
	timer.Stop()
	o.mu.Lock()
	o.impatient = o.impatient || late && o.queue.full()
}

func (o *outgoing) stats(s *Stats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Queue = Queue{Len: o.queue.n, Max: len(o.queue.ring), Dropped: o.queue.dropped}
	s.Client = o.connected
}

// close makes run end soon; done is closed already.
func (o *outgoing) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.conn == nil {
		return
	}
	if o.connected {
		o.conn.file.SetWriteDeadline(time.Now().Add(patience))
	} else {
		o.conn.close()
	}
}

// run runs until the channel is closed. The first attempt to connect was made by openStream;
// like conntrackd we do not count it if it fails.
func (o *outgoing) run() {
	conn, first := o.conn, true
	for began := time.Now(); ; began = time.Now() {
		if (conn == nil || !o.use(conn)) && !first {
			o.count.sendErrors.Add(1)
		}
		first = false
		if !o.hasWork() || !o.sleep(time.Until(began.Add(retryAfter))) {
			return
		}
		// An error, such as that there is no route just now, is like a refusal.
		if conn, _ = o.connect(); !o.adopt(conn) {
			return
		}
	}
}

// adopt makes a connection known to close; false means that it came first.
func (o *outgoing) adopt(conn *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		if conn != nil {
			conn.close()
		}
		return false
	}
	o.conn = conn
	return true
}

// hasWork waits until something is in the queue; false means that the channel is closed.
func (o *outgoing) hasWork() bool {
	for o.empty() {
		select {
		case <-o.wake:
		case <-o.done:
			return false
		}
	}
	return true
}

// sleep returns false when the channel is closed.
func (o *outgoing) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-o.done:
		return false
	}
}

// use waits until the connection is made, sends on it until it is lost or the channel
// closed, and closes it. It returns false if the connection was never made.
func (o *outgoing) use(conn *socket) (made bool) {
	if made = conn.established() == nil && o.setConnected(conn); made {
		// The peer sends nothing on this connection, so that to read is to learn of its
		// end: at once, and not after a buffer has been written into the void.
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			io.Copy(io.Discard, conn.file)
			conn.close()
		}()
		defer func() { <-gone }()
		o.carry(conn, gone)
	}
	o.mu.Lock()
	o.conn, o.connected = nil, false
	o.mu.Unlock()
	conn.close()
	signal(o.room)
	return made
}

// setConnected returns false if the channel was closed meanwhile.
func (o *outgoing) setConnected(conn *socket) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	conn.file.SetWriteDeadline(time.Time{})
	o.connected, o.impatient = true, false
	return true
}

// established waits for the end of an attempt to connect.
func (s *socket) established() error {
	s.file.SetWriteDeadline(time.Now().Add(connectLimit))
	var err error
	waited := s.write(func(fd uintptr) bool {
		var errno int
		if errno, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
		if err == nil {
			_, err = unix.Getpeername(int(fd))
		}
		return err != unix.ENOTCONN
	})
	if waited != nil {
		return waited
	}
	return err
}

// carry writes what is in the queue, and what comes into it.
func (o *outgoing) carry(conn *socket, gone <-chan struct{}) {
	for {
		batch := o.take()
		if len(batch) == 0 {
			select {
			case <-o.wake:
			case <-gone:
				return
			case <-o.done:
				// What was sent just before Close is in the queue by now.
				if o.empty() {
					return
				}
			}
			continue
		}
		n, err := conn.writeAll(batch)
		total := 0
		for _, b := range batch[:n] {
			total += len(b)
		}
		o.count.sent(n, total)
		if err != nil {
			o.count.sendErrors.Add(1)
			o.mu.Lock()
			o.queue.putBack(batch[n:])
			o.mu.Unlock()
			return
		}
	}
}

func (o *outgoing) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue.n == 0
}

// take moves a few buffers out of the queue. What is being written is not in the queue, so
// that dropping the oldest does not tear a buffer in two.
func (o *outgoing) take() [][]byte {
	if o.batch == nil {
		o.batch = make([][]byte, batchSize)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.queue.take(o.batch)
	if n > 0 {
		o.impatient = false
		signal(o.room)
	}
	return o.batch[:n]
}

// writeAll writes buffers and returns how many it wrote to the end. One that the kernel
// took only a part of must be sent again from its beginning, on another connection.
func (s *socket) writeAll(list [][]byte) (n int, err error) {
	rest := append([][]byte(nil), list...)
	for len(rest) > 0 {
		var wrote int
		var errno error
		err = s.write(func(fd uintptr) bool {
			wrote, errno = unix.SendmsgBuffers(int(fd), rest, nil, nil, unix.MSG_NOSIGNAL)
			return errno != unix.EAGAIN && errno != unix.EINTR
		})
		if err == nil {
			err = os.NewSyscallError("send", errno)
		}
		if err != nil {
			return n, err
		}
		for len(rest) > 0 && wrote >= len(rest[0]) {
			wrote -= len(rest[0])
			rest = rest[1:]
			n++
		}
		if wrote > 0 {
			rest[0] = rest[0][wrote:]
		}
	}
	return n, nil
}

// queue keeps the last so many buffers in order. Its memory goes round: once every place
// has been used, nothing is allocated.
type queue struct {
	ring    [][]byte
	first   int // place of the oldest
	n       int
	dropped uint64
}

func (q *queue) full() bool { return q.n == len(q.ring) }

func (q *queue) place(i int) *[]byte { return &q.ring[(q.first+i)%len(q.ring)] }

// push copies b behind the others; if there is no room, the oldest makes it.
func (q *queue) push(b []byte) {
	if q.full() {
		q.first = (q.first + 1) % len(q.ring)
		q.n--
		q.dropped++
	}
	p := q.place(q.n)
	*p = append((*p)[:0], b...)
	q.n++
}

// take moves the oldest buffers to the list, in exchange for their memory.
func (q *queue) take(list [][]byte) int {
	n := min(len(list), q.n)
	for i := range n {
		p := q.place(i)
		*p, list[i] = list[i], *p
	}
	q.first = (q.first + n) % len(q.ring)
	q.n -= n
	return n
}

// putBack returns buffers, which were taken last, to where they were. The oldest may
// have lost their place to ones that came since.
func (q *queue) putBack(list [][]byte) {
	for len(list) > 0 && !q.full() {
		last := len(list) - 1
		q.first = (q.first + len(q.ring) - 1) % len(q.ring)
		p := q.place(0)
		*p, list[last] = list[last], *p
		list = list[:last]
		q.n++
	}
	q.dropped += uint64(len(list))
}
