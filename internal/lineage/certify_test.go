package lineage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// certify begins an attempt and measures it to its end.
func (l *lab) certify(incumbent, baseline float64) research.Certificate {
	l.t.Helper()
	next, err := l.store.NextCertification()
	if err != nil {
		l.t.Fatal(err)
	}
	l.must(research.Certifying{Certification: next})
	for {
		state, _, err := l.store.LastCertification()
		if err != nil {
			l.t.Fatal(err)
		}
		if research.CertificateEnded(state.Certification, state.Baseline, state.Incumbent) {
			decided := research.Certify(state.Certification, l.reg.Score, l.reg.NoiseKind, state.Baseline, state.Incumbent)
			l.must(research.Certified{Certificate: decided})
			return decided
		}
		m := l.recertifying(state)
		score := baseline + l.wiggle()
		if m.Of != research.Baseline {
			score = incumbent + l.wiggle()
		}
		l.must(m)
		l.must(research.Recertified{Certificate: m.Certificate, Replicate: m.Replicate, Token: m.Token, Wall: 1,
			Measurement: &research.Measurement{Outcome: research.Valid, Score: &score}})
	}
}

// recertifying is the measurement that follows, as it has to be.
func (l *lab) recertifying(state lineage.Certification) research.Recertifying {
	seeds, ofIncumbent := state.Half(state.Next(), l.reg.Seeds)
	m := research.Recertifying{Certificate: state.Number, Replicate: state.Next(), Number: state.Attempts + 1, Token: fmt.Sprint("t", state.Next()), Seeds: seeds}
	if ofIncumbent {
		m.Of = state.Certification.Incumbent
	}
	return m
}

func TestCertificate(t *testing.T) {
	l := newLab(t, 0)
	if _, err := l.store.NextCertification(); err == nil || !strings.Contains(err.Error(), "nothing was kept") {
		t.Errorf("the baseline can be certified against itself: %v", err)
	}
	l.propose(1, 8)
	l.confirm(1, 9, 10)
	l.judge(1)

	forged, err := l.store.NextCertification()
	if err != nil {
		t.Fatal(err)
	}
	forged.Margin = 0.1
	l.refused(research.Certifying{Certification: forged}, "margin follows as 0.5")
	l.must(research.Certifying{Certification: func() research.Certification { forged.Margin = 0.5; return forged }()})
	if _, err := l.store.NextCertification(); err == nil {
		t.Error("a second attempt begins while one is under way")
	}
	state, _, err := l.store.LastCertification()
	if err != nil {
		t.Fatal(err)
	}
	m := l.recertifying(state)
	wrong := m
	wrong.Of = 1 - m.Of
	l.refused(wrong, "measures")
	wrong = m
	wrong.Seeds = []int64{1, 2}
	l.refused(wrong, "other seeds")
	l.must(m)
	score := 9.0
	l.refused(research.Recertified{Certificate: 1, Replicate: 1, Token: "another", Measurement: &research.Measurement{Outcome: research.Valid, Score: &score}}, "no attempt under way")
	l.must(research.Recertified{Certificate: 1, Replicate: 1, Token: m.Token, Lost: "the machine went away"})
	if state, _, _ = l.store.LastCertification(); state.Failures != 1 || state.Next() != 1 {
		t.Errorf("after a loss: %+v", state)
	}
	l.refused(research.Certified{Certificate: research.Certificate{Certification: state.Certification, Decision: research.CertifiedGain}}, "0 of 6 pairs")
	// What was begun is left alone when the incumbent changes.
	l.propose(2, 6)
	l.confirm(2, 7, 9)
	l.judge(2)
	if got := l.certify(7, 10); got.Decision != research.CertifiedGain || got.Number != 2 || got.Alpha != 0.0125 || got.Incumbent != 2 {
		t.Errorf("a true gain: %+v", got)
	}
	if got := l.certify(10, 10); got.Decision != research.Refuted || got.Alpha != 0.00625 {
		t.Errorf("no gain: %+v", got)
	}
	certificates, err := l.store.Certificates()
	if err != nil || len(certificates) != 2 {
		t.Errorf("%d certificates, %v", len(certificates), err)
	}
	var text bytes.Buffer
	if err := l.store.WriteBundle(&text, 2); err != nil {
		t.Fatal(err)
	}
	if err := l.store.WriteBundle(&bytes.Buffer{}, 1); err == nil {
		t.Error("an undecided certificate has a bundle")
	}
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	wantIntact(t, filepath.Join(l.dir, lineage.FileName), lineage.Options{})
	checkBundle(t, text.Bytes())
}

// checkBundle verifies a bundle whose certificate was granted, then changes it in every way.
func checkBundle(t *testing.T, text []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificate.mendel")
	verify := func(content []byte) (lineage.Bundle, lineage.Report) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		b, report, err := lineage.VerifyBundle(path, lineage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b, report
	}
	b, report := verify(text)
	if len(report.Findings) > 0 || b.Certificate.Decision != research.CertifiedGain || !lineage.IsBundle(path) {
		t.Fatalf("%v, %+v", report.Findings, b.Certificate)
	}
	for i := 0; i < len(text); i++ {
		if i > 200 && i < len(text)-200 { // every byte at both ends, and one in some fifty between
			i += 37 + i%29
		}
		changed := bytes.Clone(text)
		changed[i] ^= 1
		if _, report := verify(changed); len(report.Findings) == 0 {
			t.Fatalf("byte %d of %d was changed without a finding", i, len(text))
		}
	}
	if _, report := verify(text[:len(text)-1]); len(report.Findings) == 0 {
		t.Error("the last byte may be missing")
	}
	// A forger makes the sum fit again.
	for name, forge := range map[string]struct{ old, new, finding string }{
		"the decision":      {`"decision":"certified"`, `"decision":"refuted"`, "summary"},
		"a measured score":  {`\"wall_s\":1}`, `\"wall_s\":2}`, "do not belong together"},
		"a file of a tree":  {`"data":"cHJpbnQ`, `"data":"cHJpbnR`, "not what its hash says"},
		"an event left out": {"{\"seq\":5,", "{\"seq\":500,", "missing"},
	} {
		body := string(text[bytes.IndexByte(text, '\n')+1:])
		if !strings.Contains(body, forge.old) {
			t.Errorf("%s: the bundle has no %s", name, forge.old)
			continue
		}
		body = strings.Replace(body, forge.old, forge.new, 1)
		sum := sha256.Sum256([]byte(body))
		_, report := verify([]byte("mendel-certificate 1 " + hex.EncodeToString(sum[:]) + "\n" + body))
		if len(report.Findings) == 0 || !strings.Contains(fmt.Sprint(report.Findings), forge.finding) {
			t.Errorf("%s: %v", name, report.Findings)
		}
	}
}
