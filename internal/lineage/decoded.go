package lineage

import (
	"sync"

	"mendel/internal/research"
)

// decoded keeps what was decoded from events, which never change: the same trials stand in brief
// after brief, and decoding them is most of what a brief costs. A nil decoded keeps nothing; a
// batch, whose events may yet be rolled back, uses that.
type decoded struct {
	mu           sync.Mutex
	measurements map[measurementKey]research.Measurement
	verdicts     map[int64]research.Verdict
}

// A measurementKey names a trial's pooled measurement by the event of its first replicate and the
// number of replicates.
type measurementKey struct {
	seq        int64
	replicates int
}

// maxDecoded is several times what a brief shows. A measurement takes some 10 KB.
const maxDecoded = 1024

func newDecoded() *decoded {
	return &decoded{measurements: map[measurementKey]research.Measurement{}, verdicts: map[int64]research.Verdict{}}
}

func (d *decoded) measurement(key measurementKey, decode func() (research.Measurement, error)) (research.Measurement, error) {
	if d == nil {
		return decode()
	}
	return remember(&d.mu, d.measurements, key, decode)
}

func (d *decoded) verdict(seq int64, decode func() (research.Verdict, error)) (research.Verdict, error) {
	if d == nil {
		return decode()
	}
	return remember(&d.mu, d.verdicts, seq, decode)
}

func remember[K comparable, V any](mu *sync.Mutex, known map[K]V, key K, decode func() (V, error)) (V, error) {
	mu.Lock()
	value, ok := known[key]
	mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := decode()
	if err != nil {
		return value, err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(known) >= maxDecoded {
		clear(known)
	}
	known[key] = value
	return value, nil
}
