// Package record reads the records that other auto-research programs leave — results.tsv with
// tree.tsv and best.json, or a results.tsv alone — into the trials of a run.
//
// Rows of such files can be damaged. What a row or another file of the record still says is
// recovered, what is lost is left out, and each such thing is a note; nothing is guessed without
// one. It writes nothing: [lineage.Import] makes the run file. docs/import.md states the rules.
// Start reading at [Read], then readTable.
package record

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mendel/internal/research"
)

// Options are what the user says of a record. Their zero values leave it to the record.
type Options struct {
	Name      string // of the run's task
	Metric    string // the column that is the score
	Direction research.Direction
	Bounds    []research.Bound // limits and gates by the names of columns; a record states none
}

// A Record is what was read.
type Record struct {
	Registration research.Registration // all but the run's id and the program's version
	Trials       []research.TrialImported
}

// A File is one file of a record.
type File struct {
	Name string
	Data []byte
}

// The names of a record's files in a directory.
const (
	resultsFile = "results.tsv"
	treeFile    = "tree.tsv"
	bestFile    = "best.json"
)

// Read reads a record's directory, or one table.
func Read(path string, o Options) (Record, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Record{}, err
	}
	o.Name = cmp.Or(o.Name, nameOf(path, info.IsDir()))
	var files []File
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		if err != nil {
			return Record{}, err
		}
		files = []File{{Name: filepath.Base(path), Data: data}}
		return Parse(path, files, o)
	}
	for _, name := range []string{resultsFile, treeFile, bestFile} {
		data, err := os.ReadFile(filepath.Join(path, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Record{}, err
		}
		files = append(files, File{Name: name, Data: data})
	}
	if !slices.ContainsFunc(files, func(f File) bool { return f.Name != bestFile }) {
		return Record{}, research.Hinted(fmt.Errorf("%s: there is neither %s nor %s", path, resultsFile, treeFile),
			"name the table itself where it has another name")
	}
	return Parse(path, files, o)
}

// nameOf calls a run after its directory, or after its table where that says more than "results".
func nameOf(path string, dir bool) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "imported"
	}
	if dir {
		return filepath.Base(absolute)
	}
	name := filepath.Base(absolute)
	if name == resultsFile {
		return filepath.Base(filepath.Dir(absolute))
	}
	return name[:len(name)-len(filepath.Ext(name))]
}

// Parse reads the files of a record. It is pure.
func Parse(from string, files []File, o Options) (Record, error) {
	p := parser{options: o, origin: research.Provenance{From: from}}
	var results, tree *table
	var best map[string]any
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		p.origin.Files = append(p.origin.Files, research.RecordFile{Name: f.Name, Bytes: int64(len(f.Data)), Hash: research.Hash(hex.EncodeToString(sum[:]))})
		if f.Name == bestFile {
			best = p.readBest(f)
			continue
		}
		t, err := readTable(f.Name, f.Data, p.note)
		if err != nil {
			return Record{}, fmt.Errorf("%s: %w", filepath.Join(from, f.Name), err)
		}
		if f.Name == treeFile && len(files) > 1 {
			tree = t
		} else {
			results = t
		}
	}
	if results == nil {
		p.note(research.LeftOut, treeFile, 0, "", "there is no "+resultsFile+": every row is taken from here, without times, expectations and notes")
		results, tree = tree, nil
	}
	return p.record(results, tree, best)
}

// A parser gathers what is found in one record.
type parser struct {
	options Options
	origin  research.Provenance

	results, tree *table
	best          map[string]any
	score         research.ScoreRule
	otherScore    bool // another one than the record's own, which its deltas are about
}

// A noter takes one note; line 0 is the file as a whole.
type noter func(kind research.NoteKind, file string, line int, trial, text string)

func (p *parser) note(kind research.NoteKind, file string, line int, trial, text string) {
	p.origin.Notes = append(p.origin.Notes, research.ImportNote{Kind: kind, File: file, Line: line, Trial: trial, Text: text})
}

func (p *parser) notef(kind research.NoteKind, r *row, format string, args ...any) {
	p.note(kind, r.file, r.line, r.name, fmt.Sprintf(format, args...))
}

func (p *parser) record(results, tree *table, best map[string]any) (Record, error) {
	p.results, p.tree, p.best = results, tree, best
	rows := p.rows()
	if len(rows) == 0 {
		return Record{}, fmt.Errorf("%s: there is no trial in it", results.file)
	}
	if err := p.findScore(rows); err != nil {
		return Record{}, err
	}
	trials := p.trials(rows)
	slices.SortStableFunc(p.origin.Notes, func(a, b research.ImportNote) int {
		return cmp.Or(cmp.Compare(p.order(a.File), p.order(b.File)), cmp.Compare(a.Line, b.Line))
	})
	return Record{Registration: p.registration(trials), Trials: trials}, nil
}

// order keeps the notes of one file together.
func (p *parser) order(file string) int {
	return slices.IndexFunc(p.origin.Files, func(f research.RecordFile) bool { return f.Name == file })
}

func (p *parser) registration(trials []research.TrialImported) research.Registration {
	reg := research.Registration{
		VerdictVersion: research.VerdictVersion, Task: research.TaskIdentity{Name: p.options.Name, Title: p.options.Name},
		Score: p.score, Bounds: p.options.Bounds, Keep: research.KeepRule{Rule: research.AsImported}, Imported: &p.origin,
	}
	for _, t := range trials {
		role := t.Proposal.Role
		known := slices.ContainsFunc(reg.Agents, func(a research.Agent) bool { return a.Role == role })
		if t.Status != research.StatusBaseline && !known {
			reg.Agents = append(reg.Agents, research.Agent{Name: role, Role: role, Proposer: proposer})
		}
	}
	return reg
}

// proposer stands for whoever proposed the trials of a record, which does not say it.
const proposer = "imported"
