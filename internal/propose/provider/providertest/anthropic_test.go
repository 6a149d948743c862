package providertest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mendel/internal/propose/provider/providertest"
)

// What the real server refuses, this one has to refuse, or a test against it proves nothing.
func TestAnthropicRefuses(t *testing.T) {
	server, err := providertest.New(providertest.Options{Protocol: providertest.Anthropic, Play: func(providertest.Request) providertest.Reply { return providertest.Reply{Text: "fine"} }})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	head := `"model":"m","max_tokens":2000,"stream":true`
	user := `{"role":"user","content":"hi"}`
	called := `{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"a","input":{}}]}`
	cached := `{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}`
	for name, c := range map[string]struct{ body, words string }{
		"nothing":                  {head + `,"messages":[` + user + `]`, ""},
		"an unknown field":         {head + `,"max_output":5,"messages":[` + user + `]`, "unknown field"},
		"no model":                 {`"max_tokens":1,"stream":true,"messages":[` + user + `]`, "model: Field required"},
		"no max_tokens":            {`"model":"m","stream":true,"messages":[` + user + `]`, "max_tokens"},
		"no messages":              {head + `,"messages":[]`, "at least one message"},
		"two users":                {head + `,"messages":[` + user + `,` + user + `]`, "alternate"},
		"an empty text":            {head + `,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]`, "non-empty"},
		"an open call":             {head + `,"messages":[` + user + `,` + called + `,` + user + `]`, "without `tool_result`"},
		"an open call at the end":  {head + `,"messages":[` + user + `,` + called + `]`, "without `tool_result`"},
		"a result of no call":      {head + `,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t9","content":"x"}]}]`, "unexpected `tool_use_id`"},
		"a call answered twice":    {head + `,"messages":[` + user + `,` + called + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x"},{"type":"tool_result","tool_use_id":"t1","content":"x"}]}]`, "unexpected `tool_use_id`"},
		"a call answered":          {head + `,"messages":[` + user + `,` + called + `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x"}]}]`, ""},
		"input that is a string":   {head + `,"messages":[` + user + `,{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"a","input":"{"}]}]`, "valid dictionary"},
		"five breakpoints":         {head + `,"messages":[{"role":"user","content":[` + strings.Repeat(cached+",", 4) + cached + `]}]`, "maximum of 4 blocks"},
		"four breakpoints":         {head + `,"messages":[{"role":"user","content":[` + strings.Repeat(cached+",", 3) + cached + `]}]`, ""},
		"too little thinking":      {head + `,"thinking":{"type":"enabled","budget_tokens":1000},"messages":[` + user + `]`, "1024"},
		"too much thinking":        {head + `,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[` + user + `]`, "max_tokens"},
		"thinking and temperature": {head + `,"temperature":0.5,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[` + user + `]`, "temperature"},
		"a forged signature":       {head + `,"messages":[` + user + `,{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"x"}]}]`, "signature"},
		"a tool without a schema":  {head + `,"tools":[{"name":"a"}],"messages":[` + user + `]`, "input_schema"},
		"a tool named oddly":       {head + `,"tools":[{"name":"a b","input_schema":{"type":"object"}}],"messages":[` + user + `]`, "pattern"},
		"the same tool twice":      {head + `,"tools":[{"name":"a","input_schema":{"type":"object"}},{"name":"a","input_schema":{"type":"object"}}],"messages":[` + user + `]`, "unique"},
	} {
		status, text := post(t, server.URL, providertest.Key, "2023-06-01", "{"+c.body+"}")
		if want := map[bool]int{true: 200, false: 400}[c.words == ""]; status != want || !strings.Contains(text, c.words) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	good := "{" + head + `,"messages":[` + user + "]}"
	if status, _ := post(t, server.URL, "another", "2023-06-01", good); status != 401 {
		t.Errorf("another key: %d", status)
	}
	if status, _ := post(t, server.URL, providertest.Key, "", good); status != 400 {
		t.Errorf("no version: %d", status)
	}
}

func post(t *testing.T, url, key, version, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Anthropic-Version", version)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
