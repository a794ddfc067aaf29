// Package agent is the daemon: it feeds the services that a configuration asks for with what the kernel
// and the peers tell, carries out what they want done, and answers requests on its control socket.
//
// One goroutine, the loop of [Daemon.Run], owns all state. Others only wait for something and hand it over:
// the follower of kernel events, the channels' receivers, the control socket, and whoever writes
// to the kernel or to a client that may be slow.
package agent
