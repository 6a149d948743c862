package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sync/atomic"

	"mendel/internal/propose/provider/providertest"
)

// callsPerSession is how often the script below is asked in one session.
const callsPerSession = 6

var (
	rateLine    = regexp.MustCompile(`LEARNING_RATE = [0-9.e-]+`)
	trialNumber = regexp.MustCompile(`trial ([0-9]+)`)
)

// newScript plays sessions: look around, read the recipe, change one number, submit, wait for the
// verdict, end. Each session tries a number that no other has tried.
func newScript() providertest.Script {
	var rates atomic.Int64
	return func(r providertest.Request) providertest.Reply {
		said := func(text, tool string, args map[string]any) providertest.Reply {
			raw, err := json.Marshal(args)
			if err != nil {
				panic(err) // the arguments below are plain texts and numbers
			}
			return providertest.Reply{Text: text, Calls: []providertest.Call{{Name: tool, Args: string(raw)}}}
		}
		last := ""
		if len(r.Results) > 0 {
			last = r.Results[0].Text
			if r.Results[0].IsError {
				return providertest.Reply{Text: "That did not work. I end the session."}
			}
		}
		switch r.Replies {
		case 0:
			return said("I look at what is there before I decide.", "list_files", map[string]any{})
		case 1:
			return said("The schedule has been neglected so far; I read it.", "read_file", map[string]any{"path": "train.py"})
		case 2:
			rate := fmt.Sprintf("LEARNING_RATE = %.7f", 0.01+float64(rates.Add(1))*1e-7)
			return said("The steps look too timid for so short a run.", "edit_file",
				map[string]any{"path": "train.py", "old": rateLine.FindString(last), "new": rate})
		case 3:
			return said("", "submit_trial", map[string]any{
				"hypothesis":     "Longer steps use the short budget better; the decay at the end makes up for their noise.",
				"expected_delta": -0.01,
			})
		case 4:
			id := ""
			if found := trialNumber.FindStringSubmatch(last); found != nil {
				id = found[1]
			}
			return said("", "await_trial", map[string]any{"trial": id})
		}
		return providertest.Reply{Text: "I have seen the verdict and end the session."}
	}
}
