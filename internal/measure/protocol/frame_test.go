package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func frame(kind Kind, header string, data []byte) []byte {
	var b bytes.Buffer
	if err := Write(&b, Frame{Kind: kind, Header: []byte(header), Data: data}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func floats(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func TestFrameRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, smallData, smallData + 1, 1 << 20} {
		want := Frame{Kind: Reply, Header: []byte(`{"a":1}`), Data: bytes.Repeat([]byte{7}, size)}
		r := NewReader(bytes.NewReader(append(frame(want.Kind, string(want.Header), want.Data), frame(Bye, "{}", nil)...)), 0)
		got, err := r.Next()
		if err != nil || got.Kind != want.Kind || !bytes.Equal(got.Header, want.Header) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%d bytes of data: kind %s, %v", size, got.Kind, err)
		}
		if got, err := r.Next(); err != nil || got.Kind != Bye {
			t.Errorf("the frame after it: %s, %v", got.Kind, err)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the end: %v, want EOF", err)
		}
	}
}

func TestFrameLimits(t *testing.T) {
	whole := frame(Reply, `{"a":1}`, []byte("data"))
	for cut := 1; cut < len(whole); cut++ {
		_, err := NewReader(bytes.NewReader(whole[:cut]), 0).Next()
		if v := new(Violation); !errors.As(err, &v) {
			t.Errorf("cut after %d bytes: %v, want a violation", cut, err)
		}
	}
	word := func(n, h uint32) []byte {
		b := binary.LittleEndian.AppendUint32(nil, n)
		return append(binary.LittleEndian.AppendUint32(append(b, byte(Reply)), h), make([]byte, 100)...)
	}
	for name, b := range map[string][]byte{
		"shorter than a frame can be": word(4, 0), "longer than max_frame": word(1001, 0), "all ones": word(math.MaxUint32, math.MaxUint32),
		"header longer than its frame": word(20, 16), "header longer than allowed": word(900, MaxHeader+1),
	} {
		_, err := NewReader(bytes.NewReader(b), 1000).Next()
		if v := new(Violation); !errors.As(err, &v) {
			t.Errorf("%s: %v, want a violation", name, err)
		}
	}
}

func TestCheckReply(t *testing.T) {
	q := Question{Method: "logits", Expect: []Tensor{{"f4", []int64{1, 2}}}}
	withMeta := q
	withMeta.ExpectMeta = true
	good := `{"tensors":[{"dtype":"f4","shape":[1,2]}]}`
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, tt := range []struct {
		name   string
		q      Question
		kind   Kind
		header string
		data   []byte
		want   string // part of the violation; empty: fine
	}{
		{"good", q, Reply, good, floats(1, 2), ""},
		{"meta that is expected", withMeta, Reply, `{"meta":{"k":1},"tensors":[{"dtype":"f4","shape":[1,2]}]}`, floats(1, 2), ""},
		{"meta that is not", q, Reply, `{"meta":{"k":1},"tensors":[{"dtype":"f4","shape":[1,2]}]}`, floats(1, 2), "meta"},
		{"another kind", q, Call, good, floats(1, 2), "another frame"},
		{"another shape", q, Reply, `{"tensors":[{"dtype":"f4","shape":[2,1]}]}`, floats(1, 2), "other types or shapes"},
		{"another type", q, Reply, `{"tensors":[{"dtype":"i4","shape":[1,2]}]}`, floats(1, 2), "other types or shapes"},
		{"one too many", q, Reply, `{"tensors":[{"dtype":"f4","shape":[1,2]},{"dtype":"u1","shape":[0]}]}`, floats(1, 2), "other types or shapes"},
		{"none", q, Reply, `{"tensors":[]}`, nil, "other types or shapes"},
		{"too little data", q, Reply, good, floats(1), "more bytes than its frame"},
		{"too much data", q, Reply, good, floats(1, 2, 3), "no tensor declares"},
		{"NaN", q, Reply, good, floats(1, nan), "NaN"},
		{"infinity", q, Reply, good, floats(inf, 1), "NaN"},
		{"no JSON", q, Reply, `{"tensors":`, floats(1, 2), "cannot be read"},
		{"unknown key", q, Reply, `{"tensor":[]}`, floats(1, 2), "cannot be read"},
		{"something behind the JSON", q, Reply, good + "{}", floats(1, 2), "after its JSON"},
	} {
		_, err := CheckReply(Frame{tt.kind, []byte(tt.header), tt.data}, tt.q)
		var v *Violation
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (!errors.As(err, &v) || !strings.Contains(v.What, tt.want)):
			t.Errorf("%s: %v, want a violation with %q", tt.name, err, tt.want)
		}
	}
}

func TestTensorSizes(t *testing.T) {
	for _, tt := range []struct {
		tensor Tensor
		limit  int64
		want   int64 // -1: a violation
	}{
		{Tensor{"f4", nil}, 4, 4},
		{Tensor{"f8", []int64{}}, 4, -1},
		{Tensor{"u1", []int64{3, 0, math.MaxInt64}}, 0, 0},
		{Tensor{"i8", []int64{math.MaxInt64, math.MaxInt64}}, math.MaxInt64, -1},
		{Tensor{"i4", []int64{2, 3}}, 24, 24},
		{Tensor{"i4", []int64{2, 3}}, 23, -1},
		{Tensor{"f4", []int64{-1, -1}}, 100, -1},
		{Tensor{"f2", []int64{1}}, 100, -1},
		{Tensor{"u1", make([]int64, 9)}, 100, -1},
	} {
		got, err := tt.tensor.size(tt.limit)
		if tt.want < 0 && err == nil || tt.want >= 0 && (err != nil || got != tt.want) {
			t.Errorf("%s within %d bytes: %d, %v; want %d", tt.tensor, tt.limit, got, err, tt.want)
		}
	}
}

// TestViolationsTellNothing: what a subject wrote must not stand in the part that specialists see.
func TestViolationsTellNothing(t *testing.T) {
	const secret = "heldout"
	q := Question{Method: "m", Expect: []Tensor{{secret, []int64{1234567}}}}
	for _, f := range []Frame{
		{Reply, []byte(`{"` + secret + `":1}`), nil},
		{Reply, []byte(secret), nil},
		{Reply, []byte(`{"tensors":[{"dtype":"` + secret + `","shape":[1234567]}]}`), nil},
		{Reply, []byte(`{"tensors":[{"dtype":"` + secret + `","shape":[7654321]}]}`), nil},
		{Kind(77), []byte(secret), nil},
	} {
		_, err := CheckReply(f, q)
		var v *Violation
		if !errors.As(err, &v) {
			t.Errorf("%s: %v, want a violation", f.Header, err)
		} else if strings.Contains(v.What, secret) || strings.ContainsAny(v.What, "0123456789") {
			t.Errorf("%s: %q tells", f.Header, v.What)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(frame(Hello, `{"protocol":1}`, nil))
	f.Add(append(frame(Call, `{"method":"m","tensors":[{"dtype":"f4","shape":[2]}],"expect":[]}`, floats(1, 2)), frame(Reply, `{"tensors":[{"dtype":"f4","shape":[1,2]}]}`, floats(1, 2))...))
	f.Add([]byte{255, 255, 255, 255, 3, 0, 0, 0, 0})
	q := Question{Method: "m", Expect: []Tensor{{"f4", []int64{1, 2}}}}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 1 << 16
		r := NewReader(bytes.NewReader(stream), most)
		rest := stream
		for {
			got, err := r.Next()
			if err != nil {
				return
			}
			if len(got.Header) > MaxHeader || len(got.Header)+len(got.Data)+5 > most {
				t.Fatalf("%d + %d bytes were let through", len(got.Header), len(got.Data))
			}
			again := frame(got.Kind, string(got.Header), got.Data)
			if !bytes.HasPrefix(rest, again) {
				t.Fatal("a frame is not what was sent")
			}
			rest = rest[len(again):]
			_ = CheckHello(got)
			if q, err := CheckCall(got); err == nil && q.deadline() <= 0 {
				t.Fatal("a call without a deadline")
			}
			if _, err := CheckReply(got, q); err == nil && (len(got.Data) != 8 || notFinite("f4", got.Data) >= 0) {
				t.Fatalf("a reply of % x was let through", got.Data)
			}
		}
	})
}
