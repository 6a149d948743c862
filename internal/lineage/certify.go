package lineage

import (
	"encoding/json"
	"fmt"
	"slices"

	"mendel/internal/research"
)

// A Certification is an attempt at a certificate with what was measured of it so far.
type Certification struct {
	research.Certification
	Decision            research.Decision // "" while it is under way
	Baseline, Incumbent []research.Measurement
	Failures            int    // attempts at the next replicate that were lost
	Attempts            int    // attempts at the next replicate
	Open                string // token of the one that is under way
}

// Next is the replicate to be measured next, from 1.
func (c Certification) Next() int { return len(c.Baseline) + len(c.Incumbent) + 1 }

// LastCertification is the newest attempt at a certificate; false when there is none.
func (r *Reader) LastCertification() (Certification, bool, error) {
	c, err := read(r, func(s *session) (Certification, error) {
		if version, err := versionOf(s); err != nil || version < 4 {
			return Certification{}, err
		}
		return lastCertification(s)
	})
	return c, c.Number > 0, err
}

// NextCertification is the attempt that may be begun now.
func (r *Reader) NextCertification() (research.Certification, error) {
	reg, err := r.Registration()
	if err != nil {
		return research.Certification{}, err
	}
	return read(r, func(s *session) (research.Certification, error) {
		st, err := readState(s)
		if err != nil {
			return research.Certification{}, err
		}
		last, err := lastCertification(s)
		if err != nil {
			return research.Certification{}, err
		}
		head, err := readHead(s)
		if err != nil {
			return research.Certification{}, err
		}
		return nextCertification(reg, st, last, head.Hash)
	})
}

// Certificates lists the attempts that were decided, oldest first.
func (r *Reader) Certificates() ([]research.Certificate, error) {
	return read(r, func(s *session) ([]research.Certificate, error) {
		if version, err := versionOf(s); err != nil || version < 4 {
			return nil, err
		}
		return collect(s, func(row scanner) (c research.Certificate, err error) {
			payload, err := scanOne[string](row)
			if err != nil {
				return c, err
			}
			var f research.Certified
			err = json.Unmarshal([]byte(payload), &f)
			return f.Certificate, err
		}, `SELECT e.payload FROM certifications c JOIN events e ON e.seq = c.decided_seq ORDER BY c.number`)
	})
}

// nextCertification says why there is none now, or which.
func nextCertification(reg research.Registration, st state, last Certification, head research.Hash) (research.Certification, error) {
	switch err := reg.Certifiable(); {
	case err != nil:
		return research.Certification{}, err
	case !st.incumbent.Valid || st.incumbent.V == research.Baseline:
		return research.Certification{}, research.Hinted(fmt.Errorf("nothing was kept: the incumbent is the baseline itself"), "a certificate holds an improvement against the baseline: let the run find one first")
	case last.Number > 0 && last.Decision == "" && last.Certification.Incumbent == st.incumbent.V:
		return research.Certification{}, fmt.Errorf("certification %d of trial %s is under way", last.Number, st.incumbent.V)
	}
	return research.CertificationOf(*reg.Certificate, reg.NoiseKind, last.Number+1, st.incumbent.V, head), nil
}

func lastCertification(s *session) (c Certification, err error) {
	var entropy string
	err = s.row(`SELECT number, incumbent, margin, alpha, pairs, entropy, decision FROM certifications ORDER BY number DESC LIMIT 1`, nil,
		&c.Number, &c.Certification.Incumbent, &c.Margin, &c.Alpha, &c.Pairs, &entropy, &c.Decision)
	if isNone(err) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.Entropy = research.Hash(entropy)
	type result struct {
		of       research.TrialID
		measured research.Recertified
	}
	results, err := collect(s, func(row scanner) (r result, err error) {
		var payload string
		if err := row.Scan(&r.of, &payload); err != nil {
			return r, err
		}
		return r, json.Unmarshal([]byte(payload), &r.measured)
	}, `SELECT r.of, e.payload FROM recertifications r JOIN events e ON e.seq = r.measured_seq WHERE r.certificate = ? ORDER BY r.replicate`, c.Number)
	if err != nil {
		return c, err
	}
	for _, r := range results {
		if r.of == research.Baseline {
			c.Baseline = append(c.Baseline, *r.measured.Measurement)
		} else {
			c.Incumbent = append(c.Incumbent, *r.measured.Measurement)
		}
	}
	err = s.row(`SELECT count(*), coalesce(sum(lost <> ''), 0) FROM recertifications WHERE certificate = ? AND replicate = ?`, []any{c.Number, c.Next()}, &c.Attempts, &c.Failures)
	if err != nil || c.Attempts == 0 {
		return c, err
	}
	err = s.row(`SELECT token FROM recertifications WHERE certificate = ? AND replicate = ? AND number = ? AND lost = ''`, []any{c.Number, c.Next(), c.Attempts}, &c.Open)
	if isNone(err) {
		err = nil
	}
	return c, err
}

// certifying begins the attempt that follows, and no other.
func (p *projector) certifying(st state, e research.Event, f research.Certifying) error {
	last, err := lastCertification(p.s)
	if err != nil {
		return err
	}
	var before string
	if err := p.s.row(`SELECT prev FROM events WHERE seq = ?`, []any{e.Seq}, &before); err != nil {
		return err
	}
	want, err := nextCertification(p.reg, st, last, research.Hash(before))
	if err != nil {
		return misfit(f, "%v", err)
	}
	if want != f.Certification {
		return misfit(f, "the certification follows otherwise: %s", difference(want, f.Certification))
	}
	return p.s.exec(`INSERT INTO certifications (number, incumbent, margin, alpha, pairs, entropy, decision) VALUES (?, ?, ?, ?, ?, ?, '')`,
		f.Number, int64(f.Incumbent), f.Margin, f.Alpha, f.Pairs, string(f.Entropy))
}

func (p *projector) recertifying(f research.Recertifying) error {
	last, err := p.openCertification(f, f.Certificate)
	if err != nil {
		return err
	}
	seeds, ofIncumbent := last.Half(f.Replicate, p.reg.Seeds)
	of := research.Baseline
	if ofIncumbent {
		of = last.Certification.Incumbent
	}
	switch {
	case f.Replicate != last.Next() || research.CertificateEnded(last.Certification, last.Baseline, last.Incumbent):
		return misfit(f, "replicate %d is not its turn", f.Replicate)
	case f.Number != last.Attempts+1 || f.Token == "":
		return misfit(f, "attempt %d of replicate %d does not follow: the next one is %d, with a token", f.Number, f.Replicate, last.Attempts+1)
	case f.Of != of:
		return misfit(f, "replicate %d measures %s, not %s", f.Replicate, of, f.Of)
	case !slices.Equal(f.Seeds, seeds):
		return misfit(f, "replicate %d has other seeds than its pair", f.Replicate)
	}
	return p.s.exec(`INSERT INTO recertifications (certificate, replicate, number, token, of, lost, wall_s) VALUES (?, ?, ?, ?, ?, '', 0)`,
		f.Certificate, f.Replicate, f.Number, f.Token, int64(f.Of))
}

func (p *projector) recertified(e research.Event, f research.Recertified) error {
	last, err := p.openCertification(f, f.Certificate)
	if err != nil {
		return err
	}
	var token string
	err = p.s.row(`SELECT token FROM recertifications WHERE certificate = ? AND replicate = ? AND number = ? AND lost = ''`,
		[]any{f.Certificate, f.Replicate, last.Attempts}, &token)
	switch {
	case isNone(err) || err == nil && (token != f.Token || f.Replicate != last.Next()):
		return misfit(f, "replicate %d has no attempt under way with this token", f.Replicate)
	case err != nil:
		return err
	case (f.Measurement == nil) == (f.Lost == ""):
		return misfit(f, "there is either a measurement or a reason why there is none")
	case f.Wall < 0 || f.Measurement != nil && !outcomeKnown(f.Measurement.Outcome):
		return misfit(f, "not a measurement")
	}
	var seq any
	if f.Measurement != nil {
		seq = e.Seq
	}
	return p.s.exec(`UPDATE recertifications SET lost = ?, wall_s = ?, measured_seq = ? WHERE certificate = ? AND replicate = ? AND number = ?`,
		f.Lost, float64(f.Wall), seq, f.Certificate, f.Replicate, last.Attempts)
}

// certified accepts the decision that follows from the measurements, and no other.
func (p *projector) certified(e research.Event, f research.Certified) error {
	last, err := p.openCertification(f, f.Number)
	if err != nil {
		return err
	}
	if !research.CertificateEnded(last.Certification, last.Baseline, last.Incumbent) {
		return misfit(f, "%d of %d pairs are measured", last.Next()/2, last.Pairs)
	}
	want := research.Certify(last.Certification, p.reg.Score, p.reg.NoiseKind, last.Baseline, last.Incumbent)
	if !sameJSON(want, f.Certificate) {
		return misfit(f, "the decision does not follow from the measurements: %s", difference(want, f.Certificate))
	}
	return p.s.exec(`UPDATE certifications SET decision = ?, decided_seq = ? WHERE number = ?`, string(f.Decision), e.Seq, f.Number)
}

func (p *projector) openCertification(f research.Fact, number int) (Certification, error) {
	last, err := lastCertification(p.s)
	if err == nil && (last.Number != number || last.Decision != "") {
		err = misfit(f, "certification %d is not under way", number)
	}
	return last, err
}
