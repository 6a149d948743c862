package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestAmbiguousHeaders: what two readers of JSON could understand in two ways is not let through.
func TestAmbiguousHeaders(t *testing.T) {
	q := Question{Method: "m", Expect: []Tensor{{"u1", []int64{1}}}, ExpectMeta: true}
	const tensors = `"tensors":[{"dtype":"u1","shape":[1]}]`
	deep := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	for _, tt := range []struct{ name, header, want string }{
		{"good", `{"meta":{"a":{"k":[1,{"k":2}]},"k":-1.5e3,"":null},` + tensors + `}`, ""},
		{"nested as deeply as allowed", `{"meta":{"a":` + deep(maxDepth-2) + `},` + tensors + `}`, ""},
		{"nested too deeply", `{"meta":{"a":` + deep(maxDepth-1) + `},` + tensors + `}`, "nests too deeply"},
		{"tensors twice", `{"tensors":[{"dtype":"f8","shape":[9]}],` + tensors + `}`, "comes twice"},
		{"a shape twice", `{"tensors":[{"dtype":"u1","shape":[9],"shape":[1]}]}`, "comes twice"},
		{"meta twice", `{"meta":{},"meta":{"a":1},` + tensors + `}`, "comes twice"},
		{"a key of meta twice", `{"meta":{"a":1,"b":[],"a":2},` + tensors + `}`, "comes twice"},
		{"a key twice, once in escapes", `{"meta":{"a":1,"\u0061":2},` + tensors + `}`, "comes twice"},
		{"meta is a NaN", `{"meta":{"a":NaN},` + tensors + `}`, "cannot be read"},
		{"meta is an infinity", `{"meta":{"a":-Infinity},` + tensors + `}`, "cannot be read"},
		{"meta is an infinity to Python", `{"meta":{"a":1e999},` + tensors + `}`, "too large"},
		{"meta is a list", `{"meta":[1],` + tensors + `}`, "not an object"},
		{"meta is null", `{"meta":null,` + tensors + `}`, "not an object"},
		{"not UTF-8", `{"meta":{"a":"` + "\xff" + `"},` + tensors + `}`, "not UTF-8"},
	} {
		_, err := CheckReply(Frame{Reply, []byte(tt.header), []byte{1}}, q)
		var v *Violation
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!errors.As(err, &v) || !strings.Contains(v.What, tt.want)):
			t.Errorf("%s: %v, want a violation with %q", tt.name, err, tt.want)
		}
	}
}

// TestWhatWasCheckedIsWhatIsPassedOn: keys that only we read as others never reach the other side.
func TestWhatWasCheckedIsWhatIsPassedOn(t *testing.T) {
	ours, evaluator := newSide(t)
	theirs, subject := newSide(t)
	played := make(chan Report, 1)
	evaluator.say(Hello, hello, nil)
	subject.say(Hello, hello, nil)
	m := NewMatch(ours, 0)
	if err := m.AwaitEvaluator(time.Second); err != nil {
		t.Fatal(err)
	}
	go func() { played <- m.Play(theirs) }()
	evaluator.from.Next() // hello
	call := `{"method":"<m>","tensors":[{"dtype":"u1","Shape":[1]}],"expect":[{"dtype":"u1","shape":[1]}],"expect_meta":true}`
	evaluator.say(Call, call, []byte{1})
	heard, err := subject.from.Next()
	if want := `{"method":"<m>","tensors":[{"dtype":"u1","shape":[1]}],"expect":[{"dtype":"u1","shape":[1]}],"expect_meta":true}`; err != nil || string(heard.Header) != want || string(heard.Data) != "\x01" {
		t.Errorf("the subject hears %s with % x, %v", heard.Header, heard.Data, err)
	}
	subject.say(Reply, `{"meta":{"hidden":1},"tensors":[{"dtype":"f8","shape":[7]}],"Tensors":[{"dtype":"u1","shape":[1]}],"META":{"a":[1]}}`, []byte{2})
	heard, err = evaluator.from.Next()
	if want := `{"meta":{"a":[1]},"tensors":[{"dtype":"u1","shape":[1]}]}`; err != nil || string(heard.Header) != want || string(heard.Data) != "\x02" {
		t.Errorf("the evaluator hears %s with % x, %v", heard.Header, heard.Data, err)
	}
	evaluator.say(Bye, "{}", nil)
	if r := <-played; r.Ending != SaidBye {
		t.Errorf("%s: %v", r.Ending, r.Err)
	}
}

// TestHeadersHaveNoNull: what a header leaves out is empty for every reader.
func TestHeadersHaveNoNull(t *testing.T) {
	for _, header := range []string{`null`, `{}`, `{"tensors":null}`} {
		a, err := CheckReply(Frame{Reply, []byte(header), nil}, Question{Method: "m"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.header(); string(got) != `{"tensors":[]}` || err != nil {
			t.Errorf("%s is passed on as %s, %v", header, got, err)
		}
	}
	q := Question{Method: "m", Expect: []Tensor{{"u1", nil}}}
	var again map[string]json.RawMessage
	header, err := q.header()
	if err != nil || json.Unmarshal(header, &again) != nil || string(again["expect"]) != `[{"dtype":"u1","shape":[]}]` {
		t.Errorf("a scalar is passed on as %s, %v", header, err)
	}
}
