package loop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/research"
	"mendel/internal/task"
)

// Certify measures baseline and incumbent again, in pairs, on the data that the task keeps for the
// certifier, and records the decision. It goes on with an attempt that was interrupted. Nobody else
// supervises the run meanwhile: the caller holds its lock.
func Certify(ctx context.Context, cfg Config, say func(string)) (research.Certificate, error) {
	reg, err := cfg.Store.Registration()
	if err != nil {
		return research.Certificate{}, err
	}
	c := &certifier{Loop: &Loop{cfg: cfg, reg: reg}, say: say}
	if err := c.begin(); err != nil {
		return research.Certificate{}, err
	}
	for {
		state, _, err := cfg.Store.LastCertification()
		if err != nil {
			return research.Certificate{}, err
		}
		if research.CertificateEnded(state.Certification, state.Baseline, state.Incumbent) {
			decided := research.Certify(state.Certification, reg.Score, reg.NoiseKind, state.Baseline, state.Incumbent)
			c.append(research.Certified{Certificate: decided})
			return decided, c.failure
		}
		if err := ctx.Err(); err != nil {
			return research.Certificate{}, err
		}
		if state.Failures >= maxAttempts {
			return research.Certificate{}, research.Hinted(fmt.Errorf("replicate %d could not be measured", state.Next()),
				"nothing is decided; `"+c.mendel("verify")+"` shows that what was measured is safe")
		}
		seeds, ofIncumbent := state.Half(state.Next(), reg.Seeds)
		of := research.Baseline
		if ofIncumbent {
			of = state.Certification.Incumbent
		}
		m := research.Recertifying{Certificate: state.Number, Replicate: state.Next(), Number: state.Attempts, Token: state.Open, Of: of, Seeds: seeds}
		left := state.Open != "" && exists(c.bundleOf(state.Open)) // by a certifier that died
		if !left {
			m.Number, m.Token = state.Attempts+1, cfg.Token()
		}
		if err := c.measure(ctx, m, state.Pairs, left); err != nil {
			return research.Certificate{}, err
		}
	}
}

// A certifier is a loop without a team.
type certifier struct {
	*Loop
	say func(string)
}

// begin records a new attempt, unless one on this incumbent is under way.
func (c *certifier) begin() error {
	if err := certifiable(c.cfg.Task); err != nil {
		return err
	}
	state, found, err := c.cfg.Store.LastCertification()
	if err != nil {
		return err
	}
	incumbent, _ := c.incumbent()
	if found && state.Decision == "" && state.Certification.Incumbent == incumbent.ID {
		c.say(fmt.Sprintf("certification %d goes on: %d of %d measurements are made", state.Number, state.Next()-1, 2*state.Pairs))
		return c.failure
	}
	next, err := c.cfg.Store.NextCertification()
	if err != nil {
		return err
	}
	c.say(fmt.Sprintf("certification %d: %s against the baseline, %d pairs, a gain beyond %s, alpha %.3g", next.Number, next.Incumbent, next.Pairs,
		research.Quantity(next.Margin, c.reg.Score.Unit), next.Alpha))
	c.append(research.Certifying{Certification: next})
	return c.failure
}

// bundleOf is where a measurement's bundle lies. Its name tells the recipe nothing, not even the token.
func (c *certifier) bundleOf(token string) string {
	return filepath.Join(c.cfg.Dir, "bundles", string(lineage.NewBlob([]byte(token)).Hash[:16]))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// measure makes one measurement, or takes up one that was left, and records it, or why there is none.
func (c *certifier) measure(ctx context.Context, m research.Recertifying, pairs int, left bool) error {
	trial, err := c.cfg.Store.Trial(m.Of)
	if err != nil {
		return err
	}
	tree, err := c.treeFiles(trial.Proposal.Tree)
	if err != nil {
		return err
	}
	if !left && !c.append(m) {
		return c.failure
	}
	attempt := research.Attempt{Trial: m.Of, Replicate: m.Replicate, Number: m.Number, Token: m.Token, Seeds: m.Seeds}
	var spec *bundle.Spec
	if !left {
		fresh := c.spec(attempt, trial.Proposal.Tree)
		fresh.Task.Data = certifyData(fresh.Task.Data)
		spec = &fresh
	}
	r := &runningJob{attempt: attempt, bundle: c.bundleOf(m.Token), forget: func() {}}
	end := c.follow(ctx, r, spec, tree)
	if ctx.Err() != nil && end.result == nil {
		c.cancel(r)
		return ctx.Err()
	}
	if end.err != nil {
		return end.err
	}
	done := research.Recertified{Certificate: m.Certificate, Replicate: m.Replicate, Token: m.Token, Lost: end.lost, Wall: research.SecondsOf(end.wall)}
	if end.result != nil {
		if measured := end.result.Measurement; measured.Outcome == research.Aborted {
			done.Lost = measured.Reason
		} else {
			done.Measurement = &measured
		}
	}
	if done.Measurement == nil {
		c.say(fmt.Sprintf("replicate %d: attempt %d lost: %s", m.Replicate, m.Number, done.Lost))
		c.append(done)
		return c.failure
	}
	if !c.append(done, end.logs...) {
		return c.failure
	}
	name := "baseline"
	if m.Of != research.Baseline {
		name = m.Of.String()
	}
	text := string(done.Measurement.Outcome)
	if s := done.Measurement.Score; s != nil {
		text = research.Quantity(*s, c.reg.Score.Unit)
	}
	c.say(fmt.Sprintf("pair %d of %d: %-8s %s", (m.Replicate+1)/2, pairs, name, text))
	return bundle.Remove(r.bundle)
}

// cancel ends a measurement that nobody waits for any more.
func (c *certifier) cancel(r *runningJob) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.cfg.Executor.Cancel(ctx, executor.JobID(filepath.Base(r.bundle))); err != nil {
		c.cfg.Log.Warn("cancel", "error", err)
	}
	if err := bundle.Remove(r.bundle); err != nil {
		c.cfg.Log.Warn("remove", "error", err)
	}
}

// certifyData lets the evaluator have the certifier's data in place of the held-out data that the search
// was scored on.
func certifyData(all []bundle.Data) []bundle.Data {
	data := slices.Clone(all)
	for i, d := range data {
		if slices.Contains(d.VisibleTo, bundle.ForCertifier) {
			data[i].VisibleTo = []string{bundle.ForEvaluator}
		} else {
			data[i].VisibleTo = slices.DeleteFunc(slices.Clone(d.VisibleTo), func(who string) bool { return who == bundle.ForEvaluator })
		}
	}
	return data
}

// certifiable says whether the data for a certificate is here. A task whose evaluator needs no data needs
// none for the certifier.
func certifiable(t *task.Task) error {
	heldOut, kept := false, false
	for _, d := range t.Data {
		heldOut = heldOut || slices.Contains(d.VisibleTo, bundle.ForEvaluator)
		if !slices.Contains(d.VisibleTo, bundle.ForCertifier) {
			continue
		}
		kept = true
		if _, err := os.Stat(d.Path); err != nil {
			return research.Hinted(fmt.Errorf("data %s is not here: %w", d.Name, err), "the task, or the site file, names where it lies")
		}
	}
	if heldOut && !kept {
		return research.Hinted(fmt.Errorf("the task keeps no data for the certifier: the search has seen all that its evaluator knows"),
			"add an entry of `data` with `visible_to: [certifier]` before the next run")
	}
	return nil
}
