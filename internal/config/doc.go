// Package config reads a conntrackd.conf: text into plain, positioned settings. It opens no file and asks no
// system; what it cannot know from the text, a [Lookup] tells it.
//
// # Tour
//
// [Parse] always returns a [File]. Its Config is the whole configuration with the defaults filled in, its Problems are all
// that is wrong or odd, each with its place. [File.Err] says whether a daemon may start with it:
//
//	file := config.Parse(path, text, config.Lookup{Protocol: config.Protocols(etcProtocols)})
//	for _, p := range file.Original() {
//		… print p.Text, as conntrackd 1.4.9 would …
//	}
//	if err := file.Err(); err != nil {
//		return err
//	}
//	start(&file.Config)
//
// [Config.AppendEffective] writes a configuration as text again, which parses to an equal one.
//
// # Two voices
//
// What conntrackd 1.4.9 rejects is rejected, what it accepts is accepted, and what it says about it is in
// [Problem].Text, in its order. It stops at the first error; this parser goes on, so that one run shows all. What 1.4.9
// would not have noticed has an empty Text and is always a warning. Advice is ours, and always there.
//
// Two things 1.4.9 rejects are accepted: names that look like a number in hexadecimal (Interface e0), and a
// comment in a last line without end.
//
// # To add a keyword
//
// It is one row, in the block where it is valid. The blocks are in grammar.go, and in files of their own for filters,
// channels, helpers, and for what 1.4.9 does not know, ours.go:
//
//	{word: "HashSize", field: func(g *General) any { return &g.HashSize }, def: uint32(65536)},
//
// The field's type says what follows the word and how it is written back:
//
//	*bool           on, off, yes, no
//	*uint16         a number; 0 stands for the default
//	*uint32         a number; 0 stands for the default
//	*time.Duration  a number of seconds; 0 stands for the default
//	*string         a name, or what the row's takes says
//
// What is more than a value has read and show functions. Then the settings of the tests ask for its values, and
// testdata/everything.conf for one that is not the default.
package config
