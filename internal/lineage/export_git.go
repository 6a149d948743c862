package lineage

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"mendel/internal/research"
)

// ExportGit writes the lineage as a stream for `git fast-import`: every trial is a commit on its
// parent, under the tag trial/NNN, with its verdict as a note in refs/notes/verdicts; main is the
// incumbent (the baseline while there is none). So `git log --graph --all --notes=verdicts` shows
// the search, and `git diff trial/003 trial/007` two of its trials.
func (r *Reader) ExportGit(w io.Writer) error {
	return r.Snapshot(func(r *Reader) error {
		g := gitStream{w: bufio.NewWriter(w), r: r, blobs: map[research.Hash]int{}, given: map[research.TrialID]bool{}}
		g.printf("feature done\n")
		if err := r.Each(g.trial); err != nil {
			return err
		}
		if err := g.notes(); err != nil {
			return err
		}
		if err := g.main(); err != nil {
			return err
		}
		g.printf("done\n")
		return g.w.Flush()
	})
}

// A gitStream writes one fast-import stream. Trial n has mark n+1; blobs have marks from
// firstBlob, so that neither must be looked up for the other.
type gitStream struct {
	w     *bufio.Writer
	r     *Reader
	blobs map[research.Hash]int
	last  research.Trial
	given map[research.TrialID]bool // commits written so far
}

const firstBlob = 1 << 30

// printf leaves errors to the writer, which keeps the first one for Flush.
func (g *gitStream) printf(format string, args ...any) { fmt.Fprintf(g.w, format, args...) }

func (g *gitStream) data(text string) { g.printf("data %d\n%s\n", len(text), text) }

func commitMark(id research.TrialID) int { return int(id) + 1 }

func (g *gitStream) trial(t research.Trial) error {
	files, err := g.files(t)
	if err != nil {
		return fmt.Errorf("trial %s: %w", t.ID, err)
	}
	for _, f := range files {
		if err := g.blob(f.Hash); err != nil {
			return fmt.Errorf("trial %s: %s: %w", t.ID, f.Path, err)
		}
	}
	who := fmt.Sprintf("%s <%s@mendel>", gitName(t.Proposal.Role), gitName(t.Proposal.Role))
	when := fmt.Sprintf("%d +0000", gitTime(t))
	g.printf("commit refs/tags/trial/%s\nmark :%d\nauthor %s %s\ncommitter %s %s\n", t.ID, commitMark(t.ID), who, when, who, when)
	g.data(message(t))
	if t.ID != research.Baseline && g.given[t.Proposal.Parent] { // an imported record may lack its baseline
		g.printf("from :%d\n", commitMark(t.Proposal.Parent))
	}
	g.given[t.ID], g.last = true, t
	g.printf("deleteall\n")
	for _, f := range files {
		g.printf("M 100%03o :%d %s\n", f.Mode&0o777, g.blobs[f.Hash], gitPath(f.Path))
	}
	g.printf("\n")
	return nil
}

// files are those of a trial; an imported one has none, and its commit an empty tree.
func (g *gitStream) files(t research.Trial) ([]research.TreeFile, error) {
	if t.Proposal.Tree == "" {
		return nil, nil
	}
	return g.r.Manifest(t.Proposal.Tree)
}

// gitTime is when a trial was submitted, 1970 where an imported record does not say it.
func gitTime(t research.Trial) int64 { return max(0, t.SubmittedAt.Unix()) }

func (g *gitStream) blob(hash research.Hash) error {
	if _, written := g.blobs[hash]; written {
		return nil
	}
	data, err := g.r.Blob(hash)
	if err != nil {
		return err
	}
	g.blobs[hash] = firstBlob + len(g.blobs)
	g.printf("blob\nmark :%d\ndata %d\n", g.blobs[hash], len(data))
	g.w.Write(data)
	g.printf("\n")
	return nil
}

// notes is one commit that holds all verdicts.
func (g *gitStream) notes() error {
	if len(g.given) == 0 {
		return nil
	}
	reg, err := g.r.Registration()
	if err != nil {
		return err
	}
	g.printf("commit refs/notes/verdicts\ncommitter mendel <mendel@mendel> %d +0000\n", gitTime(g.last))
	g.data("verdicts")
	err = g.r.Each(func(t research.Trial) error {
		if t.Verdict != nil {
			g.printf("N inline :%d\n", commitMark(t.ID))
			g.data(note(t, reg.Score))
		}
		return nil
	})
	g.printf("\n")
	return err
}

func (g *gitStream) main() error {
	if len(g.given) == 0 {
		return nil
	}
	best, _, err := g.r.Incumbent()
	if err != nil {
		return err
	}
	if !g.given[best.ID] {
		best = g.last // an imported record without any score
	}
	g.printf("reset refs/heads/main\nfrom :%d\n\n", commitMark(best.ID))
	return nil
}

// message gives hypothesis, notes and what identifies the trial.
func message(t research.Trial) string {
	var b strings.Builder
	hypothesis := strings.TrimSpace(t.Proposal.Hypothesis)
	if hypothesis == "" {
		hypothesis = "trial " + t.ID.String()
	}
	b.WriteString(hypothesis + "\n\n")
	if notes := strings.TrimSpace(t.Proposal.Notes); notes != "" {
		b.WriteString(notes + "\n\n")
	}
	fmt.Fprintf(&b, "Trial: %s\nRole: %s\nProposer: %s\n", t.ID, t.Proposal.Role, t.Proposal.Proposer)
	if t.Proposal.Expected != nil {
		fmt.Fprintf(&b, "Expected-delta: %s\n", number(t.Proposal.Expected))
	}
	return strings.ReplaceAll(b.String(), "\x00", "")
}

// note is the verdict on a trial as people read it.
func note(t research.Trial, rule research.ScoreRule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.Status, t.Verdict.Reason)
	if t.NearMiss(rule) {
		fmt.Fprintf(&b, "near miss: %s\n", research.MarginList(t.Missed()))
	}
	if t.Measurement != nil {
		if score, ok := t.Score(); ok {
			fmt.Fprintf(&b, "score %s\n", number(&score))
		}
		for _, m := range t.Measurement.Margins {
			fmt.Fprintf(&b, "%s %s, %s\n", m.Bound.Name, research.Quantity(m.Value, m.Bound.Unit), m.By())
		}
	}
	return b.String()
}

// gitName drops what an author's name cannot hold.
func gitName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("<>", r) {
			return -1
		}
		return r
	}, s)
	if s = strings.TrimSpace(s); s == "" {
		return "mendel"
	}
	return s
}

// gitPath quotes a path as fast-import reads it.
func gitPath(path string) string {
	if !strings.ContainsAny(path, "\"\\\n") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}
