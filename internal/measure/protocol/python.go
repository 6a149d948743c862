package protocol

import (
	"embed"
	"io/fs"
)

//go:embed python/*.py
var python embed.FS

// Helpers are the Python modules that every guest sees in /mendel.
func Helpers() fs.FS {
	sub, err := fs.Sub(python, "python")
	if err != nil {
		panic(err) // the embedded directory is there by construction
	}
	return sub
}
