package lineage

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"mendel/internal/research"
)

// A certificate's bundle is one text file that whoever doubts it can check without the run. Its first line
// is the word below with the SHA-256 of everything after it. Then follows one JSON object on each line:
// what is certified, every event of the run up to the decision, and the contents of the two trees.
const bundleWord = "mendel-certificate 1 "

// A Bundle is what the second line says. All of it follows from the events.
type Bundle struct {
	Certificate   research.Certificate  `json:"certificate"`
	Run           string                `json:"run"`
	Task          research.TaskIdentity `json:"task"`
	Score         research.ScoreRule    `json:"score"`
	Sandbox       research.SandboxNote  `json:"sandbox"`
	Unsandboxed   bool                  `json:"allow_unsandboxed,omitempty"`
	BaselineTree  research.Hash         `json:"baseline_tree"`
	IncumbentTree research.Hash         `json:"incumbent_tree"`
	Head          string                `json:"head"` // of the chain at the decision
}

// bundledEvent is one row of the events table.
type bundledEvent struct {
	Seq     int64             `json:"seq"`
	At      string            `json:"at"`
	Kind    research.FactKind `json:"kind"`
	Payload string            `json:"payload"`
	Prev    research.Hash     `json:"prev"`
	Hash    research.Hash     `json:"hash"`
}

type bundledBlob struct {
	Blob research.Hash `json:"blob"`
	Data []byte        `json:"data"`
}

// WriteBundle writes the bundle of the n-th certificate.
func (r *Reader) WriteBundle(w io.Writer, n int) error {
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	lines.SetEscapeHTML(false)
	if err := r.Snapshot(func(r *Reader) error { return r.bundleLines(n, lines.Encode) }); err != nil {
		return err
	}
	sum := sha256.Sum256(body.Bytes())
	if _, err := fmt.Fprintf(w, "%s%s\n", bundleWord, hex.EncodeToString(sum[:])); err != nil {
		return err
	}
	_, err := body.WriteTo(w)
	return err
}

func (r *Reader) bundleLines(n int, line func(any) error) error {
	records, err := read(r, func(s *session) ([]record, error) {
		return collect(s, scanRecord, `SELECT seq, at, kind, payload, prev, hash FROM events
			WHERE seq <= (SELECT decided_seq FROM certifications WHERE number = ?) ORDER BY seq`, n)
	})
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return fmt.Errorf("certificate %d is not decided", n)
	}
	about, err := bundleOf(records)
	if err != nil {
		return err
	}
	if err := line(about); err != nil {
		return err
	}
	for _, rec := range records {
		if err := line(bundledEvent(rec)); err != nil {
			return err
		}
	}
	written := map[research.Hash]bool{}
	for _, root := range []research.Hash{about.BaselineTree, about.IncumbentTree} {
		manifest, err := r.Manifest(root)
		if err != nil {
			return err
		}
		hashes := []research.Hash{root}
		for _, f := range manifest {
			hashes = append(hashes, f.Hash)
		}
		for _, hash := range hashes {
			if written[hash] {
				continue
			}
			written[hash] = true
			data, err := r.Blob(hash)
			if err != nil {
				return err
			}
			if err := line(bundledBlob{Blob: hash, Data: data}); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundleOf gathers what events say of the certificate that the last of them decides.
func bundleOf(records []record) (Bundle, error) {
	var b Bundle
	trees := map[research.TrialID]research.Hash{}
	for _, rec := range records {
		switch rec.Kind {
		case research.KindRegistered, research.KindSubmitted, research.KindCertified:
		default:
			continue
		}
		event, err := rec.event()
		if err != nil {
			return b, fmt.Errorf("event %d: %w", rec.Seq, err)
		}
		switch f := event.Fact.(type) {
		case research.Registered:
			b.Run, b.Task, b.Score, b.Sandbox, b.Unsandboxed = f.Run, f.Task, f.Score, f.Sandbox, f.Unsandboxed
		case research.Submitted:
			trees[f.Trial] = f.Proposal.Tree
		case research.Certified:
			b.Certificate = f.Certificate
		}
	}
	last := records[len(records)-1]
	if last.Kind != research.KindCertified {
		return b, fmt.Errorf("event %d, the last one, decides no certificate", last.Seq)
	}
	b.BaselineTree, b.IncumbentTree = trees[research.Baseline], trees[b.Certificate.Incumbent]
	b.Head = Head{Seq: last.Seq, Hash: last.Hash}.String()
	return b, nil
}

// IsBundle says whether a file begins like a certificate's bundle.
func IsBundle(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	word := make([]byte, len("mendel-certificate"))
	_, err = io.ReadFull(file, word)
	return err == nil && strings.HasPrefix(bundleWord, string(word))
}

// VerifyBundle recomputes what a bundle says: its sum, the chain of events, every verdict and the decision
// on the certificate, and the contents of both trees. Nothing but the file is needed.
func VerifyBundle(path string, options Options) (Bundle, Report, error) {
	report := Report{Path: path, Head: Head{Hash: genesis}}
	file, err := os.Open(path)
	if err != nil {
		return Bundle{}, report, err
	}
	defer file.Close()
	b, records, blobs, err := readBundle(file)
	if err != nil {
		report.Findings = []Finding{{Place: "bundle", Problem: err.Error(), Intact: -1}}
		return b, report, nil
	}
	dir, err := os.MkdirTemp("", "mendel-verify-")
	if err != nil {
		return b, report, err
	}
	defer os.RemoveAll(dir)
	db, err := openDatabase(filepath.Join(dir, FileName), writing)
	if err != nil {
		return b, report, err
	}
	v := verification{options: options, report: report, named: map[research.Hash]bool{}, excerpt: true}
	err = db.borrow(func(s *session) error {
		v.s = s
		if err := restore(s, records); err != nil {
			return err
		}
		return v.replay()
	})
	v.trees(b, blobs)
	return b, v.report, errors.Join(err, db.close())
}

// readBundle takes a bundle apart, and compares its own sum and summary with the rest.
func readBundle(file io.Reader) (b Bundle, records []record, blobs map[research.Hash][]byte, err error) {
	in := bufio.NewReader(file)
	head, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(head, bundleWord) {
		return b, nil, nil, errors.New("its first line is not that of a certificate")
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return b, nil, nil, err
	}
	if sum := sha256.Sum256(body); head != bundleWord+hex.EncodeToString(sum[:])+"\n" {
		return b, nil, nil, errors.New("its content and its sum do not belong together: it was changed, or cut short")
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	if err := decodeLine(lines[0], &b); err != nil {
		return b, nil, nil, err
	}
	blobs = map[research.Hash][]byte{}
	for i, line := range lines[1:] {
		if len(line) == 0 {
			continue
		}
		var event bundledEvent
		var blob bundledBlob
		switch {
		case decodeLine(line, &event) == nil && len(blobs) == 0:
			records = append(records, record(event))
		case decodeLine(line, &blob) == nil:
			blobs[blob.Blob] = blob.Data
		default:
			return b, nil, nil, fmt.Errorf("line %d is neither an event nor a content", i+3)
		}
	}
	if len(records) == 0 {
		return b, nil, nil, errors.New("it holds no event")
	}
	want, err := bundleOf(records)
	if err == nil && !sameJSON(want, b) {
		err = fmt.Errorf("its summary does not follow from its events: %s", difference(want, b))
	}
	return b, records, blobs, err
}

func decodeLine(line []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// restore makes a run file of events, as they are.
func restore(s *session, records []record) error {
	if err := s.exec("BEGIN"); err != nil {
		return err
	}
	if err := createSchema(s); err != nil {
		return err
	}
	for _, r := range records {
		if err := s.exec(`INSERT INTO events (seq, at, kind, payload, prev, hash) VALUES (?, ?, ?, ?, ?, ?)`,
			r.Seq, r.At, string(r.Kind), r.Payload, string(r.Prev), string(r.Hash)); err != nil {
			return err
		}
	}
	return s.exec("COMMIT")
}

// replay follows the chain and recomputes what follows from it, without the file's own projections.
func (v *verification) replay() error {
	v.version = schemaVersion
	if err := createProjections(v.s, "temp."); err != nil {
		return err
	}
	v.replaying = true
	if err := v.events(); err != nil {
		return err
	}
	v.head()
	return nil
}

// trees checks that both trees are there, to the byte.
func (v *verification) trees(b Bundle, blobs map[research.Hash][]byte) {
	named := map[research.Hash]bool{}
	for _, root := range []research.Hash{b.BaselineTree, b.IncumbentTree} {
		named[root] = true
		files, err := parseManifest(blobs[root])
		if err != nil {
			v.find("tree "+root.Short(), -1, "%v", err)
			continue
		}
		for _, f := range files {
			named[f.Hash] = true
			if blobs[f.Hash] == nil && f.Size > 0 {
				v.find("tree "+root.Short(), -1, "%s is missing", f.Path)
			}
		}
	}
	for hash, data := range blobs {
		if NewBlob(data).Hash != hash || !named[hash] {
			v.find("content "+hash.Short(), -1, "it is not what its hash says, or belongs to no tree")
		}
		v.report.Blobs++
		v.report.Bytes += int64(len(data))
	}
}
