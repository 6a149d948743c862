package protocol

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A side is the other end of a link, played by the test.
type side struct {
	hears, says *os.File
	from        *Reader
}

func newSide(t *testing.T) (Link, side) {
	t.Helper()
	ours, hears, says, err := NewLink()
	if err != nil {
		t.Fatal(err)
	}
	s := side{hears, says, NewReader(hears, 0)}
	t.Cleanup(func() {
		ours.Close()
		s.close()
	})
	return ours, s
}

func (s side) close() {
	s.hears.Close()
	s.says.Close()
}

func (s side) say(kind Kind, header string, data []byte) error {
	return Write(s.says, Frame{Kind: kind, Header: []byte(header), Data: data})
}

// hear returns the kind of the next frame, and its data.
func (s side) hear() (Kind, string) {
	f, err := s.from.Next()
	if err != nil {
		return 0, err.Error()
	}
	return f.Kind, string(f.Data)
}

const hello = `{"protocol":1}`

func ask(deadline int) string {
	return fmt.Sprintf(`{"method":"echo","tensors":[{"dtype":"u1","shape":[2]}],"expect":[{"dtype":"u1","shape":[2]}],"deadline_ms":%d}`, deadline)
}

const answer = `{"tensors":[{"dtype":"u1","shape":[2]}]}`

func TestMatch(t *testing.T) {
	// An honest subject echoes until bye.
	echo := func(s side) {
		s.say(Hello, hello, nil)
		for {
			kind, data := s.hear()
			if kind != Call {
				return
			}
			s.say(Reply, answer, []byte(data))
		}
	}
	twice := func(s side) {
		s.say(Hello, hello, nil)
		s.hear() // hello
		for range 2 {
			s.say(Call, ask(5000), []byte("ab"))
			s.hear()
		}
		s.say(Bye, "{}", nil)
	}
	once := func(deadline int) func(side) {
		return func(s side) {
			s.say(Hello, hello, nil)
			s.hear()
			s.say(Call, ask(deadline), []byte("ab"))
			s.hear()
		}
	}
	afterCall := func(then func(s side)) func(side) {
		return func(s side) {
			s.say(Hello, hello, nil)
			s.hear()
			then(s)
		}
	}
	for _, tt := range []struct {
		name               string
		evaluator, subject func(side)
		want               Ending
		spoke              bool
		calls              int
	}{
		{"both are honest", twice, echo, SaidBye, true, 2},
		{"subject is gone at once", twice, func(s side) { s.close() }, SubjectGone, false, 0},
		{"subject says no hello", twice, func(s side) { s.say(Reply, answer, []byte("ab")) }, SubjectBroke, false, 0},
		{"subject speaks another version", twice, func(s side) { s.say(Hello, `{"protocol":2}`, nil) }, SubjectBroke, false, 0},
		{"subject is gone in the middle", twice, afterCall(func(s side) { s.close() }), SubjectGone, true, 0},
		{"subject breaks off a frame", twice, afterCall(func(s side) { s.says.Write([]byte{100, 0, 0}); s.close() }), SubjectBroke, true, 0},
		{"subject is late", once(50), afterCall(func(s side) { s.hear() }), SubjectLate, true, 0},
		{"subject answers twice", twice, afterCall(func(s side) {
			both := append(frame(Reply, answer, []byte("ab")), frame(Reply, answer, []byte("ab"))...)
			s.says.Write(both)
		}), SubjectBroke, true, 1},
		{"evaluator is gone", func(s side) { s.say(Hello, hello, nil); s.close() }, echo, EvaluatorGone, true, 0},
		{"evaluator asks nonsense", func(s side) {
			s.say(Hello, hello, nil)
			s.hear()
			s.say(Call, `{"method":"m","tensors":[]}`, []byte("x"))
		}, echo, EvaluatorBroke, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, evaluator := newSide(t)
			theirs, subject := newSide(t)
			done := make(chan struct{}, 2)
			for play, s := range map[*func(side)]side{&tt.evaluator: evaluator, &tt.subject: subject} {
				go func() { (*play)(s); done <- struct{}{} }()
			}
			m := NewMatch(ours, 1<<16)
			if err := m.AwaitEvaluator(5 * time.Second); err != nil {
				t.Fatal(err)
			}
			r := m.Play(theirs)
			ours.Close()
			theirs.Close()
			<-done
			<-done
			if r.Ending != tt.want || r.Spoke != tt.spoke || r.Calls != tt.calls {
				t.Errorf("%s (%v), spoke %t, %d calls; want %s, %t, %d", r.Ending, r.Err, r.Spoke, r.Calls, tt.want, tt.spoke, tt.calls)
			}
			if (r.Err == nil) != (tt.want == SaidBye) {
				t.Errorf("error %v", r.Err)
			}
		})
	}
}

// TestEvaluatorEnded: nobody waits for a subject that nobody asks any more.
func TestEvaluatorEnded(t *testing.T) {
	for _, early := range []bool{true, false} {
		ours, evaluator := newSide(t)
		theirs, subject := newSide(t)
		evaluator.say(Hello, hello, nil)
		m := NewMatch(ours, 0)
		if err := m.AwaitEvaluator(time.Second); err != nil {
			t.Fatal(err)
		}
		if early {
			m.EvaluatorEnded()
		} else {
			subject.say(Hello, hello, nil)
			evaluator.say(Call, ask(60_000), []byte("ab"))
			time.AfterFunc(50*time.Millisecond, m.EvaluatorEnded)
		}
		if r := m.Play(theirs); r.Ending != EvaluatorGone {
			t.Errorf("early %t: %s (%v), want %s", early, r.Ending, r.Err, EvaluatorGone)
		}
	}
}

func TestAwaitEvaluator(t *testing.T) {
	ours, _ := newSide(t)
	if err := NewMatch(ours, 0).AwaitEvaluator(20 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent evaluator: %v", err)
	}
	ours, evaluator := newSide(t)
	evaluator.close()
	if err := NewMatch(ours, 0).AwaitEvaluator(time.Second); err == nil {
		t.Error("an evaluator that is gone was greeted")
	}
}

// TestTheLoserIsTold: whoever is left learns why it is over.
func TestTheLoserIsTold(t *testing.T) {
	ours, evaluator := newSide(t)
	theirs, subject := newSide(t)
	evaluator.say(Hello, hello, nil)
	subject.say(Reply, answer, []byte("ab"))
	m := NewMatch(ours, 0)
	if err := m.AwaitEvaluator(time.Second); err != nil {
		t.Fatal(err)
	}
	m.Play(theirs)
	f, err := evaluator.from.Next()
	if err != nil || f.Kind != Failed || !strings.Contains(string(f.Header), "instead of hello") {
		t.Errorf("evaluator hears %s %s, %v", f.Kind, f.Header, err)
	}
}
