package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mendel/internal/propose/provider/model"
)

// statusOverloaded is Anthropic's own status.
const statusOverloaded = 529

// Failed reads an error object that came as part of a stream, where there is no status any more.
// It accepts the object itself and one that holds it as "error".
func (c *Client) Failed(body []byte) *model.Error {
	e := c.classify(0, body)
	e.Began = true
	return e
}

// Garbled is the error for an event that makes no sense.
func (c *Client) Garbled(what string, err error) *model.Error {
	return c.fail(model.Error{Class: model.Retry, Message: fmt.Sprintf("%s of the reply cannot be read: %v", what, err), Err: err, Began: true})
}

// refused reads an answer whose status is not 200.
func (c *Client) refused(response *http.Response, body []byte) *model.Error {
	e := c.classify(response.StatusCode, body)
	e.RetryAfter = retryAfter(response.Header, c.options.Now())
	if to := response.Header.Get("Location"); response.StatusCode/100 == 3 {
		e.Class, e.Message = model.Misconfigured, c.redact.clean("the server redirects to "+to)
		e.Hint = "set the base URL to that address if you trust it; the key is not sent there unasked"
	}
	return e
}

// notAStream is a 200 that holds no events: another kind of server, or a proxy in between.
func (c *Client) notAStream(kind string, body []byte) *model.Error {
	e := c.classify(0, body)
	if reported(body) != (report{}) {
		return e
	}
	e.Class = model.Misconfigured
	e.Message = c.redact.clean(fmt.Sprintf("the server answers with %s instead of an event stream: %s", cmp.Or(kind, "something unnamed"), excerpt(body)))
	e.Hint = c.addressHint()
	return e
}

// lost says why a call broke off.
func (c *Client) lost(ctx, call context.Context, cause error, began bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := model.Error{Class: model.Retry, Err: cause, Began: began}
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		name        *net.DNSError
	)
	switch {
	case errors.Is(context.Cause(call), errSilence):
		e.Message, e.Err = fmt.Sprintf("nothing was received for %s", c.options.Idle), errSilence
	case errors.Is(cause, errTooLong):
		e.Class, e.Message = model.BadRequest, fmt.Sprintf("the reply has more than %d bytes", c.options.MaxReply)
	case errors.As(cause, &record), errors.Is(cause, http.ErrSchemeMismatch):
		e.Class, e.Message, e.Hint = model.Misconfigured, cause.Error(), c.addressHint()
	case errors.As(cause, &certificate), errors.As(cause, &name) && name.IsNotFound, errors.Is(cause, syscall.ECONNREFUSED):
		e.Class, e.Message, e.Hint = model.Unreachable, cause.Error(), c.addressHint()
	case !began:
		e.Message, e.Hint = cause.Error(), c.addressHint()
	default:
		e.Message = "the reply was cut off: " + cause.Error()
	}
	return c.fail(e)
}

// fail hides the key in an error. The cause is dropped where its text shows it.
func (c *Client) fail(e model.Error) *model.Error {
	e.Message = c.redact.clean(e.Message)
	if e.Err != nil && c.redact.clean(e.Err.Error()) != e.Err.Error() {
		e.Err = nil
	}
	return &e
}

// A report is what a provider says about an error, as far as it says it.
type report struct{ kind, code, message string }

// reported understands the forms in which servers report errors: {"error": {"type", "code",
// "message"}} of most, the same as the one element of a list, {"error": "text"}, and {"message"}
// or {"detail"} at the top.
func reported(body []byte) report {
	type object struct {
		Type    string          `json:"type"`
		Status  string          `json:"status"`
		Code    json.RawMessage `json:"code"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
		Error   json.RawMessage `json:"error"`
	}
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) == 1 { // Gemini
		body = list[0]
	}
	var o object
	if json.Unmarshal(body, &o) != nil {
		return report{}
	}
	if len(o.Error) > 0 && string(o.Error) != "null" {
		var text string
		if json.Unmarshal(o.Error, &text) == nil {
			return report{message: text}
		}
		var inner object
		if json.Unmarshal(o.Error, &inner) == nil {
			o = inner
		}
	}
	return report{
		kind: cmp.Or(o.Type, o.Status), code: strings.Trim(string(o.Code), `"`),
		message: cmp.Or(o.Message, strings.Trim(string(o.Detail), `"`)),
	}
}

// classify says what an error means. The words of the body count for more than its status, as
// servers disagree about statuses.
func (c *Client) classify(status int, body []byte) *model.Error {
	r := reported(body)
	e := model.Error{Status: status, Message: cmp.Or(r.message, excerpt(body), http.StatusText(status), "an error without a text")}
	words := strings.ToLower(strings.Join([]string{r.kind, r.code, e.Message}, "\n"))
	about := func(any ...string) bool {
		for _, word := range any {
			if strings.Contains(words, word) {
				return true
			}
		}
		return false
	}
	switch {
	case status == http.StatusPaymentRequired, about("insufficient_quota", "credit balance", "billing_error", "billing_not_active", "exceeded your current quota"):
		e.Class, e.Hint = model.Misconfigured, "add credit to the account that the key belongs to, or raise its spending limit"
	case status == http.StatusUnauthorized, about("authentication_error", "invalid_api_key", "invalid api key", "incorrect api key", "api key not valid", "api_key_invalid"):
		e.Class, e.Hint = model.Misconfigured, c.keyHint()
	case status == http.StatusForbidden, about("permission_error", "permission_denied"):
		e.Class, e.Hint = model.Misconfigured, "give the key's account access to this model, or choose another model; "+c.keyHint()
	case status == http.StatusNotFound, about("model_not_found", "not_found_error", "unknown model", "invalid model", "not a valid model", "model not found"),
		status/100 == 4 && about("model") && about("does not exist", "not found"):
		e.Class, e.Hint = model.Misconfigured, "check the model's name, and that the server has it; "+c.addressHint()
	case status == http.StatusTooManyRequests, status == statusOverloaded, status/100 != 4 && about("overloaded", "rate_limit", "resource_exhausted", "slow_down"):
		e.Class = model.Wait
	case status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusConflict, status == 0 && about("invalid_request", "invalid_prompt", "context_length_exceeded"):
		e.Class = model.BadRequest
	default:
		e.Class = model.Retry
	}
	return c.fail(e)
}

func (c *Client) keyHint() string {
	if c.options.Key == "" {
		return "set " + cmp.Or(c.options.KeyEnv, "the key's environment variable") + " to a key of this provider"
	}
	return "check the key in " + cmp.Or(c.options.KeyEnv, "its environment variable") + ", and that it is one for " + c.options.BaseURL
}

func (c *Client) addressHint() string {
	return "check that " + c.options.BaseURL + " is the right address and can be reached from here"
}

// excerpt is the beginning of a body that is not understood.
func excerpt(body []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// retryAfter is how long a server asks to be left alone; 0 where it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return within(ms * float64(time.Millisecond))
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil {
		return within(s * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil {
		return within(float64(at.Sub(now)))
	}
	return 0
}

// within keeps what a server says inside a day.
func within(ns float64) time.Duration {
	if !(ns > 0) { // also NaN
		return 0
	}
	return time.Duration(min(ns, float64(24*time.Hour)))
}
