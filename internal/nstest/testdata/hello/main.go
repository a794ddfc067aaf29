// Hello is what the build helper's test builds.
package main

import "os"

func main() { os.Stdout.WriteString("hello\n") }
