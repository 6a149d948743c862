package openai

import (
	"slices"
	"testing"

	"mendel/internal/propose/provider/wire"
)

// Servers cut calls into pieces, and number them, each in its own way.
func TestPiecesOfCalls(t *testing.T) {
	client, err := wire.New(wire.Options{BaseURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		deltas []string
		want   []string // name and arguments of each call
	}{
		"interleaved": {[]string{
			`{"index":0,"id":"x","function":{"name":"f","arguments":"{"}}`, `{"index":1,"id":"y","function":{"name":"g","arguments":"{"}}`,
			`{"index":0,"function":{"arguments":"}"}}`, `{"index":1,"function":{"arguments":" }"}}`,
		}, []string{"f {}", "g { }"}},
		"the same tool twice, neither index nor id": {[]string{
			`{"function":{"name":"f","arguments":"{\"a\":1}"}}`, `{"function":{"name":"f","arguments":"{\"a\":2}"}}`,
		}, []string{`f {"a":1}`, `f {"a":2}`}},
		"another tool without arguments": {[]string{
			`{"function":{"name":"f","arguments":"{}"}}`, `{"function":{"name":"g","arguments":""}}`,
		}, []string{"f {}", "g {}"}},
		"the name in each piece": {[]string{
			`{"index":0,"function":{"name":"f","arguments":"{\"a\""}}`, `{"index":0,"function":{"name":"f","arguments":":1}"}}`, `{"index":0,"function":{"name":"f","arguments":""}}`,
		}, []string{`f {"a":1}`}},
		"the id in each piece": {[]string{
			`{"id":"x","function":{"name":"f","arguments":"{}"}}`, `{"id":"x","function":{"name":"f","arguments":" "}}`, `{"id":"y","function":{"name":"f","arguments":null}}`,
		}, []string{"f {} ", "f {}"}},
		"one id for two calls": {[]string{
			`{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}`, `{"index":1,"id":"x","function":{"name":"g","arguments":"{}"}}`,
		}, []string{"f {}", "g {}"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := reading{wire: client}
			for _, d := range c.deltas {
				if _, err := r.event([]byte(`{"choices":[{"delta":{"tool_calls":[` + d + `]}}]}`)); err != nil {
					t.Fatal(err)
				}
			}
			reply, err := r.reply(1)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			ids := map[string]bool{}
			for _, call := range reply.Calls {
				got = append(got, call.Name+" "+string(call.Args))
				ids[call.ID] = true
			}
			if !slices.Equal(got, c.want) || len(ids) != len(got) {
				t.Errorf("calls %q with %d ids, want %q", got, len(ids), c.want)
			}
		})
	}
}
