package tasks_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingIsDealtTwice: no image stands in two of the three sets, and no house: what tells one from another is its place.
func TestNothingIsDealtTwice(t *testing.T) {
	for _, c := range []struct {
		file, array string
		size, from  int // bytes of a row, and where what tells it from others begins
		total       int
	}{
		{"airbench-cpu/data/*/digits.npz", "images", 8 * 8, 0, 1797},
		{"appraisal/data/*/houses.npz", "numbers", 13 * 4, 11 * 4, 25357},
	} {
		seen, total := map[string]string{}, 0
		for _, set := range []string{"train", "val", "cert"} {
			file := strings.Replace(c.file, "*", set, 1)
			for rows := array(t, filepath.FromSlash(file), c.array); len(rows) >= c.size; rows = rows[c.size:] {
				row := string(rows[c.from:c.size])
				if other := seen[row]; other != "" {
					t.Errorf("a row of %s stands in %s too", file, other)
				}
				seen[row] = file
				total++
			}
		}
		if total != c.total {
			t.Errorf("%s: %d rows instead of %d", c.file, total, c.total)
		}
	}
}

// TestPassagesHaveNoParallels: reciting the training text, or one passage, does not predict another.
func TestPassagesHaveNoParallels(t *testing.T) {
	const streamBytes = 512
	var passages [][]byte
	for _, set := range []string{"val", "cert"} {
		streams := array(t, filepath.Join("golf-cpu", "data", set, "streams.npz"), "streams")
		for ; len(streams) >= streamBytes; streams = streams[streamBytes:] {
			passages = append(passages, streams[:streamBytes])
		}
	}
	if len(passages) != 256 {
		t.Fatalf("%d passages instead of 256", len(passages))
	}
	checkParallels(t, 40, passages, gunzip(t, filepath.Join("golf-cpu", "data", "train", "kjv.txt.gz")))
}

// checkParallels: no held-out passage shares so long a run of letters with the training text or with another passage.
func checkParallels(t *testing.T, run int, passages [][]byte, training []byte) {
	t.Helper()
	held := map[string]int{} // each run of letters, and the passage that it stands in
	for passage, text := range passages {
		text = letters(text)
		for i := 0; i+run <= len(text); i++ {
			key := string(text[i : i+run])
			if other, ok := held[key]; ok && other != passage {
				t.Errorf("passages %d and %d share %q", other, passage, key)
			}
			held[key] = passage
		}
	}
	text := letters(training)
	if len(text) < 2_500_000 {
		t.Fatalf("the training text has only %d letters", len(text))
	}
	for i := 0; i+run <= len(text); i++ {
		if p, ok := held[string(text[i:i+run])]; ok {
			t.Fatalf("passage %d shares %q with the training text", p, text[i:i+run])
		}
	}
}

// letters drops all but letters, and their case.
func letters(text []byte) []byte {
	kept := make([]byte, 0, len(text))
	for _, c := range bytes.ToLower(text) {
		if 'a' <= c && c <= 'z' {
			kept = append(kept, c)
		}
	}
	return kept
}

// array reads the bare bytes of an array in one of NumPy's archives (format 1.0).
func array(t *testing.T, path, name string) []byte {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	member, err := archive.Open(name + ".npy")
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	raw, err := io.ReadAll(member)
	if err != nil {
		t.Fatal(err)
	}
	const prefix = 10 // magic, version, length of the header
	if !bytes.HasPrefix(raw, []byte("\x93NUMPY\x01\x00")) || len(raw) < prefix {
		t.Fatalf("%s: %s is no NumPy array of format 1.0", path, name)
	}
	return raw[prefix+int(binary.LittleEndian.Uint16(raw[8:])):]
}

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
