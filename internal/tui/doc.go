// Package tui is the screen of spoor top: what it shows of a table of any size, and how keys and mouse change that.
//
// A [Sampler] sweeps the kernel's table and keeps a few bytes of each flow, to tell how fast it is; of what it saw it hands out the
// first rows only, a [Sample]. A [Model] turns samples, key strokes and clicks into the text of a screen, and into [Action] values:
// it has no clock, no socket and no terminal. [Run] joins the two and is the only part that knows the terminal library.
package tui
