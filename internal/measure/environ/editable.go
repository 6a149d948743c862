package environ

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mendel/internal/measure/sandbox"
)

// remapEditable covers the files by which a package is installed in editable form with copies
// that name the guest's directory: .pth and .egg-link files, and the import hooks that setuptools
// writes.
func (r *Request) remapEditable(e *Environment, root *root, py *interpreter) error {
	if len(r.Remap) == 0 {
		return nil
	}
	for _, dir := range py.Path {
		if !isSitePackages(dir) {
			continue
		}
		for _, pattern := range []string{"*.pth", "*.egg-link", "__editable__*.py"} {
			files, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, file := range files {
				if err := r.remapFile(file, e, root); err != nil {
					return fmt.Errorf("environment: editable install %s: %w", file, err)
				}
			}
		}
	}
	return nil
}

func (r *Request) remapFile(file string, e *Environment, root *root) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	root.sources = append(root.sources, file)
	text := string(b)
	for _, host := range sortedKeys(r.Remap) {
		text = replacePath(text, host, r.Remap[host])
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil || text == string(b) || !root.inPlace(real) {
		return err
	}
	sum := sha256.Sum256([]byte(text))
	root.lines = append(root.lines, "remapped "+real+" "+hex.EncodeToString(sum[:]))
	cover := filepath.Join(root.dir, ".mendel", hex.EncodeToString(sum[:8])+filepath.Ext(file))
	if err := os.MkdirAll(filepath.Dir(cover), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(cover, []byte(text), 0o644); err != nil {
		return err
	}
	e.Mounts = append(e.Mounts, sandbox.Mount{Host: cover, Guest: real})
	return nil
}

// replacePath replaces a directory's path, but not that of a sibling whose name begins alike.
func replacePath(text, from, to string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, from)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		rest := text[i+len(from):]
		b.WriteString(text[:i])
		if rest == "" || strings.ContainsRune("/'\"\r\n:, ", rune(rest[0])) {
			b.WriteString(to)
		} else {
			b.WriteString(from)
		}
		text = rest
	}
}
