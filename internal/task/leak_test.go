package task

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
)

// npy writes little-endian float32 numbers as NumPy does.
func npy(numbers []float32) []byte {
	description := "{'descr': '<f4', 'fortran_order': False, 'shape': (100,), }"
	description += strings.Repeat(" ", 118-len(description)-1) + "\n"
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	binary.Write(&b, binary.LittleEndian, uint16(len(description)))
	b.WriteString(description)
	binary.Write(&b, binary.LittleEndian, numbers)
	return b.Bytes()
}

func zipped(members map[string][]byte) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, data := range members {
		f, _ := w.Create(name)
		f.Write(data)
	}
	w.Close()
	return b.Bytes()
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func TestHeldOutDataIsFoundWhereverItIsPacked(t *testing.T) {
	labels, other := make([]float32, 100), make([]float32, 100)
	for i := range labels {
		labels[i], other[i] = float32(i*i%7), float32(i)
	}
	heldout := zipped(map[string][]byte{"images.npy": npy(other), "labels.npy": npy(labels)})
	bare := npy(labels)[128:]
	for name, c := range map[string]struct {
		file string
		data []byte
		leak bool
	}{
		"same archive":                {"recipe/a.bin", heldout, true},
		"same array, other archive":   {"recipe/a.npz", zipped(map[string][]byte{"x.npy": npy(labels)}), true},
		"unpacked array":              {"data/train/labels.npy", npy(labels), true},
		"bare numbers":                {"data/train/labels.bin", bare, true},
		"packed numbers":              {"recipe/labels.gz", gzipped(bare), true},
		"in the knowledge":            {"knowledge/PROBLEM.md", bare, true},
		"another array":               {"recipe/a.npz", zipped(map[string][]byte{"x.npy": npy(append([]float32{9}, labels[1:]...))}), false},
		"beside what anyone can see":  {"data/make/labels.bin", bare, false},
		"in the evaluator":            {"evaluator/labels.bin", bare, false},
		"an empty file is no secret":  {"recipe/__init__.py", nil, false},
		"a damaged archive is a risk": {"recipe/a.npz", []byte("PK but not really"), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := exampleTask(t)
			for file, data := range map[string][]byte{"data/heldout/digits.npz": heldout, "data/heldout/empty": nil, c.file: c.data} {
				if err := writeFile(filepath.Join(dir, file), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			problems := problemsOf(t, dir)
			if got := len(problems) > 0; got != c.leak {
				t.Fatalf("found: %v, want %v:\n%v", got, c.leak, problems)
			}
			if c.leak && problems[0].File != c.file {
				t.Errorf("named %s, want %s", problems[0].File, c.file)
			}
		})
	}
}

func TestTruncatedArrayHeaderIsNoHeader(t *testing.T) {
	for n := range 16 {
		if got := npyHeader(npy(make([]float32, 4))[:n]); got != 0 {
			t.Errorf("%d bytes: header of %d", n, got)
		}
	}
}
