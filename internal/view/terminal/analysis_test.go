package terminal

import (
	"bytes"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/lineage/record"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
)

// analysisText is the analysis of the record with damaged rows.
func analysisText(t *testing.T, s Style) string {
	t.Helper()
	rec, err := record.Read("../../lineage/record/testdata/damaged", record.Options{Bounds: []research.Bound{record.Limit("eval_s", 600)}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := lineage.Import(dir, rec.Registration, rec.Trials, time.Now()); err != nil {
		t.Fatal(err)
	}
	r, err := lineage.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a, err := analysis.Of(r)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	WriteAnalysis(&b, a, s)
	return b.String()
}
