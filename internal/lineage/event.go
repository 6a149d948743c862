package lineage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mendel/internal/research"
)

// A Head names the last event of a lineage, and through its hash every event before it.
type Head struct {
	Seq  int64
	Hash research.Hash
}

// String gives the head as people copy it: 212:9f86d0…
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// minHeadDigits is how much of a hash a head must give: 48 bits are out of reach of a search by
// accident, and a person who distrusts the file's owner gives all 64 digits.
const minHeadDigits = 12

// ParseHead reads what String wrote, a hash alone (then Seq is 0), or the first 12 digits or
// more of either.
func ParseHead(s string) (Head, error) {
	var h Head
	digits := strings.ToLower(strings.TrimSpace(s))
	if number, rest, ok := strings.Cut(digits, ":"); ok {
		seq, err := strconv.ParseInt(number, 10, 64)
		if err != nil || seq < 1 {
			return h, fmt.Errorf("%q is not a head: %q is not the number of an event", s, number)
		}
		h.Seq, digits = seq, rest
	}
	if len(digits) < minHeadDigits || len(digits) > 2*sha256.Size || strings.Trim(digits, "0123456789abcdef") != "" {
		return h, fmt.Errorf("%q is not a head: want EVENT:HASH as a run prints it, or at least %d digits of the hash", s, minHeadDigits)
	}
	h.Hash = research.Hash(digits)
	return h, nil
}

// genesis stands where event 1 would name the event before it.
var genesis = research.Hash(strings.Repeat("0", 2*sha256.Size))

// A record is one row of the events table.
type record struct {
	Seq     int64
	At      string
	Kind    research.FactKind
	Payload string
	Prev    research.Hash
	Hash    research.Hash
}

// sum is SHA-256 over the sequence number as eight big-endian bytes and then, each behind its
// length as eight big-endian bytes, time, kind, payload and the hash of the event before.
// The lengths make the encoding unambiguous: no two records have the same bytes.
func (r record) sum() research.Hash {
	h := sha256.New()
	var number [8]byte
	put := func(n uint64) {
		binary.BigEndian.PutUint64(number[:], n)
		h.Write(number[:])
	}
	put(uint64(r.Seq))
	for _, field := range []string{r.At, string(r.Kind), r.Payload, string(r.Prev)} {
		put(uint64(len(field)))
		io.WriteString(h, field)
	}
	return research.Hash(hex.EncodeToString(h.Sum(nil)))
}

// event decodes the record, without looking at the chain.
func (r record) event() (research.Event, error) {
	at, err := parseTime(r.At)
	if err != nil {
		return research.Event{}, err
	}
	fact, err := decode(r.Kind, r.Payload)
	if err != nil {
		return research.Event{}, err
	}
	return research.Event{Seq: r.Seq, At: at, Fact: fact, Hash: r.Hash}, nil
}

// formatTime is the stored form of a time. Its monotonic reading is dropped with the zone.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || formatTime(t) != s {
		return time.Time{}, fmt.Errorf("%q is not a time in the form of the lineage", s)
	}
	return t.UTC(), nil
}

// encode gives the canonical payload of a fact: compact JSON, fields in the order of the type,
// map keys sorted.
func encode(fact research.Fact) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fact); err != nil {
		return "", &MisfitError{Kind: fact.Kind(), Problem: "cannot be stored: " + err.Error()}
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// decode is the inverse of encode. A field that this program does not know is an error: it could
// carry something that the replay would then ignore.
func decode(kind research.FactKind, payload string) (research.Fact, error) {
	switch kind {
	case research.KindRegistered:
		return decodeAs[research.Registered](payload)
	case research.KindSupervised:
		return decodeAs[research.Supervised](payload)
	case research.KindBudgetChanged:
		return decodeAs[research.BudgetChanged](payload)
	case research.KindSessionOpened:
		return decodeAs[research.SessionOpened](payload)
	case research.KindToolCalled:
		return decodeAs[research.ToolCalled](payload)
	case research.KindModelAsked:
		return decodeAs[research.ModelAsked](payload)
	case research.KindModelAnswered:
		return decodeAs[research.ModelAnswered](payload)
	case research.KindSessionClosed:
		return decodeAs[research.SessionClosed](payload)
	case research.KindSubmitted:
		return decodeAs[research.Submitted](payload)
	case research.KindDispatched:
		return decodeAs[research.Dispatched](payload)
	case research.KindMeasured:
		return decodeAs[research.Measured](payload)
	case research.KindAttemptLost:
		return decodeAs[research.AttemptLost](payload)
	case research.KindCalibrated:
		return decodeAs[research.Calibrated](payload)
	case research.KindConfirming:
		return decodeAs[research.Confirming](payload)
	case research.KindJudged:
		return decodeAs[research.Judged](payload)
	case research.KindCertifying:
		return decodeAs[research.Certifying](payload)
	case research.KindRecertifying:
		return decodeAs[research.Recertifying](payload)
	case research.KindRecertified:
		return decodeAs[research.Recertified](payload)
	case research.KindCertified:
		return decodeAs[research.Certified](payload)
	case research.KindStopped:
		return decodeAs[research.Stopped](payload)
	case research.KindTrialImported:
		return decodeAs[research.TrialImported](payload)
	}
	return nil, fmt.Errorf("%q is not a kind of fact that this program knows", kind)
}

func decodeAs[F research.Fact](payload string) (research.Fact, error) {
	var fact F
	dec := json.NewDecoder(strings.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&fact); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", fact.Kind(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("payload of %s: something follows the object", fact.Kind())
	}
	return fact, nil
}
