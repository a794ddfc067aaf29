// Package metrics names and collects every metric of connection tracking that Prometheus is shown, of one network
// namespace or several.
//
// Of each namespace an [Exporter] follows the events, reads the table once in a while to count its flows in groups, and
// asks the kernel for its counters when it is scraped. So a scrape costs the same however full the table is.
package metrics
