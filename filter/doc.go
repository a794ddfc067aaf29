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
//
// # Language
//
// A [Query] selects what a conjunction cannot say: it is read by [Parse] from a text such as
//
//	tcp and dport 443 and (bytes > 10M or not assured)
//
// and written by String in the shortest form that means the same. [Query.Filter] is the conjunction that follows from it, which
// leaves out most of what the query does before an entry is handed out.
package filter
