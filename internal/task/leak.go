package task

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Held-out data must not lie anywhere that a recipe or a specialist can see. The search for it
// compares SHA-256 sums of whole files and of what is packed in them: the content of .gz and .bz2
// files, every member of .zip and .npz archives, and of a .npy array also the bare numbers. So a
// held-out array is found again in another archive, or unpacked. Other formats (.xz, .zst, .tar)
// are compared as whole files only, and no sum finds a copy that was cut or converted.

const (
	// smallestSecret is the length below which equal contents are chance: empty files, one label.
	smallestSecret = 32
	// mostUnpacked keeps a decompression bomb from stopping the check.
	mostUnpacked = 4 << 30
)

// A content is one thing that has a sum: a file, or what is packed in it.
type content struct {
	where string // path in the package, and the member after ":"
	sum   [sha256.Size]byte
}

func (l *loader) leaks() {
	type secret struct{ data, where string }
	secrets := map[[sha256.Size]byte]secret{}
	for _, d := range l.task.Data {
		if d.heldOut() {
			l.contents(d.Path, func(c content) { secrets[c.sum] = secret{d.Name, c.where} })
		}
	}
	if len(secrets) == 0 {
		return
	}
	reported := map[string]bool{}
	leaked := func(c content) {
		file, _, _ := strings.Cut(c.where, ":")
		s, ok := secrets[c.sum]
		// The same file twice is an overlap of two entries, and reported there.
		if ok && s.where != c.where && !reported[file] {
			reported[file] = true
			l.failFile(Problem{File: file, Message: fmt.Sprintf("%s holds the same as data.%s (%s), which is held out", c.where, s.data, s.where),
				Hint: "remove the copy: the recipe and the specialists would see the answers"})
		}
	}
	for _, place := range l.visible() {
		l.contents(place, leaked)
	}
	for _, f := range l.task.taken {
		_ = sumOf(bytes.NewReader(f.Data), path.Join("upstream", f.Path), leaked) // memory can be read
	}
}

// visible lists what a recipe or a specialist can see of the package.
func (l *loader) visible() []string {
	places := []string{l.task.Recipe.Dir}
	for _, d := range l.task.Data {
		if !d.heldOut() {
			places = append(places, d.Path)
		}
	}
	texts := append([]string{}, l.raw.Knowledge.Pinned...)
	texts = append(texts, l.raw.Knowledge.OnDemand...)
	for _, r := range l.raw.Roles {
		texts = append(texts, r.Preamble)
	}
	for _, name := range texts {
		if name != "" && filepath.IsLocal(filepath.FromSlash(name)) {
			places = append(places, filepath.Join(l.dir, filepath.FromSlash(name)))
		}
	}
	return places
}

// contents calls found for everything below a place that is long enough to be told apart.
func (l *loader) contents(place string, found func(content)) {
	if place == "" {
		return
	}
	info, err := os.Stat(place)
	if err != nil {
		return // reported where the path is resolved
	}
	nodes := []node{{path: place, size: info.Size(), mode: info.Mode()}}
	if info.IsDir() {
		if nodes, err = walk(place, nil); err != nil {
			l.failFile(Problem{File: l.rel(place), Message: err.Error()})
			return
		}
	}
	for _, n := range nodes {
		if !n.mode.IsRegular() {
			continue // reported as a link
		}
		if err := fileContents(n.path, l.rel(n.path), found); err != nil {
			l.failFile(Problem{File: l.rel(n.path), Message: "cannot be compared with the held-out data: " + err.Error(),
				Hint: "repair the file, or correct its suffix if it is no archive"})
		}
	}
}

func (l *loader) rel(p string) string {
	rel, err := filepath.Rel(l.dir, p)
	if err != nil {
		return p
	}
	return filepath.ToSlash(rel)
}

func fileContents(file, name string, found func(content)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := sumOf(f, name, found); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch path.Ext(name) {
	case ".gz":
		unpacked, err := gzip.NewReader(bufio.NewReader(f))
		if err != nil {
			return err
		}
		return sumOf(unpacked, name+":unpacked", found)
	case ".bz2":
		return sumOf(bzip2.NewReader(bufio.NewReader(f)), name+":unpacked", found)
	case ".zip", ".npz":
		return memberSums(f, name, found)
	}
	return nil
}

func memberSums(f *os.File, name string, found func(content)) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(f, info.Size())
	if err != nil {
		return err
	}
	for _, member := range archive.File {
		if strings.HasSuffix(member.Name, "/") {
			continue
		}
		r, err := member.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", member.Name, err)
		}
		err = sumOf(r, name+":"+member.Name, found)
		r.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", member.Name, err)
		}
	}
	return nil
}

// sumOf hashes one content, and of a .npy array also the numbers alone.
func sumOf(r io.Reader, where string, found func(content)) error {
	limited := &io.LimitedReader{R: r, N: mostUnpacked}
	buffered := bufio.NewReaderSize(limited, 1<<16)
	head, _ := buffered.Peek(1 << 16)
	whole, numbers := sha256.New(), sha256.New()
	header := npyHeader(head)
	var length int64
	sink := io.Writer(whole)
	if header > 0 {
		n, err := io.CopyN(whole, buffered, int64(header))
		if err != nil {
			return err
		}
		length, sink = n, io.MultiWriter(whole, numbers)
	}
	n, err := io.Copy(sink, buffered)
	if err != nil {
		return err
	}
	if limited.N == 0 {
		return fmt.Errorf("%s is larger than %d bytes", where, int64(mostUnpacked))
	}
	if length+n-int64(header) < smallestSecret {
		return nil
	}
	c := content{where: where}
	whole.Sum(c.sum[:0])
	found(c)
	if header > 0 {
		numbers.Sum(c.sum[:0])
		found(c)
	}
	return nil
}

// npyHeader is the length of a NumPy array file's header, or 0 for other content. The format is
// NEP 1: magic, version, length of the description, description.
func npyHeader(head []byte) int {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("\x93NUMPY")) {
		return 0
	}
	length := 10 + int(head[8]) + int(head[9])<<8
	if head[6] >= 2 {
		length = 12 + int(head[8]) + int(head[9])<<8 + int(head[10])<<16 + int(head[11])<<24
	}
	if length > len(head) {
		return 0
	}
	return length
}
