package lineage

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mendel/internal/research"
)

func newStore(t testing.TB, files []File) (*Store, Blob) {
	t.Helper()
	root, blobs, err := NewTree(files)
	if err != nil {
		t.Fatal(err)
	}
	store, err := Create(t.TempDir(), research.Registration{VerdictVersion: research.VerdictVersion, BaselineTree: root.Hash}, blobs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store, root
}

// TestTreesComeBack whatever their files hold, and a small edit of a large file costs little.
func TestTreesComeBack(t *testing.T) {
	var lines []string
	for i := range 2000 {
		lines = append(lines, fmt.Sprintf("%x", hashOf(fmt.Append(nil, i))))
	}
	large := strings.Join(lines, "\n")
	store, _ := newStore(t, []File{{Path: "train.py", Data: []byte(large)}, {Path: "empty", Data: nil}, {Path: "bin/a", Mode: 0o755, Data: []byte{0, 1, 2}}})
	if _, err := store.Append(t.Context(), research.Submitted{Proposal: research.Proposal{Tree: store.reg.BaselineTree}}); err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(large, lines[1000], "edited", 1)
	next := research.TrialID(1)
	submit := func(files []File) (Blob, error) {
		root, blobs, err := NewTree(files)
		if err != nil {
			return root, err
		}
		_, err = store.Append(t.Context(), research.Submitted{Trial: next, Proposal: research.Proposal{Tree: root.Hash}}, blobs...)
		if err == nil {
			next++
		}
		return root, err
	}
	if _, err := submit([]File{{Path: "train.py", Data: []byte(edited)}}); err != nil {
		t.Fatal(err)
	}
	row := storedBlob{}
	if err := store.db.borrow(func(s *session) (err error) { row, err = blobRow(s, hashOf([]byte(edited))); return err }); err != nil {
		t.Fatal(err)
	}
	if row.codec != compressedFrom || len(row.data) > 200 {
		t.Errorf("an edit of one line is stored as %s in %d of %d bytes", row.codec, len(row.data), len(edited))
	}
	rapid.Check(t, func(rt *rapid.T) {
		contents := rapid.MapOfN(rapid.SampledFrom([]string{"train.py", "empty", "bin/a", "other", "ünïcode"}), rapid.SliceOf(rapid.Byte()), 1, 4).Draw(rt, "files")
		var files []File
		for path, data := range contents {
			files = append(files, File{Path: path, Mode: rapid.SampledFrom([]uint32{0o644, 0o755}).Draw(rt, "mode"), Data: data})
		}
		root, err := submit(files)
		if err != nil {
			rt.Fatal(err)
		}
		back, err := store.Tree(root.Hash)
		if err != nil || len(back) != len(files) {
			rt.Fatalf("%d files, want %d: %v", len(back), len(files), err)
		}
		for _, got := range back {
			if !bytes.Equal(got.Data, contents[got.Path]) {
				rt.Fatalf("%s came back as %q", got.Path, got.Data)
			}
		}
	})
	report, err := Verify(store.Path(), Options{})
	if err != nil || report.Err() != nil {
		t.Errorf("%v, %v", err, report.Err())
	}
}

func TestTreePathsAreConfined(t *testing.T) {
	for _, paths := range [][]string{{}, {""}, {"."}, {".."}, {"../a"}, {"/a"}, {"a/../b"}, {"a//b"}, {"a/"}, {"a", "a"}, {"a", "a/b"}, {"a/b/c", "a/b"}, {"x\x00"}, {".git/config"}, {"a/.GIT/hooks/x"}} {
		var files []File
		for _, p := range paths {
			files = append(files, File{Path: p})
		}
		if _, _, err := NewTree(files); err == nil {
			t.Errorf("a tree of %q was accepted", paths)
		}
	}
}

func FuzzDecode(f *testing.F) {
	score := 1.5
	for _, fact := range []research.Fact{
		research.Supervised{PID: 1, Host: "h"}, research.Judged{Trial: 3, Verdict: research.Verdict{Reference: &score, Samples: []string{"003/0"}}},
		research.Measured{Measurement: research.Measurement{Outcome: research.Valid, Score: &score, Metrics: map[string]research.MetricValue{"a": {Value: 1}}}},
		research.ModelAsked{Session: 1, Call: 1, Model: "m", Worst: research.Charge{USD: 0.1}}, research.ModelAnswered{Usage: research.Usage{Input: 3}, Error: "cut"},
		research.Registered{}, research.Submitted{}, research.Calibrated{}, research.Dispatched{Attempt: research.Attempt{Seeds: []int64{1}}},
	} {
		payload, err := encode(fact)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(fact.Kind()), payload)
	}
	f.Add("judged", `{"trial":1}{}`)
	f.Add("stopped", `{"reason":"a","more":1}`)
	f.Fuzz(func(t *testing.T, kind, payload string) {
		fact, err := decode(research.FactKind(kind), payload)
		if err != nil {
			return
		}
		if string(fact.Kind()) != kind {
			t.Fatalf("%q was decoded as %q", kind, fact.Kind())
		}
		canonical, err := encode(fact)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := decode(fact.Kind(), canonical)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice, err := encode(again); err != nil || twice != canonical {
			t.Fatalf("%s became %s (%v)", canonical, twice, err)
		}
	})
}

func TestDecodeRefusesWhatItDoesNotKnow(t *testing.T) {
	for payload, kind := range map[string]string{
		`{"reason":"a","more":1}`: "stopped", `{"reason":"a"} {}`: "stopped", `{}`: "surprised", `[]`: "stopped", ``: "stopped",
	} {
		if fact, err := decode(research.FactKind(kind), payload); err == nil {
			t.Errorf("%s %s was read as %v", kind, payload, fact)
		}
	}
}
