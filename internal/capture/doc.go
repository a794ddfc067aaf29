// Package capture reads what a packet sniffer has recorded, pcap and pcapng, and gives back what the applications
// said: datagrams of UDP, and messages of TCP streams put in order again. It does not know what they mean.
package capture
