package tasks_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"testing"

	"mendel/internal/research"
)

// A question is one line of nanochat-cpu's held-out items: four pairs of a context and a continuation,
// the true one first, or a context and the word that follows it.
type question struct {
	Task    string
	Pairs   [][2]string
	Context string
	Answer  string
}

const (
	asked, continued = 48, 24 // bytes of every context, and of every continuation
	perTask          = 400    // questions
)

func questions(t *testing.T, split string) []question {
	t.Helper()
	var all []question
	lines := bufio.NewScanner(bytes.NewReader(gunzip(t, filepath.Join("nanochat-cpu", "data", split, "items.jsonl.gz"))))
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	return all
}

func recipeText(t *testing.T) []byte {
	t.Helper()
	return gunzip(t, filepath.Join("nanochat-cpu", "data", "train", "kjv.txt.gz"))
}

// TestQuestionsHaveNoParallels: what is asked stands neither in the training text nor in another question.
func TestQuestionsHaveNoParallels(t *testing.T) {
	var passages [][]byte
	for _, split := range []string{"val", "cert"} {
		count := map[string]int{}
		for _, q := range questions(t, split) {
			count[q.Task]++
			if q.Task == "cloze" {
				passages = append(passages, []byte(q.Context+q.Answer))
				continue
			}
			passages = append(passages, []byte(q.Pairs[0][0]+q.Pairs[0][1]))
			if q.Task == "schema" {
				for _, other := range q.Pairs[1:] {
					passages = append(passages, []byte(other[0]))
				}
			}
		}
		for _, task := range []string{"spelling", "order", "word", "schema", "cloze"} {
			if count[task] != perTask {
				t.Errorf("%s has %d questions on %s instead of %d", split, count[task], task, perTask)
			}
		}
	}
	checkParallels(t, 32, passages, recipeText(t))
}

// TestOnlyLanguageTells: nothing that can be had without knowing the language says which pair is the true one.
func TestOnlyLanguageTells(t *testing.T) {
	training := recipeText(t)
	var letter [256]float64
	for _, c := range training {
		letter[c]++
	}
	word := map[string]float64{}
	for _, w := range regexp.MustCompile("[A-Za-z]+").FindAll(training, -1) {
		word[string(w)]++
	}
	first := regexp.MustCompile("^[a-z]+")
	sum := func(text string, of func(byte) float64) (total float64) {
		for i := range len(text) {
			total += of(text[i])
		}
		return total
	}
	in := func(set string) func(byte) float64 {
		return func(c byte) float64 {
			if bytes.IndexByte([]byte(set), c) >= 0 {
				return 1
			}
			return 0
		}
	}
	cues := map[string]func(text string, others [4]string) float64{
		"length": func(text string, _ [4]string) float64 { return float64(len(text)) },
		"frequent bytes": func(text string, _ [4]string) float64 {
			return sum(text, func(c byte) float64 { return math.Log(letter[c] + 1) })
		},
		"capitals":        func(text string, _ [4]string) float64 { return sum(text, in("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) },
		"punctuation":     func(text string, _ [4]string) float64 { return sum(text, in(".,:;?!'()-\n")) },
		"number of words": func(text string, _ [4]string) float64 { return sum(text, in(" ")) },
		"middle of four": func(text string, others [4]string) float64 {
			near := 0.0
			for _, other := range others {
				for i := range min(len(text), len(other)) {
					if text[i] == other[i] {
						near++
					}
				}
			}
			return near
		},
	}
	for _, split := range []string{"val", "cert"} {
		right := map[string]float64{} // by task, cue and sign
		for _, q := range questions(t, split) {
			if q.Task == "cloze" {
				continue
			}
			var texts [4]string
			for i, pair := range q.Pairs {
				if len(pair[0]) != asked || len(pair[1]) != continued {
					t.Fatalf("%s: a pair of %d and %d bytes", q.Task, len(pair[0]), len(pair[1]))
				}
				texts[i] = pair[0] + pair[1]
			}
			for name, cue := range cues {
				var values, minus [4]float64
				for i, text := range texts {
					values[i] = cue(text, texts)
					minus[i] = -values[i]
				}
				right[q.Task+", most "+name] += share(values)
				right[q.Task+", least "+name] += share(minus)
			}
			if q.Task == "word" {
				var values [4]float64
				for i, pair := range q.Pairs {
					values[i] = word[first.FindString(pair[1])]
				}
				right["word, most frequent"] += share(values)
			}
		}
		for cue, n := range right {
			// Three and a half standard deviations of 400 guesses, one in four right.
			if accuracy := n / perTask; math.Abs(accuracy-0.25) > 0.075 {
				t.Errorf("%s: %s is right in %.3f of all questions", split, cue, accuracy)
			}
		}
	}
}

// guesser is a recipe that trains nothing, and scores as the blank says.
const guesser = `
import os, sys
import numpy as np
if "--serve" in sys.argv:
    import mendel_subject
    mendel_subject.serve(score=lambda context, continuation: %s, complete=lambda context: context[:, :7])
elif os.environ.get("MENDEL_PHASE") == "train":
    open(os.path.join(os.environ["MENDEL_OUT"], "model.bin"), "w").close()
`

// TestGuessingIsWorthNothing: the evaluator centres by chance, and the place of a pair says nothing.
func TestGuessingIsWorthNothing(t *testing.T) {
	pkg := load(t, "nanochat-cpu")
	host, spec := prepare(t, pkg)
	spec.Attempt.Seeds = []int64{1}
	for _, c := range []struct {
		scores string
		within float64 // three and a half standard deviations of guessing, over four tasks of five
	}{
		{"np.zeros(len(context))", 1e-12},
		{"np.arange(len(context))", 0.04},
	} {
		m := attempt(t, host, spec, map[string][]byte{"train.py": fmt.Appendf(nil, guesser, c.scores)}, pkg.Evaluator.Dir)
		if m.Outcome != research.Valid || math.Abs(*m.Score) > c.within {
			t.Errorf("%s ended %s with a score of %v: %s", c.scores, m.Outcome, m.Score, m.Reason)
		}
	}
}

// share is what the true one of four, the first, gets when the highest value wins and equals divide.
func share(values [4]float64) float64 {
	best, equals := values[0], 0.0
	for _, v := range values {
		best = max(best, v)
	}
	for _, v := range values {
		if v == best {
			equals++
		}
	}
	if values[0] < best {
		return 0
	}
	return 1 / equals
}
