// Package filter selects flows.
//
// # Model
//
// A [Filter] is a conjunction: a flow is selected if it passes every condition
// that is given. The zero Filter has none and selects everything. [Filter.Match]
// decides about one flow, without allocating.
//
// [Filter.Kernel] is the part that the kernel can check before it sends an entry
// at all, which makes a listing of few out of many about ten times cheaper. It
// never selects less than the whole filter, so Match must still look at what the
// kernel sends; it leaves out what kernels get wrong, such as addresses of IPv6
// (compared inversely up to Linux 6.18) and ports of other protocols than TCP and
// UDP (not compared at all).
package filter
