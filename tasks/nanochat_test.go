package tasks_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"
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

// A cue is a number that can be had of one of four texts without knowing the language.
type cue func(text string, four [4]string) float64

func cues(training []byte) map[string]cue {
	var seen [256]float64
	for _, c := range training {
		seen[c]++
	}
	sum := func(of func(byte) float64) cue {
		return func(text string, _ [4]string) (total float64) {
			for i := range len(text) {
				total += of(text[i])
			}
			return total
		}
	}
	count := func(set string) cue {
		return sum(func(c byte) float64 { return float64(strings.Count(set, string(c))) })
	}
	return map[string]cue{
		"length":         sum(func(byte) float64 { return 1 }),
		"frequent bytes": sum(func(c byte) float64 { return math.Log(seen[c] + 1) }),
		"capitals":       count("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
		"punctuation":    count(".,:;?!'()-\n"),
		"words":          count(" "),
		"like the others": func(text string, four [4]string) (alike float64) {
			for _, other := range four {
				for i := range min(len(text), len(other)) {
					if text[i] == other[i] {
						alike++
					}
				}
			}
			return alike
		},
	}
}

// TestOnlyLanguageTells: nothing that can be had without knowing the language says which pair is the true one.
func TestOnlyLanguageTells(t *testing.T) {
	training := recipeText(t)
	frequency := map[string]float64{}
	for _, w := range regexp.MustCompile("[A-Za-z]+").FindAll(training, -1) {
		frequency[string(w)]++
	}
	first, known := regexp.MustCompile("^[a-z]+"), cues(training)
	for _, split := range []string{"val", "cert"} {
		right := map[string]float64{} // by task, cue and sign
		for _, q := range questions(t, split) {
			if q.Task == "cloze" {
				continue
			}
			var texts [4]string
			var words [4]float64
			for i, pair := range q.Pairs {
				if len(pair[0]) != asked || len(pair[1]) != continued {
					t.Fatalf("%s: a pair of %d and %d bytes", q.Task, len(pair[0]), len(pair[1]))
				}
				texts[i], words[i] = pair[0]+pair[1], frequency[first.FindString(pair[1])]
			}
			for name, value := range known {
				var most, least [4]float64
				for i, text := range texts {
					most[i] = value(text, texts)
					least[i] = -most[i]
				}
				right[q.Task+", most "+name] += share(most)
				right[q.Task+", least "+name] += share(least)
			}
			if q.Task == "word" {
				right["word, most frequent"] += share(words)
			}
		}
		for name, n := range right {
			// Three and a half standard deviations of 400 guesses, one in four right.
			if accuracy := n / perTask; math.Abs(accuracy-0.25) > 0.075 {
				t.Errorf("%s: %s is right in %.3f of all questions", split, name, accuracy)
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
