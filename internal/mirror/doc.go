// Package mirror keeps many flows in little memory: a usual one takes about 100 bytes, in blocks
// without pointers, which the garbage collector does not look into. It is the cache of
// the synchronisation daemon and of whoever follows the table.
//
// A flow is found by its identity, which is what conntrackd takes for it: addresses, protocol, zone,
// and ports, or type, code and identifier of ICMP. Of protocols without ports, GRE among them, two hosts
// have one flow.
package mirror
