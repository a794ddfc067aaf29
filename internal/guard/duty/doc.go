// Package duty carries out what [guard.Brakes] decide, and writes down what became of it.
//
// # Responders
//
// A [Blocklist] is the nftables sets of [Setup]; [DeleteFlows] takes an offender's flows out of the table; a [Runner] runs commands; a [Poster] sends findings
// to a URL. A [Queue] has them work beside the loop that judges, so that a slow one never keeps it waiting. What was done, failed or was held goes to
// an [Audit]; [Undo] takes a block back.
//
// # Facts
//
// An [Observer] finds the addresses that are spared without being on the allow-list. A [Pact] carries decisions between the two
// nodes of a pair.
//
// # Network namespaces
//
// What belongs to the guarded namespace (the sets, the table, addresses, routes, the pact's socket) is opened there. Commands and
// requests go out from the namespace of the process.
package duty
