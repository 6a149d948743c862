//go:build !linux

package lineage

// networkFileSystem knows no way to tell on this system.
func networkFileSystem(string) string { return "" }
