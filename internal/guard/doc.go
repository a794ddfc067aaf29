// Package guard sees what is abnormal among connections: floods, scans, a table about to fill.
//
// # Model
//
// An [Engine] is fed with changes of the table and, now and then, with all of it, and hands out findings. It is pure: the time is an argument, and it
// has no socket, no file, no goroutine. What it decides from the same input is the same (but for which flows are a sample, and who gives way where memory is full), so recorded events can be judged at full
// speed (`spoor guard replay`), and tests are plays.
//
// A [Finding] tells of one [Subject] that it breaks a rule: since when, by how much, with evidence. It is handed out when it begins, when it has become
// much worse, and when it is over. Rules are read from a text by [ParseRules]; the text of [DefaultRules] is what people start from.
//
// [Brakes] decide what becomes of a finding: which [Action] is taken against the offender, and which is not and why. They are pure too.
//
// # Memory
//
// Whatever an attacker sends, memory is bounded by [Limits]. Sources, services and destinations have a fixed number of places; where all are taken, the least
// busy of a few gives way. Counts of what stays are exact, and an eviction never adds to one, so that a full memory can hide an attack
// but not invent one. How often that happened is told in [Figures].
package guard
