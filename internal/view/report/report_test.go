package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
	"mendel/internal/view/analysis"
	"mendel/internal/view/study"
)

// made is the report of a made-up run of so many trials.
func made(t *testing.T, trials int) Run {
	t.Helper()
	author, store, err := lineagetest.New(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := author.Start(store); err != nil {
		t.Fatal(err)
	}
	if err := author.Bulk(store, trials); err != nil {
		t.Fatal(err)
	}
	r, err := OfRun(store.Reader, "runs/made-up", "v0")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAReportSaysEverything(t *testing.T) {
	r := made(t, 300)
	if len(r.Kept) == 0 || len(r.Misses) == 0 || len(r.Roles) == 0 {
		t.Fatalf("%d keeps, %d near misses, %d roles: the run is too plain to test with", len(r.Kept), len(r.Misses), len(r.Roles))
	}
	page, text := written(t, r.HTML), written(t, r.Markdown)
	for what, words := range map[string][]string{
		"what was found":  {"went from", "unconfirmed"},
		"what was asked":  {"accuracy at least", "strict: any improvement is kept"},
		"noise":           {"Noise floor", "mean and standard deviation of"},
		"near misses":     {"missed by", "short"},
		"roles":           {"sign right"},
		"isolation":       {"Sandbox", "isolated"},
		"how to check it": {"mendel verify runs/made-up --head "},
		"a kept diff":     {r.Kept[0].ID, "@@"},
	} {
		for _, word := range words {
			for form, doc := range map[string]string{"HTML": page, "Markdown": text} {
				if !strings.Contains(doc, word) {
					t.Errorf("%s: the %s does not say %q", what, form, word)
				}
			}
		}
	}
	for _, k := range r.Kept {
		if k.Gain == "" || k.Score == "" || len(k.Diff) == 0 {
			t.Errorf("keep %s lacks its score, its effect or its diff: %+v", k.ID, k)
		}
	}
}

// TestAPageStandsAlone: nothing is fetched from anywhere.
func TestAPageStandsAlone(t *testing.T) {
	page := written(t, made(t, 60).HTML)
	for _, found := range regexp.MustCompile(`(?i)(src|href)\s*=|@import|url\(|<script|<link`).FindAllString(page, -1) {
		t.Errorf("the page refers to something outside of it: %s", found)
	}
}

// TestPicturesAreWellFormed: an SVG with a fault shows nothing at all.
func TestPicturesAreWellFormed(t *testing.T) {
	for _, n := range []int{0, 1, 60, 400} {
		r := made(t, n)
		for name, svg := range map[string]string{"curve": string(r.Curve), "tree": string(r.Tree)} {
			if marks := wellFormed(t, name, svg); marks < min(n, 30) {
				t.Errorf("%d trials: the %s has %d elements", n, name, marks)
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%d trials: the %s has a place that is no number", n, name)
			}
		}
	}
}

func wellFormed(t *testing.T, name, svg string) (elements int) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, ok := token.(xml.StartElement); ok {
			elements++
		}
	}
}

// TestWhatModelsWroteStaysText: hypotheses and code are the models'.
func TestWhatModelsWroteStaysText(t *testing.T) {
	const evil = "</p><script>alert(1)</script> | `x` ![](http://example.com/a.png) <b>"
	r := made(t, 60)
	r.Kept[0].Hypothesis, r.Kept[0].Role = evil, evil
	r.Kept[0].Diff = []DiffLine{{"plus", "+```\n# not a heading"}, {"plus", "+" + evil}}
	r.Misses = append(r.Misses, NearMiss{ID: "009", Hypothesis: evil, Role: evil})
	page := written(t, r.HTML)
	if strings.Contains(page, "<script") || strings.Contains(page, evil) {
		t.Error("the page holds markup that a hypothesis wrote")
	}
	text := written(t, r.Markdown)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| 009") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 8 {
			t.Errorf("a hypothesis breaks its table row: %s", line)
		}
	}
	if !strings.Contains(text, "````diff") {
		t.Error("a diff that holds a fence is not fenced longer")
	}
	picture := &picture{width: 10, height: 10}
	picture.mark(1, 1, research.StatusKeep, false, evil)
	wellFormed(t, "mark", string(picture.svg(evil)))
}

func TestTicks(t *testing.T) {
	values, print := scale{low: 1.0731, high: 1.0812}.ticks(6)
	var got []string
	for _, v := range values {
		got = append(got, print(v))
	}
	if want := "1.074 1.076 1.078 1.080"; strings.Join(got, " ") != want {
		t.Errorf("ticks %v, want %s", got, want)
	}
}

func TestAStudysReport(t *testing.T) {
	arm := func(name string, around float64) (runs []study.Run) {
		for i := range 8 {
			v := around + float64(i)/10
			runs = append(runs, study.Run{Arm: name, Replicate: i + 1, Final: &study.Final{Score: v}, Analysis: analysis.Analysis{
				Trials: 12, Improvements: 1, Best: &analysis.Scored{Trial: "004", Score: v},
				BestSoFar: []analysis.Step{{Scored: analysis.Scored{Trial: "000", Score: 5}}, {Scored: analysis.Scored{Trial: "004", Score: v}, N: 4}},
			}})
		}
		return runs
	}
	s := &study.Study{Name: "history-pays", Question: "Does it <pay>?", Task: "tasks/quick", Replicates: 8, Alpha: 0.05,
		Arms: []study.Arm{{Name: "with"}, {Name: "without"}}}
	c := study.Compare(s, research.ScoreRule{Metric: "seconds", Unit: "s", Direction: research.Minimize}, append(arm("with", 2), arm("without", 3)...))
	r := OfStudy(c, "v0")
	wellFormed(t, "finals", string(r.Finals))
	wellFormed(t, "curves", string(r.Curves))
	page, text := written(t, r.HTML), written(t, r.Markdown)
	for _, word := range []string{"with found better recipes than without", "The data support this", "with-8", "Permutation test"} {
		if !strings.Contains(page, word) || !strings.Contains(text, word) {
			t.Errorf("%q is missing", word)
		}
	}
	if !strings.Contains(page, "Does it &lt;pay&gt;?") {
		t.Error("the question is not shown as it was written")
	}
}

func TestAConfirmedKeepShowsItsInterval(t *testing.T) {
	g := &gathering{reg: research.Registration{Score: research.ScoreRule{Unit: "s"}}}
	v := &research.Verdict{Keep: true, Confirmation: &research.Finding{Measured: 6, Low: -0.31, High: -0.12, Confidence: 0.99}}
	if got, want := g.confirmed(v), "confirmed over 6 pairs, 99 % interval −0.31 s to −0.12 s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := g.confirmed(&research.Verdict{Keep: true}); got != "" {
		t.Errorf("a keep that nothing confirmed says %q", got)
	}
}

// TestALongTextStaysShort: a model may write as much as it likes.
func TestALongTextStaysShort(t *testing.T) {
	long := strings.Repeat("é", 300_000)
	if got := short(long, 10); got != strings.Repeat("é", 10)+"…" {
		t.Errorf("it is cut to %d bytes", len(got))
	}
	if got := short("plain\x1b[31m", 100); got != "plain[31m" {
		t.Errorf("%q commands a terminal", got)
	}
}
