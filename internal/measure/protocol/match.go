package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Link is our end of the two pipes to a process.
type Link struct {
	In  *os.File // what the process says
	Out *os.File // what it hears
}

// NewLink makes the pipes to one process, and the process's ends of them: what it hears (its
// MENDEL_FD_IN) and what it says (MENDEL_FD_OUT). The caller closes theirs once it has started.
func NewLink() (ours Link, hears, says *os.File, err error) {
	// Not os.Pipe: it makes both ends non-blocking, which a Python program does not expect.
	var to, from [2]int
	if err := unix.Pipe2(to[:], unix.O_CLOEXEC); err != nil {
		return Link{}, nil, nil, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.Pipe2(from[:], unix.O_CLOEXEC); err != nil {
		unix.Close(to[0])
		unix.Close(to[1])
		return Link{}, nil, nil, fmt.Errorf("pipe: %w", err)
	}
	hears, says = os.NewFile(uintptr(to[0]), "hears"), os.NewFile(uintptr(from[1]), "says")
	// Ours are non-blocking, so that they take deadlines.
	err = errors.Join(unix.SetNonblock(to[1], true), unix.SetNonblock(from[0], true))
	ours = Link{In: os.NewFile(uintptr(from[0]), "from process"), Out: os.NewFile(uintptr(to[1]), "to process")}
	if err != nil {
		ours.Close()
		hears.Close()
		says.Close()
		return Link{}, nil, nil, fmt.Errorf("pipe: %w", err)
	}
	return ours, hears, says, nil
}

// Close ends the link; who waits on it stops waiting.
func (l Link) Close() {
	l.In.Close()
	l.Out.Close()
}

// An Ending says how a match ended, and through whom.
type Ending string

// The endings.
const (
	SaidBye        Ending = "bye"
	EvaluatorGone  Ending = "evaluator gone"  // it ended, or closed its pipes
	EvaluatorBroke Ending = "evaluator broke" // it broke the protocol
	SubjectGone    Ending = "subject gone"
	SubjectBroke   Ending = "subject broke"
	SubjectLate    Ending = "subject late" // no reply within the call's deadline
)

// A Report is the record of a match.
type Report struct {
	Ending Ending
	Spoke  bool  // the subject has said its first word
	Calls  int   // that were answered
	Err    error // what was wrong; nil after bye
}

// A Match is one conversation. Its methods are called in the order in which they stand here;
// only [Match.EvaluatorEnded] may be called at any time.
type Match struct {
	evaluator Link
	fromE     *Reader
	maxFrame  int
	ended     atomic.Bool

	mu      sync.Mutex
	subject *Link
}

// NewMatch begins a match with the evaluator.
func NewMatch(evaluator Link, maxFrame int) *Match {
	return &Match{evaluator: evaluator, fromE: NewReader(evaluator.In, maxFrame), maxFrame: maxFrame}
}

// AwaitEvaluator returns when the evaluator has said hello, or an error after patience.
func (m *Match) AwaitEvaluator(patience time.Duration) error {
	_ = m.evaluator.In.SetReadDeadline(time.Now().Add(patience))
	f, err := m.fromE.Next()
	if err == nil {
		err = CheckHello(f)
	}
	_ = m.evaluator.In.SetReadDeadline(time.Time{})
	return err
}

// EvaluatorEnded says that the evaluator's process has ended: a match that still waits for the
// subject is over.
func (m *Match) EvaluatorEnded() {
	m.ended.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subject != nil {
		_ = m.subject.In.SetReadDeadline(time.Unix(1, 0))
		_ = m.subject.Out.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Play lets the two talk until one of them ends it. It returns at once when the evaluator says bye,
// having told the subject; whoever else is left is told why it is over.
func (m *Match) Play(subject Link) Report {
	m.mu.Lock()
	m.subject = &subject
	m.mu.Unlock()
	if m.ended.Load() {
		m.EvaluatorEnded() // it may have come too early to see the subject
	}
	r := m.play(subject)
	if m.ended.Load() && r.Ending != SaidBye && r.Ending != EvaluatorBroke && r.Ending != SubjectBroke {
		r.Ending, r.Err = EvaluatorGone, errors.New("the evaluator ended in the middle")
	}
	if r.Ending != SaidBye {
		why, _ := json.Marshal(map[string]string{"error": strings.ToValidUTF8(r.Err.Error(), "?")})
		tell(m.evaluator, Frame{Kind: Failed, Header: why})
		tell(subject, Frame{Kind: Failed, Header: why})
	}
	return r
}

// tell sends a last word to someone who may not be listening any more.
func tell(l Link, f Frame) {
	_ = l.Out.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_ = Write(l.Out, f)
}

func (m *Match) play(subject Link) Report {
	var r Report
	end := func(e Ending, err error) Report {
		r.Ending, r.Err = e, err
		return r
	}
	fromS := NewReader(subject.In, m.maxFrame)
	f, err := fromS.Next()
	if err == nil {
		err = CheckHello(f)
	}
	if err != nil {
		return end(blame(err, SubjectBroke, SubjectGone), fmt.Errorf("before its hello: %w", err))
	}
	r.Spoke = true
	hello := fmt.Appendf(nil, `{"protocol":%d}`, Version)
	if err := Write(m.evaluator.Out, Frame{Kind: Hello, Header: hello}); err != nil {
		return end(EvaluatorGone, err)
	}
	for {
		f, err := m.fromE.Next()
		if err != nil {
			return end(blame(err, EvaluatorBroke, EvaluatorGone), err)
		}
		if f.Kind == Bye {
			tell(subject, Frame{Kind: Bye, Header: []byte("{}")})
			return end(SaidBye, nil)
		}
		q, err := CheckCall(f)
		if err == nil {
			f.Header, err = q.header()
		}
		if err != nil {
			return end(EvaluatorBroke, err)
		}
		// What is there before the question was asked is no reply to it.
		if waiting(subject.In) {
			return end(SubjectBroke, violation("a frame that nobody asked for", "before call %d (%s)", r.Calls+1, q.Method))
		}
		if e, err := m.ask(subject, fromS, f, q); err != nil {
			return end(e, fmt.Errorf("call %d (%s): %w", r.Calls+1, q.Method, err))
		}
		r.Calls++
	}
}

// ask carries one question, which is f, and its reply.
func (m *Match) ask(subject Link, fromS *Reader, f Frame, q Question) (Ending, error) {
	// The deadline covers both ways: a subject that does not read is as late as one that does not write.
	due := time.Now().Add(q.deadline())
	_ = subject.In.SetReadDeadline(due)
	_ = subject.Out.SetWriteDeadline(due)
	if m.ended.Load() {
		return EvaluatorGone, errors.New("the evaluator ended in the middle")
	}
	if err := Write(subject.Out, f); err != nil {
		return late(err, q, SubjectGone)
	}
	reply, err := fromS.Next()
	var a Answer
	if err == nil {
		a, err = CheckReply(reply, q)
	}
	if err == nil {
		reply.Header, err = a.header()
	}
	if err != nil {
		return late(err, q, blame(err, SubjectBroke, SubjectGone))
	}
	if err := Write(m.evaluator.Out, reply); err != nil {
		return EvaluatorGone, err
	}
	return "", nil
}

func late(err error, q Question, otherwise Ending) (Ending, error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return SubjectLate, fmt.Errorf("no reply within %s", q.deadline())
	}
	return otherwise, err
}

// blame tells a breach of the protocol from an end.
func blame(err error, broke, gone Ending) Ending {
	var v *Violation
	if errors.As(err, &v) {
		return broke
	}
	return gone
}

// waiting says whether something has arrived that was not read.
func waiting(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	if err := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		return false
	}
	return n > 0
}
