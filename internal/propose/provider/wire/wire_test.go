package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mendel/internal/propose/provider/model"
	"mendel/internal/research"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-proj-Zk81LmQpWvXr45TtYyBn"

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// ask streams from a server that answers so, and gives the events back.
func ask(t *testing.T, o Options, answer http.HandlerFunc) ([]string, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	if o.BaseURL == "" {
		o.BaseURL = server.URL
	}
	o.Key, o.KeyEnv, o.Now = key, "SOME_KEY", func() time.Time { return now }
	o.Header = http.Header{"Authorization": {"Bearer " + key}}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	err = c.Stream(t.Context(), "/v1/x", map[string]string{"a": "b"}, func(e Event) (bool, error) {
		got = append(got, e.Name+"|"+string(e.Data))
		return string(e.Data) == "end", nil
	})
	return got, err
}

func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}

func failure(t *testing.T, err error) *model.Error {
	t.Helper()
	var failed *model.Error
	if !errors.As(err, &failed) {
		t.Fatalf("the error is %T: %v", err, err)
	}
	return failed
}

func TestRequest(t *testing.T) {
	_, err := ask(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/v1/x" || string(body) != `{"a":"b"}` ||
			r.Header.Get("Authorization") != "Bearer "+key || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("it sends %s %s %s %v", r.Method, r.URL, body, r.Header)
		}
		stream("data: end\n\n")(w, r)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"named":                {"event: a\ndata: 1\n\ndata: end\n\n", "a|1 |end"},
		"carriage returns":     {"event: a\r\ndata: 1\r\n\r\ndata: end\r\n\r\n", "a|1 |end"},
		"several data lines":   {"data: 1\ndata: 2\n\ndata: end\n\n", "|1\n2 |end"},
		"comments and others":  {": ping\n\nid: 7\nretry: 10\ndata: 1\n\ndata: end\n\n", "|1 |end"},
		"no blank after colon": {"data:1\n\ndata:end\n\n", "|1 |end"},
		"empty data":           {"data:\n\ndata: end\n\n", "| |end"},
		"the key":              {"data: my " + key + "\n\ndata: end\n\n", "|my [key] |end"},
		"what follows the end": {"data: end\n\ndata: more\n\n", "|end"},
	} {
		got, err := ask(t, Options{}, stream(c.text))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

func TestBrokenStreams(t *testing.T) {
	silent := func(head string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if head != "" {
				stream(head)(w, r)
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = io.Copy(io.Discard, r.Body) // the server notices a client that is gone from then on
			<-r.Context().Done()
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  model.Class
		words  string
		began  bool
	}{
		"ends too early": {stream("data: 1\n\ndata: 2"), model.Retry, "cut off", true},
		"is empty":       {stream(""), model.Retry, "cut off", true},
		"aborts": {func(w http.ResponseWriter, r *http.Request) {
			stream("data: 1\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, model.Retry, "cut off", true},
		"never begins":     {silent(""), model.Retry, "nothing was received for 100ms", false},
		"falls silent":     {silent("data: 1\n\n"), model.Retry, "nothing was received for 100ms", true},
		"is too long":      {stream(strings.Repeat("data: 0123456789\n\n", 100)), model.BadRequest, "more than 1000 bytes", true},
		"one endless line": {stream("data: " + strings.Repeat("x", 5000)), model.BadRequest, "more than 1000 bytes", true},
		"hangs up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, model.Retry, "EOF", false},
	} {
		_, err := ask(t, Options{Idle: 100 * time.Millisecond, MaxReply: 1000}, c.answer)
		if e := failure(t, err); e.Class != c.class || !strings.Contains(e.Message, c.words) || e.Began != c.began {
			t.Errorf("%s: %+v, want %s, %q, began %t", name, e, c.class, c.words, c.began)
		}
	}
}

// TestNobodyAnswers tells an address that is wrong from a server that breaks off.
func TestNobodyAnswers(t *testing.T) {
	unknown := httptest.NewUnstartedServer(stream("data: end\n\n")) // nobody vouches for its certificate
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	defer unknown.Close()
	plain := httptest.NewServer(stream("data: end\n\n"))
	defer plain.Close()
	for name, c := range map[string]struct {
		base  string
		class model.Class
		words string
	}{
		"a refused connection": {"http://127.0.0.1:1", model.Unreachable, "refused"},
		"a certificate":        {unknown.URL, model.Unreachable, "certificate"},
		"HTTP behind https":    {strings.Replace(plain.URL, "http:", "https:", 1), model.Misconfigured, "HTTP"},
	} {
		_, err := ask(t, Options{BaseURL: c.base}, stream(""))
		if e := failure(t, err); e.Class != c.class || e.Began || !strings.Contains(e.Message, c.words) || !strings.Contains(e.Hint, c.base) {
			t.Errorf("%s: %+v, hint %q", name, e, e.Hint)
		}
	}
	c, err := New(Options{BaseURL: "http://models.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		cause *net.DNSError
		class model.Class
	}{
		{&net.DNSError{Err: "no such host", Name: "models.example", IsNotFound: true}, model.Unreachable},
		{&net.DNSError{Err: "server misbehaving", Name: "models.example", IsTemporary: true}, model.Retry},
	} {
		if e := failure(t, c.lost(t.Context(), t.Context(), d.cause, false)); e.Class != d.class || !strings.Contains(e.Hint, "http://models.example") {
			t.Errorf("%v is %+v", d.cause, e)
		}
	}
}

func TestASlowStreamIsNotSilent(t *testing.T) {
	got, err := ask(t, Options{Idle: 200 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		for range 6 {
			stream(": ping\n\n")(w, r)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(60 * time.Millisecond)
		}
		stream("data: end\n\n")(w, r)
	})
	if err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheCallersEndIsNotAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	c, err := New(Options{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Stream(ctx, "/", nil, func(Event) (bool, error) { return true, nil })
	var failed *model.Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("it is %v", err)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var opened atomic.Int32
	server := httptest.NewUnstartedServer(stream("data: end\n\n"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c, err := New(Options{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 5 {
		if err := c.Stream(t.Context(), "/", nil, func(Event) (bool, error) { return true, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("5 calls opened %d connections", n)
	}
}

func TestNoKeyForAnotherHost(t *testing.T) {
	var asked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer other.Close()
	_, err := ask(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/v1/x?key="+key, http.StatusTemporaryRedirect)
	})
	e := failure(t, err)
	if asked.Load() || e.Class != model.Misconfigured || !strings.Contains(e.Message, other.URL) || strings.Contains(e.Message, key) {
		t.Errorf("it follows a redirect (%t), or says %+v", asked.Load(), e)
	}
}

func TestStatuses(t *testing.T) {
	body := func(kind, code, message string) string {
		return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"message":%q}}`, kind, code, message)
	}
	for _, c := range []struct {
		status int
		body   string
		class  model.Class
		hint   string
	}{
		{401, body("authentication_error", "", "invalid x-api-key"), model.Misconfigured, "SOME_KEY"},
		{403, body("permission_error", "", "no"), model.Misconfigured, "access"},
		{404, body("not_found_error", "", "model: x"), model.Misconfigured, "model's name"},
		{404, "404 page not found", model.Misconfigured, "right address"},
		{402, "", model.Misconfigured, "credit"},
		{400, body("invalid_request_error", "", "Your credit balance is too low"), model.Misconfigured, "credit"},
		{429, body("insufficient_quota", "insufficient_quota", "You exceeded your current quota"), model.Misconfigured, "credit"},
		{400, body("invalid_request_error", "model_not_found", "The model `x` does not exist"), model.Misconfigured, "model's name"},
		{400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}`, model.Misconfigured, "SOME_KEY"},
		{400, body("invalid_request_error", "", "messages: prompt is too long: internal limit"), model.BadRequest, ""},
		{400, `{"error":"model \"qwen\" not found, try pulling it first"}`, model.Misconfigured, "model's name"},
		{400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, model.Misconfigured, "SOME_KEY"},
		{503, `[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]`, model.Wait, ""},
		{413, body("request_too_large", "", "too large"), model.BadRequest, ""},
		{422, `{"detail":[{"msg":"field required"}]}`, model.BadRequest, ""},
		{408, "", model.Retry, ""},
		{409, "", model.Retry, ""},
		{500, body("api_error", "", "Internal server error"), model.Retry, ""},
		{502, "<html>bad gateway</html>", model.Retry, ""},
		{503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, model.Wait, ""},
		{429, body("rate_limit_error", "", "slow down"), model.Wait, ""},
		{529, body("overloaded_error", "", "Overloaded"), model.Wait, ""},
	} {
		_, err := ask(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		if e := failure(t, err); e.Class != c.class || e.Status != c.status || e.Began || e.Message == "" || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%d %s: %+v (hint %q), want %s, %q", c.status, c.body, e, e.Hint, c.class, c.hint)
		}
	}
}

func TestErrorsInAStream(t *testing.T) {
	c, err := New(Options{BaseURL: "http://x"})
	if err != nil {
		t.Fatal(err)
	}
	for body, class := range map[string]model.Class{
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`: model.Wait,
		`{"type":"error","error":{"type":"api_error","message":"Internal"}}`:          model.Retry,
		`{"type":"invalid_request_error","message":"no"}`:                             model.BadRequest,
		`{"message":"something"}`: model.Retry,
		`{"code":"context_length_exceeded","message":"Your input exceeds the context window of this model."}`: model.BadRequest,
		`{"code":"invalid_prompt","message":"Limited access to this content for safety reasons."}`:            model.BadRequest,
		`{"code":"slow_down","message":"Slow down."}`:                                                         model.Wait,
	} {
		if e := c.Failed([]byte(body)); e.Class != class || !e.Began {
			t.Errorf("%s is %+v, want %s", body, e, class)
		}
	}
}

func TestAnErrorInAList(t *testing.T) {
	_, err := ask(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `[{"error":{"code":400,"message":"The input is too long.","status":"INVALID_ARGUMENT"}}]`)
	})
	if e := failure(t, err); e.Message != "The input is too long." {
		t.Errorf("its message is %q", e.Message)
	}
}

func TestAnotherKindOfAnswer(t *testing.T) {
	_, err := ask(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>please log in</html>")
	})
	if e := failure(t, err); e.Class != model.Misconfigured || !strings.Contains(e.Message, "text/html") || e.Hint == "" {
		t.Errorf("a page is %+v", e)
	}
	_, err = ask(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"error":{"type":"rate_limit_error","message":"slow"}}`)
	})
	if e := failure(t, err); e.Class != model.Wait {
		t.Errorf("an error with status 200 is %+v", e)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After", "-3", 0},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "1e300", 24 * time.Hour},
		{"Retry-After", "soon", 0},
		{"Retry-After", now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{"Retry-After", now.Add(-time.Hour).Format(http.TimeFormat), 0},
		{"Retry-After-Ms", "1500", 1500 * time.Millisecond},
		{"X-Other", "7", 0},
	} {
		_, err := ask(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(c.name, c.value)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		if e := failure(t, err); e.RetryAfter != c.want {
			t.Errorf("%s: %s is %s, want %s", c.name, c.value, e.RetryAfter, c.want)
		}
	}
}

func TestRedaction(t *testing.T) {
	for text, want := range map[string]string{
		"key " + key + ".":                         "key [key].",
		"Incorrect API key provided: sk-pr***YyBn": "Incorrect API key provided: [key]",
		"provided: sk-proj-********************.":  "provided: [key]",
		"provided: ****YyBn":                       "provided: [key]",
		"begins with " + key[:14]:                  "begins with [key]",
		"ends with " + key[12:] + "!":              "ends with [key]!",
		"has " + key[5:15] + " in it":              "has [key] in it",
		key + key:                                  "[key][key]",
		"twice " + key + ", " + key:                "twice [key], [key]",
		"nothing to hide: sk-other-123":            "nothing to hide: sk-other-123",
		"wait... what":                             "wait... what",
		"":                                         "",
	} {
		if got := redactor(key).clean(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := redactor("").clean("a text***"); got != "a text***" {
		t.Errorf("without a key a text is shown as %q", got)
	}
}

func FuzzRedaction(f *testing.F) {
	f.Add("key: ", 0, len(key), " end")
	f.Add("***", 3, 12, "***")
	f.Fuzz(func(t *testing.T, before string, from, to int, after string) {
		if from < 0 || to > len(key) || to-from < shortestPart {
			return
		}
		got := redactor(key).clean(before + key[from:to] + after)
		for i := range len(key) - shortestPart + 1 {
			if part := key[i : i+shortestPart]; strings.Contains(got, part) {
				t.Errorf("%q shows %q", got, part)
			}
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add("event: a\ndata: 1\n\ndata: 2\n\n")
	f.Add("data\n\n:\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		err := events(strings.NewReader(text), func(Event) (bool, error) { return false, nil })
		var broken *brokenError
		if !errors.As(err, &broken) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a stream without an end is %v", err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"", "api.anthropic.com", "ftp://x", "http://", "https://" + key + "@host", "http://a b"} {
		_, err := New(Options{BaseURL: address, Key: key})
		if err == nil || research.Hint(err) == "" || strings.Contains(err.Error(), key) {
			t.Errorf("%q is taken, or the error has no hint or shows the key: %v", address, err)
		}
	}
	if _, err := New(Options{BaseURL: "http://x", Key: key + "\n", KeyEnv: "SOME_KEY"}); err == nil || !strings.Contains(research.Hint(err), "SOME_KEY") || strings.Contains(err.Error(), key) {
		t.Errorf("a key with a line break: %v", err)
	}
}
