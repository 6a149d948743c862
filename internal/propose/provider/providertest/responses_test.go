package providertest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"mendel/internal/propose/provider/providertest"
)

// What the real server refuses, this one has to refuse, or a test against it proves nothing.
func TestResponsesRefuses(t *testing.T) {
	server, err := providertest.New(providertest.Options{Protocol: providertest.Responses(), Play: func(providertest.Request) providertest.Reply {
		return providertest.Reply{Thinking: "Hm.", Calls: []providertest.Call{{Name: "a", Args: "{}"}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	user := `{"type":"message","role":"user","content":"hi"}`
	head := `"model":"m","store":false,"stream":true`
	status, stream := postResponses(t, server.URL, providertest.Key, "{"+head+`,"include":["reasoning.encrypted_content"],"input":[`+user+`]}`)
	thought, call := done(t, stream)
	if status != 200 || thought == "" {
		t.Fatalf("%d %s", status, stream)
	}
	answer := `{"type":"function_call_output","call_id":"call_1_0","output":"x"}`
	said := `{"type":"message","role":"assistant","id":"msg","status":"completed","content":[{"type":"output_text","text":"x","annotations":[]}]}`
	function := `{"type":"function","name":"a","parameters":{"type":"object"}`
	input := func(items ...string) string { return head + `,"input":[` + strings.Join(items, ",") + `]` }
	for name, c := range map[string]struct{ body, words string }{
		"nothing":                   {input(user), ""},
		"a whole turn":              {input(user, thought, call, answer), ""},
		"an unknown field":          {input(user) + `,"max_tokens":5`, "unknown field"},
		"messages":                  {head + `,"messages":[` + user + `]`, "unknown field"},
		"no model":                  {`"store":false,"stream":true,"input":[` + user + `]`, "model"},
		"no input":                  {head, "'input'"},
		"storage":                   {`"model":"m","stream":true,"input":[` + user + `]`, "store"},
		"too little output":         {input(user) + `,"max_output_tokens":15`, "integer below minimum"},
		"an unknown inclusion":      {input(user) + `,"include":["thoughts"]`, "Supported values"},
		"encryption of no thinking": {`"model":"gpt-4.1","store":false,"stream":true,"include":["reasoning.encrypted_content"],"input":[` + user + `]`, "encrypted content"},
		"a level of no thinking":    {`"model":"gpt-4.1","store":false,"stream":true,"reasoning":{"effort":"low"},"input":[` + user + `]`, "reasoning.effort"},
		"an unknown level":          {input(user) + `,"reasoning":{"effort":"a lot"}`, "reasoning.effort"},
		"temperature":               {input(user) + `,"temperature":0.5`, "temperature"},
		"no searches":               {input(user) + `,"max_tool_calls":0`, "max_tool_calls"},
		"search":                    {input(user) + `,"tools":[{"type":"web_search"}]`, ""},
		"a tool":                    {input(user) + `,"tools":[` + function + `,"strict":false}]`, ""},
		"a strict tool":             {input(user) + `,"tools":[` + function + `}]`, "additionalProperties"},
		"the same tool twice":       {input(user) + `,"tools":[` + function + `,"strict":false},` + function + `,"strict":false}]`, "twice"},
		"a tool of chat":            {input(user) + `,"tools":[{"type":"function","function":{"name":"a"}}]`, "unknown field"},
		"an open call":              {input(user, thought, call), "no tool output"},
		"an open call before more":  {input(user, thought, call, user), "no tool output"},
		"an answer to no call":      {input(user, answer), "no tool call"},
		"a call answered twice":     {input(user, thought, call, answer, answer), "no tool call"},
		"a call made twice":         {input(user, thought, call, answer, said, call, answer), "function_call"},
		"a call without its reason": {input(user, call, answer), "without its required 'reasoning'"},
		"its reason after it":       {input(user, call, thought, said, answer), "without its required 'reasoning'"},
		"thinking that ends":        {input(user, thought, user), "required following item"},
		"thinking that was lost":    {input(user, `{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null}`, call, answer), "not persisted"},
		"thinking under another id": {input(user, strings.Replace(thought, "rs_1", "rs_2", 1), call, answer), "verified"},
		"torn arguments":            {input(user, thought, strings.Replace(call, `"{}"`, `"{"`, 1), answer), "not JSON"},
		"an odd name":               {input(user, thought, strings.Replace(call, `"a"`, `"a b"`, 1), answer), "name"},
		"a field of nobody":         {input(user, thought, strings.Replace(call, `"name"`, `"index":0,"name"`, 1), answer), "unknown parameter"},
		"an unknown item":           {input(user, `{"type":"tool_use"}`), "invalid value"},
		"an empty message":          {input(user, strings.Replace(said, `{"type":"output_text","text":"x","annotations":[]}`, "", 1), user), "content"},
		"nobody asks":               {input(user, said), "nobody asks"},
	} {
		status, text := postResponses(t, server.URL, providertest.Key, "{"+c.body+"}")
		if want := map[bool]int{true: 200, false: 400}[c.words == ""]; status != want || !strings.Contains(text, c.words) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _ := postResponses(t, server.URL, "another", "{"+input(user)+"}"); status != 401 {
		t.Errorf("another key: %d", status)
	}
}

// done finds the two items that a stream completes.
func done(t *testing.T, stream string) (thought, call string) {
	t.Helper()
	for line := range strings.Lines(stream) {
		var event struct {
			Type string
			Item json.RawMessage
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || json.Unmarshal([]byte(data), &event) != nil || event.Type != "response.output_item.done" {
			continue
		}
		thought, call = call, string(event.Item)
	}
	return thought, call
}

func postResponses(t *testing.T, url, key, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/responses", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
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
