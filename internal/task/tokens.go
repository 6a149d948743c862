package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"path"
	"slices"

	"mendel/internal/research"
)

// TokenHash is the hash by which duplicates are found: two trees with the same one run the same
// program. In a Python task, comments, blank lines and the spaces between tokens of .py files do
// not count; indentation and doc-strings do. In other languages, and in the other files of a
// Python task, only line endings and spaces at the end of lines do not count. With countComments
// (where bytes are the score) every byte counts.
//
// Different programs never get one hash; the same program may get two, when it is written in a
// way that [pythonTokens] does not understand.
func TokenHash(language string, files map[string][]byte, countComments bool) research.Hash {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		writePart(sum, "file", name)
		data := files[name]
		switch {
		case countComments:
			writePart(sum, "bytes", string(data))
		case language == "python" && path.Ext(name) == ".py":
			tokens, err := pythonTokens(data)
			if err != nil {
				writePart(sum, "bytes", string(data))
				continue
			}
			for _, t := range tokens {
				writePart(sum, t.kind, t.text)
			}
		default:
			writePart(sum, "text", string(trimLines(data)))
		}
	}
	return research.Hash(hex.EncodeToString(sum.Sum(nil)))
}

// writePart writes a kind and a text so that no two sequences of parts look alike.
func writePart(sum hash.Hash, kind, text string) {
	fmt.Fprintf(sum, "%s %d:%s\n", kind, len(text), text)
}

// trimLines drops carriage returns and spaces at the end of lines, and empty lines at the end.
func trimLines(data []byte) []byte {
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		lines[i] = bytes.TrimRight(line, " \t\r")
	}
	return bytes.TrimRight(bytes.Join(lines, []byte("\n")), "\n")
}
